"""Tests of the program's command line: its words, texts, formats and exit codes."""
import csv
import io
import json
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

import kept_limits
from cli_support import FORMATS, PROGRAM, SMALL, WORKLOADS, FolderTest

COMMANDS = ["devices", "workloads", "bench", "advise", "train", "eval", "parity", "dump", "data",
            "completion", "help"]


class UsageTest(FolderTest):
    CASES = [
        (["bnech"], 'unknown command "bnech"; did you mean bench?'),
        (["xyzzy"], "unknown command \"xyzzy\"; 'breakeven help' lists"),
        (["bench", "--bacth", "3"], "unknown option --bacth; did you mean --batch?"),
        (["bench", "--zzz=3"], "unknown option --zzz; 'breakeven help bench' lists"),
        (["bench", "-Z"], "unknown option -Z"),
        (["bench", "--lr", "3"], "--lr is no option of bench, but of train"),
        (["--weights", "f"], "--weights is no option of breakeven, but of bench, explain, "
         "train, eval, parity"),
        (["bench", "--batch"], "--batch needs a value: --batch N,..."),
        (["bench", "--infer=yes"], '--infer takes no value, found "yes"'),
        (["bench", "--batch", "abc"], '--batch: expected whole numbers'),
        (["bench", "--batch", "0"], 'from 1 to 1000000000, found "0"'),
        (["bench", "--batch", "-5"], 'found "-5"'),
        (["bench", "--batch", "5,"], 'found "5,"'),
        (["bench", "--batch", "8..4"], 'found "8..4"'),
        (["bench", "--batch", "8..64*1"], 'found "8..64*1"'),
        (["bench", "--batch", "8..64*"], 'found "8..64*"'),
        (["bench", "--batch", "1..100"], "expected at most 64 values"),
        (["bench", "--batch", "99999999999999999999"], "expected whole numbers"),
        (["bench", "--threads", "2000"], "--threads: expected whole numbers"),
        (["bench", "--format", "tabel"], 'found "tabel"; did you mean table?'),
        (["bench", "--engine", "torhc"], 'found "torhc"; did you mean torch?'),
        (["bench", "--engine", ",native"], "--engine: expected names separated by commas"),
        (["bench", "--max-time", "-1"], "--max-time: expected a number from 0.01 to 86400"),
        (["bench", "--max-time", "nan"], 'found "nan"'),
        (["bench", "--device", "rocm"], "mean opencl, or cuda, as PyTorch on ROCm calls it?"),
        (["bench", "cnn-fahsion"], 'unknown workload "cnn-fahsion"; did you mean cnn-fashion?'),
        (["train"], "train needs more: breakeven train WORKLOAD"),
        (["train", "cnn-fashion", "cnn-mnist"], 'expected at most 1 argument, found "cnn-mnist"'),
        (["train", "cnn-fashion", "--lr", "x"], "--lr: expected a number"),
        (["train", "cnn-fashion", "--lr", "0"], "--lr: expected a number"),
        (["train", "cnn-fashion", "--seed", "-1"], "--seed: expected a whole number from 0"),
        (["train", "cnn-fashion", "--batch", "1,2"], "--batch: train takes one value"),
        (["train", "cnn-fashion", "--epochs", "1", "--steps", "1"], "give one of them"),
        (["train", "cnn-fashion", "--device", "all", *SMALL], "--device: train uses one device"),
        (["train", "cnn-fashion", "--checkpoint-every", "5"], "add --checkpoint DIR"),
        (["train", "cnn-fashion", "--checkpoint", "d", "--checkpoint-every", "often"],
         "expected a number of steps or 'epoch', found \"often\""),
        (["train", "cnn-fashion", "--batch", "201", *SMALL], "1 to the 200 pictures"),
        (["train", "cnn-fashion", "--export", ""], "--export: expected FILE, found an empty text"),
        (["eval", "cnn-fashion"], "eval needs weights: --weights FILE"),
        (["dump", "cnn-fashion"], "dump needs a file to write: -o FILE"),
        (["parity", "cnn-fashion", "--batch", "201", *SMALL], "at most the 200 pictures"),
        (["bench", "--batch", "201", "--engine", "native", *SMALL], "at most the 200 pictures"),
        (["data"], "data needs more: breakeven data list|verify|get"),
        (["data", "lsit"], 'expected list, verify or get, found "lsit"; did you mean list?'),
        (["data", "get"], "data get needs the name of a set"),
        (["data", "get", "mnits"], 'unknown set "mnits"; did you mean mnist?'),
        (["devices", "--refresh"], "--refresh: expected --measure beside it"),
        (["devices", "--time", "1"], "--time: expected --measure beside it"),
        (["completion", "tcsh"], 'expected bash, zsh or fish, found "tcsh"'),
        (["help", "trian"], 'unknown command "trian"; did you mean train?'),
        (["help", "--man", "train"], 'the man page is of all commands; leave "train" out'),
        (["cnn-fashion"], 'which is a workload; did you mean bench cnn-fashion, explain cnn-f'),
        (["cnn-fahsion"], "which is nearly a workload; did you mean bench cnn-fashion"),
        (["benchmark"], 'unknown command "benchmark"; did you mean bench?'),
        (["train", "cnn-fashion", "--batch-size", "3"], "did you mean --batch?"),
        (["train", "cnn-fashion", "--batch_size=3"], "did you mean --batch?"),
        (["train", "cnn-fashion", "--learning-rate", "3"], "did you mean --lr?"),
        (["bench", "--learning-rate", "3"], "unknown option --learning-rate; 'breakeven help"),
        (["train", "cnn-fashion", "--epoch", "3"], "did you mean --epochs?"),
        (["bench", "--gpu"], "did you mean --device cuda?"),
        (["bench", "--cpu"], "did you mean --device cpu?"),
        (["bench", "-e", "tf"], 'found "tf"; did you mean tensorflow?'),
        (["bench", "-e", "native,pytorch"], 'found "pytorch"; did you mean torch?'),
        (["bench", "-d", "gpu"], 'found "gpu"; did you mean cuda?'),
        (["train", "cnn-fashion", "-d", "cuda0"], 'found "cuda0"; did you mean cuda:0?'),
        (["sweep", "cnn-fashion", "--over", "batch=1..9", "--over", "steps=1..9"],
         "--over is given twice; the first would have no effect"),
        (["workloads", "-f", "csv", "-f", "json"], "--format is given twice"),
        (["bench", "--device", "cpu", "-dcpu"], "--device is given twice"),
        (["bench", "--time", "3", "--max-time", "1"], "at most the 1 s of --max-time, found 3"),
        (["explain", "cnn-fashion", "--time", "3", "--max-time", "1"], "at most the 1 s"),
        (["bench", "--data", "x", "--synthetic"], "with --synthetic no data set is looked for"),
        (["bench", "--dry-run", "-f", "json"], "a plan has one form; leave --format out"),
        (["train", "mlp-mnist", "--dry-run", "-f", "json"], "leave --format out"),
        (["train", "mlp-mnist", "--checkpoint-every", "epoch"], "add --checkpoint DIR"),
        (["eval", "mlp-mnist", "--seed", "1"], "--seed is no option of eval"),
        (["data", "get", "mnist", "-f", "json"], "data get has no results to write"),
        (["bench", "--engine", "torch", "--isa", "avx2"], "expected the native engine on the CPU"),
        (["bench", "--device", "null:0", "--engine", "native", "--threads", "1"],
         "--threads: expected the CPU among the devices"),
        (["train", "mlp-mnist", "--device", "null:0", "--threads", "1"], "the device is null:0"),
        (["train", "mlp-mnist", "--device", "null:0", "--isa", "avx2"], "the device is null:0"),
    ] + [
        (["advise", "cnn-fashion", "--from", "f", *words],
         f"{words[0]} and --from: with --from nothing is measured; leave one of the two out")
        for words in (["--device", "cpu"], ["--engine", "native"], ["--threads", "1"],
                      ["--precision", "fp32"], ["--seed", "1"], ["--data", "d"], ["--synthetic"],
                      ["--limit", "5"], ["--time", "1"], ["--max-time", "1"], ["--isa", "avx2"],
                      ["--library", "native"], ["--cuda-lib-dir", "d"])
    ]

    def test_each_mistake_has_its_sentence(self):
        for arguments, text in self.CASES:
            with self.subTest(arguments=arguments):
                result = self.bad(2, *arguments, says=[text], cwd=self.folder)
                self.assertEqual(result.stdout, "")
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_is_not_there(self):
        cases = [
            (["train", "cnn-fashion", "--device", "cuda:0"], ["cuda:0 is not usable", "install"]),
            (["train", "cnn-fashion", "--precision", "tf32"], ["precision tf32", "fp32"]),
            (["bench", "--device", "cuda:7", "--engine", "native"], ["cuda:7", "no engine"]),
            (["bench", "--precision", "tf32"], ["precision tf32"]),
        ]
        for arguments, texts in cases:
            with self.subTest(arguments=arguments):
                self.bad(3, *arguments, *SMALL, says=texts)
        self.bad(3, "bench", "--engine", "torch", env={"BREAKEVEN_PYTHON": "/bin/false"},
                 says=["engine torch", "BREAKEVEN_PYTHON", "/bin/false"])
        self.bad(3, "bench", "--engine", "torch", env={"BREAKEVEN_RUNNERS": self.folder},
                 says=["torch_runner.py", "BREAKEVEN_RUNNERS", self.folder])

    def test_options_may_stand_anywhere(self):
        outputs = {self.good(*words) for words in (
            ["workloads", "--format", "csv"], ["--format", "csv", "workloads"],
            ["workloads", "--format=csv"], ["workloads", "-fcsv"], ["-f", "csv", "workloads"],
            ["workloads", "-qfcsv"], ["--quiet", "workloads", "--quiet", "-f", "csv"])}
        self.assertEqual(len(outputs), 1)

    def test_standard_output_that_fails(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.bad(1, "workloads", stdout=full, says=["standard output could not be written"])


class TextTest(FolderTest):
    def test_help_fits_80_columns(self):
        for arguments in [["help"], ["--help"], ["--version"]] + [["help", c] for c in COMMANDS] \
                + [[c, "--help"] for c in COMMANDS]:
            text = self.good(*arguments)
            self.assertGreater(len(text), 50)
            for line in text.splitlines():
                self.assertLessEqual(len(line), 80, (arguments, line))
                self.assertEqual(line, line.rstrip(), (arguments, line))

    def test_help_names_all_commands_and_hides_the_runner(self):
        text = self.good("help")
        for command in COMMANDS:
            self.assertRegex(text, rf"\n  {command} +\S")
            self.assertIn(f"Usage: breakeven {command}", self.good("help", command))
        self.assertNotIn("runner", text)

    def test_version_names_libraries(self):
        text = self.good("--version")
        self.assertRegex(text, r"^breakeven \d+\.\d+\.\d+ \(")
        for library in ("oneDNN", "zlib", "jansson", "hwloc", "libcurl"):
            self.assertRegex(text, rf"{library} \d")

    def test_completions_are_scripts(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.good("completion", shell)
            for word in ("cnn-fashion", "checkpoint", "parity"):
                self.assertIn(word, script)
            if shutil.which(shell):
                check = subprocess.run([shell, "-n"], input=script, text=True, check=False,
                                       capture_output=True)
                self.assertEqual((check.returncode, check.stderr), (0, ""), shell)

    def complete(self, *words):
        script = self.good("completion", "bash") + (
            f"\nCOMP_WORDS=({' '.join(words)!s} '')\nCOMP_CWORD={len(words)}\n_breakeven\n"
            "echo ${COMPREPLY[@]}\n")
        return subprocess.run(["bash", "-c", script], text=True, check=True,
                              capture_output=True).stdout.split()

    def test_bash_completes(self):
        self.assertIn("train", self.complete("breakeven"))
        self.assertIn("cnn-mnist", self.complete("breakeven", "train"))
        self.assertIn("--resume", self.complete("breakeven", "train"))
        self.assertNotIn("--resume", self.complete("breakeven", "bench"))
        self.assertEqual(self.complete("breakeven", "bench", "--format"), FORMATS)

    def test_bash_completes_behind_a_colon(self):
        """bash breaks op:matmul in three, and puts what is behind the colon in place."""
        script = self.good("completion", "bash") + (
            "\nCOMP_LINE='breakeven bench op:ma'\nCOMP_POINT=${#COMP_LINE}\nCOMP_CWORD=4\n"
            "COMP_WORDBREAKS=$' \\n=:'\nCOMP_WORDS=(breakeven bench op : ma)\n_breakeven\n"
            "echo ${COMPREPLY[@]}\n")
        found = subprocess.run(["bash", "-c", script], text=True, check=True, capture_output=True)
        self.assertEqual(found.stdout, "matmul\n")

    def test_man_page(self):
        page = self.good("help", "--man")
        self.assertTrue(page.startswith(".TH BREAKEVEN 1"))
        for text in (".SH NAME", ".SH COMMANDS", ".SH OPTIONS", ".SH EXIT STATUS", "BREAKEVEN_DATA",
                     "checkpoint\\-every"):
            self.assertIn(text, page)
        if shutil.which("man"):
            check = subprocess.run(["man", "--warnings", "-l", "-"], input=page, text=True,
                                   capture_output=True, check=False, env={**os.environ,
                                                                          "MANWIDTH": "80"})
            self.assertEqual((check.returncode, check.stderr), (0, ""))


    def test_man_page_names_every_variable(self):
        """What the sources read of the environment is told, or stands here with the reason."""
        untold = {
            "HOME": "of the system", "PATH": "of the system", "TERM": "of the system",
            "PYTHONPATH": "of Python", "PYTHONHOME": "of Python", "VIRTUAL_ENV": "of Python",
            "CONDA_PREFIX": "of conda",
            "RANK": "of torchrun", "SLURM_PROCID": "of srun", "PMIX_RANK": "of PMIx",
            "BREAKEVEN_WORKER": "of the program, for the workers that it starts",
            "CUDA_HOME": "of NVIDIA's toolkit", "CUDA_PATH": "of NVIDIA's toolkit",
        }
        read = set()
        for path in (Path(os.environ["BREAKEVEN_SOURCE"]) / "src").rglob("*.c"):
            text = path.read_text()
            read.update(re.findall(r'getenv\("(\w+)"\)', text))
            read.update(re.findall(r'"((?:XDG|BREAKEVEN)_[A-Z_]+)"', text))
        page = self.good("help", "--man").replace("\\-", "-")
        told = set(re.findall(r"^\.B ([A-Z_]+)$", page, re.MULTILINE))
        self.assertIn("XDG_CACHE_HOME", read)
        self.assertEqual(sorted(read - told - set(untold)), [])
        self.assertEqual(sorted(told - read - {"CUDA_VISIBLE_DEVICES"}), [])


class FormatTest(FolderTest):
    def test_workloads(self):
        records = json.loads(self.good("workloads", "--format", "json"))
        networks = [r for r in records if not r["workload"].startswith("op:")]
        self.assertEqual({r["workload"]: r["params"] for r in networks}, WORKLOADS)
        lines = self.good("workloads", "--format", "jsonl").splitlines()
        self.assertEqual([json.loads(line) for line in lines], records)
        rows = list(csv.DictReader(io.StringIO(self.good("workloads", "--format", "csv"))))
        self.assertEqual([(r["workload"], int(r["params"])) for r in rows],
                         [(r["workload"], r["params"]) for r in records])
        md = self.good("workloads", "--format", "md").splitlines()
        self.assertEqual({line.count("|") for line in md}, {md[0].count("|")})
        for line in self.good("workloads").splitlines():
            self.assertLessEqual(len(line), 80)
        fashion = next(r for r in records if r["workload"] == "cnn-fashion")
        self.assertAlmostEqual(fashion["flops_per_step"] / 1e9, 0.39, delta=0.01)
        half = json.loads(self.good("workloads", "--format", "json", "--batch", "50"))
        self.assertAlmostEqual(half[3]["flops_per_step"] / fashion["flops_per_step"], 0.5,
                               delta=0.01)

    def test_devices(self):
        records = json.loads(self.good("devices", "--format", "json"))
        native = records[0]
        self.assertEqual((native["engine"], native["device"], native["usable"]),
                         ("native", "cpu", True))
        self.assertIn("oneDNN", native["libraries"]["blas"])
        missing = json.loads(self.good("devices", "--format", "json",
                                       env={"BREAKEVEN_PYTHON": "/bin/false"}))
        torch = [r for r in missing if r["engine"] == "torch"]
        self.assertEqual([r["usable"] for r in torch], [False])
        self.assertIn("BREAKEVEN_PYTHON", torch[0]["reason"])
        table = self.good("devices", env={"BREAKEVEN_PYTHON": "/bin/false"})
        self.assertIn("\nengine torch: expected the Python of BREAKEVEN_PYTHON", table)
        for record in missing:  # which device a reason is of
            if not record["usable"] and record["device"] != "-":
                self.assertIn(f"\n{record['engine']} on {record['device']}: ", table)

    CPU_ALONE = {"BREAKEVEN_PYTHON": "/bin/false", "BREAKEVEN_OPENCL_LIB_DIR": "/nonexistent"}

    def measure(self, form, *more, env=None):
        return self.good("devices", "--measure", "--time", "0.02", "--format", form, *more,
                         env={"XDG_CACHE_HOME": self.folder, "BREAKEVEN_PYTHON": "/bin/false",
                              **(env or {})})

    def test_devices_measured(self):
        records = [r for r in map(json.loads, self.measure("jsonl").splitlines()) if r["usable"]]
        self.assertEqual(records[0]["device"], "cpu")
        for record in records:
            limits = record["limits"]
            self.assertEqual(limits["device"], record["device"])
            values = [limits[name] for name in kept_limits.NUMBERS]
            values += [copy[way] for copy in limits["transfers"] for way in ("up_s", "down_s")]
            for value in values:  # on a busy machine some may not be believed
                self.assertTrue(value is None or 0 < value < 1e18, record)
            self.assertEqual((limits["flops_tf32"], limits["flops_bf16"]), (None, None))
            self.assertEqual(bool(limits["transfers"]), record["device"] != "cpu")
            self.assertIn("sensors", record)
        sensors = records[0]["sensors"]
        self.assertEqual(sensors["energy_j"] is None, sensors["energy_sensor"] is None)
        self.assertEqual(sensors["temperature_c"] is None, sensors["temperature_sensor"] is None)
        self.assertNotIn(0, sensors.values())

    def test_limits_that_were_kept(self):
        """The file's own values are shown, and where it is; --refresh looks at no file."""
        threads = json.loads(self.good("devices", "--format", "json", env=self.CPU_ALONE))[0][
            "hardware_threads"]
        path = kept_limits.keep(PROGRAM, self.folder, threads, flops_fp32=123.0e9)
        table = self.measure("table", env=self.CPU_ALONE)
        self.assertIn("123 GFLOP/s", table)
        self.assertRegex(" ".join(table.split()), "cpu: measured 2.*, read from " + self.folder)
        record = json.loads(self.measure("json", env=self.CPU_ALONE))[0]
        self.assertEqual((record["limits_cached"], record["limits_file"]), (True, path))
        self.assertNotIn("123 GFLOP/s", self.measure("table", "--refresh", env=self.CPU_ALONE))

    def test_tables_of_limits(self):
        table = self.measure("table").split("\n\n")
        titles = [part.split("\n")[0] for part in table[1:4]]
        self.assertEqual(titles[0], "What they can do at most")
        self.assertIn("Sensors", titles)
        for part in table[:3]:
            self.assertLessEqual(max(map(len, part.split("\n"))), 80, part)
        self.assertIn("cpu, ", table[1])
        self.assertIn("| fp32 | memory | cache | launch | round trip |", self.measure("md"))
        head = self.measure("csv").split("\n")[0]
        self.assertTrue(head.endswith(",sensors") and ",limits.flops_fp32," in head, head)
        plain = self.good("devices", "--format", "json", env={"BREAKEVEN_PYTHON": "/bin/false"})
        self.assertNotIn("limits", plain)

    def test_ascii_where_the_locale_has_no_more(self):
        for arguments in (["workloads"], ["bench", "mlp-mnist", *SMALL, "--engine", "native",
                                          "--threads", "1", "--max-time", "0.05"]):
            text = self.good(*arguments, env={"LC_ALL": "C"})
            self.assertTrue(text.isascii(), text)


if __name__ == "__main__":
    unittest.main()
