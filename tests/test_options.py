"""The audit of the table of options: every option that a command takes acts, and is refused by all
others.  A new pair of command and option is missing here until it has its proof."""
import re
import unittest

from cli_support import FolderTest, run

COMMANDS = {"": [], "devices": [], "workloads": [], "bench": ["mlp-mnist"],
            "advise": ["mlp-mnist"], "sweep": ["mlp-mnist", "--over", "batch=8..16"],
            "explain": ["mlp-mnist"], "train": ["mlp-mnist"], "eval": ["mlp-mnist", "-w", "none"],
            "parity": ["mlp-mnist"], "dump": ["mlp-mnist", "-o", "file"], "data": ["list"],
            "completion": ["bash"], "help": [], "runs": [],
            "compare": ["1", "2"], "report": ["-o", "x.html"], "serve": []}
MEASURING = {"", "bench", "advise", "sweep", "explain"}
MODEL = {"train", "eval", "parity", "dump"}
KEPT = {"runs", "compare", "report"}  # open no device: what a filter does is in test_runs
ALONE = {"quiet", "version", "help"}  # of the program, not of a command

SMALL = ["--synthetic", "--limit", "200"]
NATIVE = ["--engine", "native"]

# option: a value, and what it does by which it is seen to be used: the exit code and a text
USED = {
    "device": (["cuda:77"], 3, "cuda:77"),
    "precision": (["tf32"], 3, "precision tf32"),
    "library": (["clblast"], 3, "clblast"),
}
# option: commands for which a value that cannot be done is refused at its use
AT_USE = {
    "batch": (MEASURING - {"sweep"} | MODEL - {"eval"}, ["201", *SMALL], 2, "200 pictures"),
    "limit": (MEASURING - {"sweep"} | MODEL - {"eval"}, ["150", "--synthetic", "--batch", "151"], 2,
              "150 pictures"),
    "engine": (MEASURING, ["torch"], 3, "torch"),
    "output": ({"dump", "sweep"}, ["none/file"], 1, "none"),
    "svg": ({"sweep"}, ["none/file"], 1, "none"),
    "trace": ({"explain"}, ["none/file"], 1, "none"),
    "export": ({"train"}, ["none/file"], 1, "none"),
    "weights": ({"eval", "train", "bench", "explain", "parity"}, ["nothing"], 1, "nothing"),
    "new-head": ({"train"}, [], 2, "--weights"),
    "own-pairs": ({"train"}, [], 2, "of several workers, found one"),
    "sync-batch-norm": ({"train"}, [], 2, "of several workers, found one"),
    "resume": ({"train", "sweep"}, ["nothing"], None, "nothing"),
    "from": ({"advise"}, ["nothing"], 1, "nothing"),
    "over": ({"sweep"}, ["batch=9..8"], 2, "batch=9..8"),
    "refresh": ({"devices"}, [], 2, "--measure"),
    "time": ({"devices"}, ["1"], 2, "--measure"),
    **{name: (MEASURING - {""} | MODEL, ["none"], 2, f"--{name}: expected a workload that learns")
       for name in ("text", "tokenizer")},
    **{name: (MEASURING | MODEL, ["2"], 2, f"has no {name} that could be varied")
       for name in ("layers", "heads", "seq", "vocab", "channels", "kernel", "to", "m", "n", "k",
                    "times")},
    "checkpoint-every": ({"train"}, ["never"], 2, "--checkpoint-every"),
    "accumulate": ({"train", "bench"}, ["7"], 2, "a batch that 7 turns can cut into equal parts"),
}
# Whose effect shows in results: the tests that look at them.
SHOWN = {
    "format": "test_cli, test_commands, test_advise, test_sweep, test_explain",
    "engine": "test_commands",
    "threads": "test_commands (records), test_cli (refused off the CPU)",
    "seed": "test_commands, test_kill9",
    "data": "test_cli, test_data_sets", "synthetic": "test_commands",
    "isa": "test_commands (implementation)", "cuda-lib-dir": "test_cuda_program",
    "data-on": "test_commands", "infer": "test_commands", "size": "test_sweep",
    "epochs": "test_commands, test_advise", "steps": "test_kill9, test_advise",
    "schedule": "test_commands", "warmup": "test_commands", "clip": "test_commands",
    "lr": "test_commands", "checkpoint": "test_kill9", "max-time": "test_commands",
    "resume-if-any": "test_folders", "goal": "test_advise",
    "measure": "test_commands", "dry-run": "test_commands",
    "man": "test_cli", "width": "test_sweep, test_advise", "batch": "test_commands",
    "limit": "test_commands", "time": "test_commands", "output": "test_runs, test_report_file",
    "device": "test_runs",
    **dict.fromkeys(("no-store", "workload", "machine", "commit", "since", "until", "last"),
                    "test_runs"),
    "samples": "test_own_model", "workers": "test_workers, test_advise", "link": "test_advise",
    "each": "test_workers",
    "tensorboard": "test_tensorboard",
    **dict.fromkeys(("events", "port", "listen", "token", "open"), "test_serve"),
    **dict.fromkeys(("baseline", "price", "fail-if"), "test_compare"),
}


class OptionsTest(FolderTest):
    def options_of(self, command):
        """{name: takes a value} as its help lists them."""
        text = self.good(*([command] if command else []), "--help")
        lines = re.findall(r"^  (?:-\w, |    )--([\w-]+)( \S+)?", text, re.M)
        return {name: bool(value) for name, value in lines}

    def words(self, command, option):
        """The command with what it needs beside the option."""
        needed = COMMANDS[command]
        own = {"over": "sweep", "output": "dump", "weights": "eval"}
        if own.get(option) == command:
            needed = needed[:1]
        return [*([command] if command else []), *needed]

    def test_every_pair_is_refused_or_has_its_proof(self):
        offered = {command: self.options_of(command) for command in COMMANDS}
        takes_value = {name: value for names in offered.values() for name, value in names.items()}
        for command, names in offered.items():
            for option in takes_value:
                if option in names:
                    proved = option in ALONE or option in USED or option in SHOWN or \
                        command in AT_USE.get(option, [()])[0]
                    self.assertTrue(proved, f"what does --{option} do in '{command}'?")
                    continue
                value = {"format": "json", "isa": "avx2", "precision": "fp32", "data-on": "host",
                         "library": "native", "goal": "time", "engine": "native",
                         "schedule": "cosine", "workers": "2",
                         "token": "0123456789abcdef"}.get(option, "1")
                with self.subTest(command=command, option=option):
                    self.bad(2, *self.words(command, ""), f"--{option}",
                             *[value] * takes_value[option], cwd=self.folder,
                             says=[f"--{option} is no option of {command or 'breakeven'}"])

    def test_what_cannot_be_done_is_refused_where_it_would_be_used(self):
        offered = {command: self.options_of(command) for command in COMMANDS}
        cases = [(command, option, *USED[option]) for command in COMMANDS for option in USED
                 if option in offered[command] and command not in KEPT]
        cases += [(command, option, *how) for option, (commands, *how) in AT_USE.items()
                  for command in sorted(commands)]
        for command, option, value, code, text in cases:
            with self.subTest(command=command, option=option):
                self.assertIn(option, offered[command])
                more = NATIVE if command in MEASURING and option not in ("engine", "from") else []
                if "--synthetic" not in value and "synthetic" in offered[command] and \
                        option != "from":
                    more = [*more, *SMALL]
                if option == "limit":
                    more = [word for word in more if word not in SMALL]  # it has its own
                found = self.run_it(*self.words(command, option), *more, f"--{option}", *value)
                self.assertEqual(found.returncode, code or found.returncode, found.stderr)
                self.assertNotEqual(found.returncode, 0)
                self.assertIn(text, found.stderr)

    def run_it(self, *arguments):
        return run(*arguments, cwd=self.folder, env={"BREAKEVEN_PYTHON": "/bin/false",
                                                     "XDG_STATE_HOME": self.path("state")})


if __name__ == "__main__":
    unittest.main()
