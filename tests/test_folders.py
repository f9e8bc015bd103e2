"""Folders that a training or a sweep saves to: one process at a time, the same command line for
each start of a job, and what happens where there is none that can be written."""
import json
import os
import signal
import subprocess
import unittest

from cli_support import PROGRAM, SMALL, FolderTest, run

TRAIN = ["train", "mlp-mnist", *SMALL, "--threads", "1"]


class Locks(FolderTest):
    def test_a_second_training_is_refused(self):
        folder = self.path("c")
        first = subprocess.Popen([PROGRAM, *TRAIN, "--epochs", "1000000", "-c", folder],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while "best" not in first.stdout.readline():
                self.assertIsNone(first.poll())
            for place in (["-c", folder], ["--resume", folder], ["--resume-if-any", folder]):
                self.bad(1, *TRAIN, "--steps", "1", *place,
                         says=[folder, f"that of process {first.pid} since 20", "wait for its end",
                               "name another folder by --checkpoint"])
            # Another network, and who only reads.
            self.good("train", "cnn-fashion", *TRAIN[2:], "--steps", "1", "-c", folder)
            self.good(*TRAIN, "--steps", "1", "-c", self.path("other"))
            first.send_signal(signal.SIGTERM)
            first.communicate(timeout=60)
            self.assertEqual(first.returncode, 143)
        finally:
            first.kill()
            first.communicate()
        self.good(*TRAIN, "--epochs", "1", "--export", self.path("w"))
        self.assertFalse([name for name in os.listdir(folder) if "lock" in name])


class Jobs(FolderTest):
    """--resume-if-any: the same command line each time."""

    def test_training(self):
        folder = self.path("new", "c")
        job = [*TRAIN, "--resume-if-any", folder]
        first = run(*job, "--steps", "3")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn(f"{folder} has no checkpoint of mlp-mnist yet: from the start", first.stderr)
        second = run(*job, "--steps", "5", "--export", self.path("resumed"))
        self.assertIn("going on from step 3", second.stderr)
        self.good(*TRAIN, "--steps", "5", "--export", self.path("whole"))
        with open(self.path("resumed"), "rb") as one, open(self.path("whole"), "rb") as other:
            self.assertTrue(one.read() == other.read())
        self.good(*TRAIN, "--steps", "1", "-c", self.path("b"),
                  "--resume-if-any", self.path("none"))
        self.assertEqual(set(os.listdir(self.path("b"))),
                         {"mlp-mnist-0000000001.safetensors", "mlp-mnist-best.safetensors"})
        self.assertFalse(os.path.exists(self.path("none")))

    def test_what_is_refused(self):
        self.bad(2, *TRAIN, "--resume-if-any", "a", "--resume", "b", says=["give one of them"])
        self.bad(2, *TRAIN, "--resume-if-any", __file__, says=["expected a folder", "by --resume"])
        self.good(*TRAIN, "--steps", "2", "-c", self.path("c"))
        self.bad(2, *TRAIN, "--steps", "3", "--seed", "7", "--resume-if-any", self.path("c"),
                 says=["expected a checkpoint with the seed 7"])
        sweep = ["sweep", "cnn-fashion", "--over", "batch=8..16", "--resume-if-any"]
        self.bad(2, *sweep, "x", "--resume", "y", says=["give one of them"])
        self.bad(2, *sweep, "x", "-o", "y", says=["leave --output out"])

    def test_sweep(self):
        environment = {**self.fake_torch("--steady"), "XDG_STATE_HOME": self.path("state")}
        sweep = ["sweep", "cnn-fashion", "--over", "batch=32..64", "--engine", "torch", *SMALL,
                 "--threads", "1", "--max-time", "0.2", "-f", "json"]
        for place in ([], [self.path("file")]):
            first, second = (json.loads(run(*sweep, "--resume-if-any", *place,
                                            env=environment).stdout) for _ in range(2))
            self.assertEqual(first["loaded"], 0)
            self.assertEqual(second["loaded"], first["measured"])
            self.assertEqual(first["file"], second["file"])
            self.assertTrue(not place or first["file"] == place[0])


class Bytes(FolderTest):
    """A file's name is bytes; what is no UTF-8 in it is replaced in JSON, and nowhere else."""

    def setUp(self):
        super().setUp()
        self.odd = os.fsencode(self.folder) + b"/odd\xff"
        self.shown = self.path("odd\ufffd")
        os.mkdir(self.odd)

    def json(self, *command, code=0, **environment):
        done = subprocess.run([PROGRAM, *command, "-f", "json"], capture_output=True, check=False,
                              env={**os.environ, "LC_ALL": "C.UTF-8", **environment})
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout.decode("utf-8"))

    def test_data_and_weights(self):
        for name, magic, shape, bytes_each in (("t10k-images-idx3-ubyte", 0x803, [28, 28], 784),
                                               ("t10k-labels-idx1-ubyte", 0x801, [], 1)):
            for kind in ("t10k", "train"):
                with open(os.path.join(self.odd, name.replace("t10k", kind).encode()),
                          "wb") as file:
                    for number in (magic, 8, *shape):
                        file.write(number.to_bytes(4, "big"))
                    file.write(bytes(8 * bytes_each))
        weights = self.odd + b"/w"
        epoch, = self.json("train", "mlp-mnist", "--data", self.odd, "--batch", "4", "--steps", "1",
                           "--export", weights)
        self.assertIn(self.shown, epoch["data"])
        found, = self.json("eval", "mlp-mnist", "--data", self.odd, "--batch", "4", "-w", weights)
        self.assertEqual(found["weights"], os.path.join(self.shown, "w"))
        self.assertIn(self.shown, found["data"])
        listed = {entry["set"]: entry for entry in self.json("data", "list", "--data", self.odd)}
        self.assertEqual(listed["mnist"]["folder"], self.shown)
        checked, = self.json("data", "verify", "mnist", "--data", self.odd, code=1)
        self.assertIn(self.shown, json.dumps(checked, ensure_ascii=False))

    def test_what_the_environment_says(self):
        found = self.json("bench", "mlp-mnist", *SMALL, "--engine", "native", "--threads", "1",
                          "--max-time", "0.1", OMP_PLACES=b"{0}\xff")
        self.assertIn("{0}\ufffd", json.dumps(found, ensure_ascii=False))

    def test_outputs(self):
        self.json("workloads")
        for command in (["dump", "mlp-mnist", *SMALL, "-o", self.odd + b"/dump"],
                        [*TRAIN, "--steps", "1", "-c", self.odd + b"/c"]):
            subprocess.run([PROGRAM, *command], check=True, capture_output=True)
        self.assertEqual(sorted(os.listdir(self.odd)), [b"c", b"dump"])

    def test_a_temporary_folder(self):
        done = subprocess.run([PROGRAM, "bench", "mlp-mnist", *SMALL, "--engine", "native"],
                              env={**os.environ, "TMPDIR": os.fsdecode(self.odd)},
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(b"TMPDIR: expected a folder whose name is UTF-8", done.stderr)
        self.assertEqual(os.listdir(self.odd), [])


class NoHome(FolderTest):
    """Nothing can be made below /dev/null, by root neither."""

    def setUp(self):
        super().setUp()
        self.environment = {**self.fake_torch("--steady"), "HOME": "/dev/null",
                            "BREAKEVEN_DATA": ""}
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            self.environment[name] = "/dev/null/x"

    def test_every_command_works(self):
        fast = [*SMALL, "--engine", "torch", "--threads", "1", "--max-time", "0.2"]
        for command in (["devices"], ["workloads"], ["data", "list"], ["help"],
                        ["dump", "mlp-mnist", *SMALL, "-o", self.path("dump")],
                        ["parity", "mlp-mnist", *SMALL, "--engine", "native"],
                        [*TRAIN, "--steps", "1", "--export", self.path("w")],
                        ["eval", "mlp-mnist", *SMALL, "-w", self.path("w")]):
            self.good(*command, env=self.environment)
        # The machine may be too busy for these; that they measure is what counts.
        for command in (["bench", "mlp-mnist"], ["explain", "mlp-mnist"]):
            done = run(*command, *fast, "-f", "json", env=self.environment)
            self.assertTrue(json.loads(done.stdout), (command, done.stderr))

    def test_a_sweep_goes_on_without_being_kept(self):
        sweep = ["sweep", "cnn-fashion", "--over", "batch=32..64", "--engine", "torch", *SMALL,
                 "--threads", "1", "--max-time", "0.2"]
        done = run(*sweep, "-f", "json", env=self.environment)
        self.assertIsNone(json.loads(done.stdout)["file"])
        self.assertEqual(done.stderr.count("the sweep is not kept"), 1, done.stderr)
        self.assertIn("Not a directory", done.stderr)
        self.assertIn("name a file by --output", done.stderr)
        self.assertIn(", not kept", " ".join(run(*sweep, env=self.environment).stdout.split()))
        self.bad(1, *sweep, "-o", self.path("none", "file"), env=self.environment,
                 says=[self.path("none", "file"), "check the path"])

    def test_an_interrupted_training_says_that_it_is_lost(self):
        process = subprocess.Popen([PROGRAM, *TRAIN, "--epochs", "1000000"], text=True,
                                   env={**os.environ, **self.environment}, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        while "best" not in process.stdout.readline():
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, log)
        self.assertIn("not saved: cannot make the folder /dev/null", log)
        self.assertIn("name a folder by --checkpoint", log)

    def test_data_get_names_the_option(self):
        self.bad(1, "data", "get", "mnist", env=self.environment,
                 says=["/dev/null", "name another place by --data"])

    def test_a_temporary_folder_that_cannot_be_written(self):
        self.bad(1, "bench", "mlp-mnist", *SMALL, "--engine", "native",
                 env={**self.environment, "TMPDIR": "/dev/null/x"},
                 says=["temporary folder in /dev/null/x", "set TMPDIR to a folder"])


if __name__ == "__main__":
    unittest.main()
