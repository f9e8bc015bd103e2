"""A checkpointed training that is killed (SIGKILL) at random moments, and resumed each time, ends
with the weights of an undisturbed one, bit for bit.

BREAKEVEN_KILLS sets the number of kills (100), BREAKEVEN_SEED the moments.
"""
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import own_home  # noqa: F401

PROGRAM = os.environ["BREAKEVEN_PROGRAM"]
KILLS = int(os.environ.get("BREAKEVEN_KILLS", "100"))
SEED = int(os.environ.get("BREAKEVEN_SEED", time.time_ns() % 1000000))
LIMIT_S = 600


def training(threads, *more):
    return [PROGRAM, "train", "mlp-mnist", "--synthetic", "--limit", "120", "--batch", "8",
            "--steps", "250", "--seed", "3", "--threads", str(threads), "--quiet", *more]


def finish(command):
    """Run to the end; the seconds it took."""
    start = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert result.returncode == 0, (command, result.returncode, result.stderr)
    return time.monotonic() - start


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Kill9Test(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.random = random.Random(SEED)
        self.whole = 0   # checkpoints that the last kill left
        self.inside = 0  # kills that found a checkpoint: the training had begun

    def path(self, name):
        return os.path.join(self.folder, name)

    def check_folder(self):
        """Two checkpoints, the best, and an unfinished file of each kind; a kill between a
        checkpoint's rename and the clean-up leaves one more, which the next clean-up takes.  The
        lock that a killed training leaves is no obstacle, and goes with the next that ends."""
        names = sorted(set(os.listdir(self.path("checkpoints"))) -
                       {"mlp-mnist.lock", "mlp-mnist-best.safetensors"})
        whole = [n for n in names if re.fullmatch(r"mlp-mnist-\d{10}\.safetensors", n)]
        rest = [n for n in names if n not in whole]
        self.assertLessEqual(len(whole), max(self.whole, 2) + 1, names)
        self.whole = len(whole)
        self.assertLessEqual(len(rest), 2, names)
        for name in rest:
            self.assertRegex(name, r"^mlp-mnist-(\d{10}|best)\.safetensors\.tmp$")
        return whole

    def start(self, threads):
        """The training from where its folder is."""
        command = training(threads, "--checkpoint", self.path("checkpoints"), "--checkpoint-every",
                           "7", "--export", self.path("resumed"))
        if os.path.isdir(self.path("checkpoints")) and self.check_folder():
            command += ["--resume", self.path("checkpoints")]
            self.inside += 1
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True)

    def kill_or_finish(self, child, after_s):
        """True if it was killed; a training that ends by itself must end well."""
        try:
            _, log = child.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.communicate()
            return child.returncode == -signal.SIGKILL
        self.assertEqual(child.returncode, 0, log)
        return False

    def disturb(self, threads, kills):
        finish(training(threads, "--export", self.path("whole")))
        usual_s = finish(training(threads, "--checkpoint", self.path("timing"),
                                  "--checkpoint-every", "7"))
        killed = 0
        # Most kills must hit a training, not its start: else the test would test nothing.
        wanted = self.inside + kills // 3
        while killed < kills or self.inside < wanted:
            self.assertLess(killed, 10 * kills, f"few trainings were hit: BREAKEVEN_SEED={SEED}")
            ended = False
            while not ended and (killed < kills or self.inside < wanted):
                # Short and long lives: the first die before the first checkpoint.
                after_s = self.random.uniform(0, usual_s) * self.random.choice([0.3, 1])
                was_killed = self.kill_or_finish(self.start(threads), after_s)
                killed += was_killed
                if self.inside < wanted * killed / kills:  # all takes longer than it did
                    usual_s *= 1.1
                ended = not was_killed
            if not ended:
                self.assertFalse(self.kill_or_finish(self.start(threads), LIMIT_S))
            self.check_folder()
            self.assertNotIn("mlp-mnist.lock", os.listdir(self.path("checkpoints")))
            self.assertTrue(read(self.path("resumed")) == read(self.path("whole")),
                            f"other weights than without kills: BREAKEVEN_SEED={SEED}")
            shutil.rmtree(self.path("checkpoints"))
            self.whole = 0
            os.remove(self.path("resumed"))

    def test_one_thread(self):
        self.disturb(1, KILLS - KILLS // 5)

    def test_two_threads(self):
        self.disturb(2, KILLS // 5)


if __name__ == "__main__":
    unittest.main()
