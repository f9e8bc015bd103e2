"""What the outputs of all commands stand for: devices, pipes, links and standard output are written
to and never replaced."""
import json
import os
import stat
import subprocess
import threading
import unittest

from cli_support import PROGRAM, SMALL, FolderTest, run

TRAIN = ["train", "mlp-mnist", *SMALL, "--steps", "1"]


class OutputsTest(FolderTest):
    def setUp(self):
        super().setUp()
        devices = {"cpu": {"sample": 2e-4}, "cuda:0": {"step": 8e-3}}
        self.environment = {**self.fake_torch("--devices", json.dumps(devices), "--steady"),
                            "XDG_STATE_HOME": self.path("state"),
                            "XDG_CACHE_HOME": self.path("cache")}

    def writers(self):
        """(name, the command that writes to a path) of every output of every command.

        Those that measure may find the machine too busy: what they write is looked at, and not how
        they end.
        """
        fast = [*SMALL, "--engine", "torch", "--threads", "1", "--max-time", "0.2"]
        sweep = ["sweep", "cnn-fashion", "--over", "batch=32..64", *fast]
        return [("dump", ["dump", "mlp-mnist", *SMALL, "-o"]),
                ("export", [*TRAIN, "--export"]),
                ("trace", ["explain", "mlp-mnist", *fast, "--trace"]),
                ("svg", [*sweep, "--svg"]),
                ("records", [*sweep, "-o"])]

    def read_while(self, path, *command):
        """What a reader of the FIFO gets while the command runs."""
        got = []

        def read():
            with open(path, "rb") as file:
                got.append(file.read())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        run(*command, env=self.environment)
        reader.join(60)
        return got[0]

    def test_a_fifo_gets_every_output_and_stays(self):
        for name, command in self.writers():
            with self.subTest(name):
                path = self.path(name)
                os.mkfifo(path)
                self.assertGreater(len(self.read_while(path, *command, path)), 100)
                self.assertTrue(stat.S_ISFIFO(os.lstat(path).st_mode))

    def test_a_link_stays_and_its_file_is_written(self):
        os.mkdir(self.path("there"))
        for name, command in self.writers():
            with self.subTest(name):
                os.symlink(os.path.join("there", name), self.path(name))
                run(*command, self.path(name), env=self.environment)
                self.assertTrue(os.path.islink(self.path(name)))
                self.assertGreater(os.path.getsize(self.path("there", name)), 100)
        self.assertEqual(sorted(os.listdir(self.path("there"))),
                         sorted(name for name, _ in self.writers()))

    def test_a_device_stays(self):
        for name, command in self.writers():
            with self.subTest(name):
                os.symlink("/dev/null", self.path(name))
                run(*command, self.path(name), env=self.environment)
                self.assertTrue(os.path.islink(self.path(name)))
        self.assertTrue(stat.S_ISCHR(os.lstat("/dev/null").st_mode))

    def test_standard_output_has_the_file_alone(self):
        """Before and behind it stands what others write, and what people read goes elsewhere."""
        self.good("dump", "mlp-mnist", *SMALL, "-o", self.path("whole"))
        self.good(*TRAIN, "--export", self.path("weights"))
        for name, command in [("whole", ["dump", "mlp-mnist", *SMALL, "-o"]),
                              ("weights", [*TRAIN, "--export"])]:
            with open(self.path(name), "rb") as file:
                whole = file.read()
            for place in ("/dev/stdout", "/dev/fd/1", "-"):
                done = subprocess.run([PROGRAM, *command, place], capture_output=True, check=True)
                self.assertTrue(done.stdout == whole, (name, place))
                with open(self.path("around"), "wb") as file:
                    file.write(b"before")
                    file.flush()
                    subprocess.run([PROGRAM, *command, place], stdout=file, check=True,
                                   stderr=subprocess.DEVNULL)
                    file.write(b"behind")
                with open(self.path("around"), "rb") as file:
                    self.assertTrue(file.read() == b"before" + whole + b"behind", (name, place))
        self.assertIn(b"weights: standard output", done.stderr)
        self.assertFalse(os.path.exists("-"))

    def test_standard_output_has_records_alone(self):
        name, command = self.writers()[-1]
        done = run(*command, "-", "-f", "table", env=self.environment)
        kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
        self.assertEqual(kinds[0], "sweep", name)
        self.assertIn("kept in standard output", done.stderr)
        self.bad(2, *command, "-", "--svg", "/dev/stdout", env=self.environment,
                 says=["--output and --svg both name standard output", "another file"])

    def test_what_cannot_be_written_is_refused_at_once(self):
        for name, command in self.writers():
            with self.subTest(name):
                result = self.bad(1, *command, self.path("none", name), env=self.environment,
                                  says=[self.path("none", name), "check the path"])
                self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
