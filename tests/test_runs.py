"""breakeven runs: what the commands keep, and what is done with it."""
import json
import os
import re
import signal
import sqlite3
import subprocess
import unittest

from cli_support import PROGRAM, SMALL, FolderTest, run

BENCH = ["bench", "mlp-mnist", *SMALL, "--engine", "native", "--threads", "1", "--max-time", "0.2"]
TRAIN = ["train", "mlp-mnist", *SMALL, "--epochs", "2", "--batch", "50", "-q"]


class Runs(FolderTest):
    def setUp(self):
        super().setUp()
        self.environment = {"XDG_DATA_HOME": self.path("data")}

    def runs(self, *arguments, **more):
        return self.good("runs", *arguments, env=self.environment, **more)

    def listed(self, *arguments):
        return json.loads(self.runs("-f", "json", *arguments))

    def measure(self, *command, **more):
        """A busy machine may fail a bench; that it measures and keeps is what counts."""
        return run(*command, env={**self.environment, **more.pop("env", {})}, **more)

    def test_every_command_keeps_its_records(self):
        printed = self.measure(*BENCH, "-f", "jsonl").stdout
        self.measure("explain", *BENCH[1:])
        self.measure("advise", *BENCH[1:], "--epochs", "1")
        self.good(*TRAIN, env=self.environment)
        found = {each["command"]: each for each in self.listed()}
        self.assertEqual(sorted(found), ["advise", "bench", "explain", "train"])
        self.assertEqual(found["train"]["records"], 2)
        for each in found.values():
            self.assertEqual(each["workloads"], "mlp-mnist")
            self.assertEqual(each["devices"], "cpu")
            self.assertRegex(each["machine"], r"\w+.*, \d+ threads?, [\d.]+ GiB")
        # A record is kept as it was printed, and one that explain completed is complete.
        self.assertEqual(self.runs("export", found["bench"]["run"]), printed)
        explained = [json.loads(line) for line in
                     self.runs("export", found["explain"]["run"]).splitlines()]
        self.assertTrue(any("explain" in record for record in explained), explained)
        kinds = [json.loads(line)["kind"] for line in
                 self.runs("export", found["advise"]["run"]).splitlines()]
        self.assertEqual((kinds[0], kinds[-1]), ("bench", "advice"))

    def test_what_is_not_to_be_kept(self):
        self.measure(*BENCH, "--no-store")
        self.good(*TRAIN, "--no-store", env=self.environment)
        self.good("bench", "mlp-mnist", "--synthetic", "--dry-run", env=self.environment)
        self.assertFalse(os.path.exists(self.path("data", "breakeven", "results.db")))
        self.bad(2, "bench", "mlp-mnist", "--dry-run", "--no-store", says=["leave --no-store out"])
        self.bad(2, "advise", "mlp-mnist", "--from", "x", "--no-store",
                 says=["nothing is measured"])

    def test_a_folder_that_cannot_be_written_is_told_once(self):
        done = run(*TRAIN[:-1], env={"XDG_DATA_HOME": "/dev/null/x"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("the results are not kept"), 1, done.stderr)
        self.assertIn("--no-store leaves this out", done.stderr)

    def test_a_killed_training_keeps_its_epochs(self):
        process = subprocess.Popen(
            [PROGRAM, "train", "mlp-mnist", *SMALL, "--epochs", "1000000", "-f", "jsonl"],
            env={**os.environ, **self.environment}, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL)
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        kept = self.runs("export").splitlines(keepends=True)
        # The line is printed before it is kept: the last one may have been in flight.
        self.assertEqual(kept[:2], lines[:2])

    def test_list_show_note_remove(self):
        self.good(*TRAIN, env=self.environment)
        self.good(*TRAIN, "--seed", "7", env=self.environment)
        self.runs("note", "1", "with the window open")
        page = self.runs()
        self.assertIn("mlp-mnist", page)
        self.assertEqual([each["note"] for each in self.listed()], [None, "with the window open"])
        shown = " ".join(self.runs("show", "1").split())
        self.assertIn("run 1: train, began ", shown)
        self.assertIn(": with the window open", shown)
        self.assertIn("validation accuracy", shown)
        self.assertEqual([r["epoch"] for r in json.loads(self.runs("show", "2", "-f", "json"))],
                         [1, 2])
        self.assertEqual([each["run"] for each in self.listed("--last", "1")], [2])
        self.assertIn("1 older run: --last 2", self.runs("--last", "1"))
        # On a narrow page the texts beside it are cut, and no date.
        narrow = run("runs", env={**self.environment, "COLUMNS": "60"}).stdout
        self.assertEqual(len(re.findall(r" 20\d\d-\d\d-\d\d \d\d:\d\d ", narrow)), 2, narrow)
        self.assertEqual(self.listed("--workload", "cnn-mnist"), [])
        self.assertEqual(self.listed("--since", "2001-01-01", "--until", "2002-01-01"), [])
        self.assertEqual(len(self.listed("--device", "cpu", "--since", "2001-01-01")), 2)
        self.runs("remove", "1")
        self.assertEqual([each["run"] for each in self.listed()], [2])
        self.bad(2, "runs", "show", "1", env=self.environment, says=["none of number 1"])
        # One that is not there, and none is removed.
        self.bad(2, "runs", "remove", "2", "9", env=self.environment, says=["none of number 9"])
        self.assertEqual([each["run"] for each in self.listed()], [2])

    def test_export_and_import(self):
        self.good(*TRAIN, env=self.environment)
        file, other = self.path("runs.jsonl"), {"XDG_DATA_HOME": self.path("other")}
        self.runs("export", "-o", file)
        self.assertIn("2 records in 1 run, 0 there", self.good("runs", "import", file, env=other))
        with open(file, encoding="utf-8") as lines:
            exported = lines.read()
        again = self.good("runs", "import", "-", input=exported, env=other)
        self.assertIn("standard input: 0 records in 0 runs, 2 there already", again)
        self.assertEqual(self.good("runs", "export", env=other), exported)
        with open(file, "a", encoding="utf-8") as lines:
            lines.write('{"schema": 1, "kind": "epoch"}\n')
        third = {"XDG_DATA_HOME": self.path("third")}
        self.bad(1, "runs", "import", file, env=third,
                 says=[file + ', line 3, member "workload"'])
        self.assertEqual(self.good("runs", "export", env=third), "")

    def database(self):
        return self.path("data", "breakeven", "results.db")

    def expect_fault(self, says, **more):
        """Whoever reads is told in one sentence; who measures goes on, and is told once."""
        for command in (["runs"], ["runs", "export"], ["compare", "1", "2"],
                        ["report", "1", "-o", self.path("report.html")]):
            done = run(*command, env=self.environment, **more)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertEqual(done.stdout, "")
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(says, done.stderr)
        self.assertFalse(os.path.exists(self.path("report.html")))
        done = run(*TRAIN[:-1], env=self.environment, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("the results are not kept"), 1, done.stderr)
        self.assertIn(says, done.stderr)

    def test_a_newer_and_a_damaged_database(self):
        self.good(*TRAIN, env=self.environment)
        with sqlite3.connect(self.database()) as database:
            database.execute("PRAGMA user_version = 99")
        self.expect_fault("found version 99 of a newer breakeven; use that one")
        with sqlite3.connect(self.database()) as database:
            database.execute("PRAGMA user_version = 1")
        self.assertEqual(len(self.listed()), 1)
        with open(self.database(), "r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (os.path.getsize(self.database()) - 4096))
        self.expect_fault("found a damaged one; move it away")

    def test_a_folder_that_is_read_only(self):
        """What is kept is read, and nothing is lost by who would write."""
        self.good(*TRAIN, env=self.environment)
        folder = os.path.dirname(self.database())
        os.chmod(self.database(), 0o444)
        os.chmod(folder, 0o555)
        self.addCleanup(os.chmod, folder, 0o755)
        os.chmod(self.folder, 0o755)
        # Root may write whatever the permissions say.
        other = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        self.environment["XDG_CACHE_HOME"] = self.path("nobody's")

        def words(*command):
            return subprocess.run([PROGRAM, *command], env={**os.environ, **self.environment},
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  check=False, cwd="/", **other)
        try:
            listed = words("runs", "-f", "json").stdout
        except PermissionError:
            self.skipTest("another user than root cannot run " + PROGRAM)
        self.assertEqual(json.loads(listed), self.listed())
        for command in (["runs", "note", "1", "x"], ["runs", "remove", "1"]):
            done = words(*command)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("found it read-only; change its permissions", done.stderr)
        done = words(*TRAIN[:-1])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("the results are not kept"), 1, done.stderr)
        self.assertEqual(len(self.listed()), 1)

    def test_a_disk_that_is_full(self):
        """A small file system of its own: what was kept before stays, whole."""
        disk = self.path("disk")
        os.mkdir(disk)
        self.environment["XDG_DATA_HOME"] = disk
        many = self.path("many.jsonl")
        with open(many, "w", encoding="utf-8") as file:
            for seed in range(2000):
                record = {"schema": 1, "kind": "epoch", "workload": "mlp-mnist", "seed": seed,
                          "log": "x" * 400}
                file.write(json.dumps(record) + "\n")
        script = [f"mount -t tmpfs -o size=300k none {disk} || exit 99",
                  f"{PROGRAM} {' '.join(TRAIN)} > /dev/null || exit 98",
                  f"{PROGRAM} runs import {many}; echo import $?",
                  f"{PROGRAM} runs export",
                  f"{PROGRAM} {' '.join(TRAIN[:-1])} > /dev/null; echo train $?",
                  f"dd if=/dev/zero of={disk}/fill bs=1k 2> /dev/null",
                  f"{PROGRAM} runs -f jsonl; echo runs $?"]
        done = subprocess.run(["unshare", "--mount", "sh", "-c", "\n".join(script)], check=False,
                              env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode in (1, 99):
            self.skipTest("a file system of its own cannot be mounted here: " + done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("results.db: expected room for it, found the disk full; free some",
                      done.stderr)
        lines = done.stdout.splitlines()
        trained = lines.index("train 0")
        self.assertEqual(lines[0], "import 1")
        self.assertEqual([json.loads(line)["epoch"] for line in lines[1:trained]], [1, 2])
        # What readers share finds no room any more, and what is kept is read.
        self.assertEqual(lines[-1], "runs 0")
        self.assertEqual(json.loads(lines[-2])["records"], 2)

    def test_bad_requests(self):
        for arguments, text in ((["shwo"], "did you mean show?"),
                                (["show"], "the number of one run"),
                                (["show", "x"], 'the number of a run, found "x"'),
                                (["note", "1"], "and a text in quotes"),
                                (["remove"], "the numbers of runs"),
                                (["import"], "a file of records"),
                                (["list", "3"], "'runs show 3'"),
                                (["show", "1", "--last", "2"], "has no effect on runs show"),
                                (["remove", "1", "--engine", "torch"], "does not choose by it"),
                                (["--engine", "native,torch"], "runs takes one of them"),
                                (["--since", "yesterday"], "a day as in 2026-11-30")):
            self.bad(2, "runs", *arguments, env=self.environment, says=[text])


if __name__ == "__main__":
    unittest.main()
