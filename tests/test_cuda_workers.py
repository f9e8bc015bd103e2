"""Trainings by several workers on GPUs, with the fake device and the fake NCCL of tests/fake_cuda.
"""
import json
import math
import operator
import os
import signal
import subprocess
import time
import unittest

from cli_support import LIMIT_S, PROGRAM, FolderTest, floats, read_safetensors
from test_workers import wait_for_checkpoint, workers_of

FAKES = os.environ.get("BREAKEVEN_FAKE_CUDA")
TWO = {"BREAKEVEN_CUDA_LIB_DIR": FAKES or "", "FAKE_CUDA_DEVICES": "2"}
DATA = ["--synthetic", "--limit", "200", "--batch", "16", "--no-store"]
TRAIN = ["train", "mlp-mnist", *DATA]
GPUS = ["--device", "cuda", "--workers", "2"]
# Sums of single precision in another order, over some dozens of steps; of the largest weight.
ROUNDING = 2e-6
# Two buckets of gradients.
LANGUAGE = ["train", "gpt2", "--layers", "1", "--width", "64", "--heads", "2", "--seq", "16",
            "--vocab", "70000", "--batch", "2", "--synthetic", "--limit", "64", "--no-store"]


@unittest.skipUnless(FAKES, "the fake device is built on Linux only")
class CudaWorkersTest(FolderTest):
    def weights(self, name, *options, words=(*TRAIN, "--steps", "30")):
        path = self.path(name)
        self.good(*words, "--quiet", "--export", path, *options, env=TWO)
        return path

    def assert_same_training(self, first, second, rounding=ROUNDING):
        a, b = read_safetensors(first), read_safetensors(second)
        self.assertEqual(list(a), list(b))
        largest = difference = 0.0
        for name in a:  # of gpt2's table millions: nothing is made of each
            x, y = floats(a[name]), floats(b[name])
            self.assertFalse(any(map(math.isnan, y)), name)
            largest = max(largest, max(map(abs, x)))
            difference = max(difference, max(map(abs, map(operator.sub, x, y))))
        self.assertLessEqual(difference, rounding * largest)

    def assert_same_bytes(self, first, second):
        with open(first, "rb") as a, open(second, "rb") as b:
            self.assertTrue(a.read() == b.read(), (first, second))

    def test_gpus_train_as_one(self):
        for place in ("device", "host"):
            with self.subTest(place=place):
                where = ["--data-on", place]
                alone = self.weights("alone", "--device", "cuda:0", *where)
                found = self.weights("two", *GPUS, *where)
                self.assert_same_training(alone, found)
                self.assert_same_bytes(found, self.weights("again", *GPUS, *where))

    def test_buckets_are_added_up_in_one_order(self):
        """The fake's ranks run their graphs in different orders, and look at what they add up."""
        words = [*LANGUAGE, "--steps", "3"]
        alone = self.weights("alone", "--device", "cuda:0", words=words)
        # Adam divides gradients by their size, so that the rounding of the smallest counts.
        self.assert_same_training(alone, self.weights("two", *GPUS, words=words), 10 * ROUNDING)

    def test_batch_norm_is_synced(self):
        """A synced pair has one GPU's losses, two steps long: then few values of a channel make
        much of their roundings."""
        words = ["train", "resnet18-cifar", "--size", "8", "--batch", "4", "--limit", "8",
                 "--steps", "2", "--synthetic", "--no-store", "--format", "json"]

        def loss_of(*options):
            return json.loads(self.good(*words, *options, env=TWO))[0]["loss"]
        alone = loss_of("--device", "cuda:0")
        self.assertAlmostEqual(loss_of(*GPUS, "--sync-batch-norm"), alone, delta=1e-3 * alone)

    def test_clips_compare_the_pairs_of_all(self):
        """As the processor does alone; the norm of the gradients tells what Adam does not."""
        words = ["train", "clip", "--layers", "1", "--width", "16", "--heads", "2", "--seq", "20",
                 "--size", "16", "--vocab", "128", "--batch", "4", "--limit", "8", "--steps", "2",
                 "--clip", "0.5", "--synthetic", "--no-store", "--format", "json"]
        alone, = json.loads(self.good(*words))
        both, = json.loads(self.good(*words, *GPUS, env=TWO))
        for name in ("loss", "last_gradient_norm"):
            self.assertAlmostEqual(both[name], alone[name], delta=1e-5 * alone[name])
        for name in ("accuracy", "accuracy_back"):
            self.assertEqual(both[name], alone[name])

    def test_the_page_names_all_of_them(self):
        told = " ".join(self.good(*TRAIN, "--steps", "1", *GPUS, env=TWO).split())
        self.assertIn("batch 16 by 2 workers of 8 each, on cuda:0 to cuda:1: Fake GPU 0", told)
        self.assertIn("NCCL 2.28.5", told)
        self.assertNotIn("0 threads", told)

    def test_a_checkpoint_goes_on_elsewhere(self):
        folder = self.path("checkpoints")
        alone = self.weights("alone", "--device", "cuda:0")
        self.good(*TRAIN, "--steps", "10", "--quiet", "--checkpoint", folder, *GPUS, env=TWO)
        self.good(*TRAIN, "--steps", "20", "--quiet", "--resume", folder, "--workers", "2", env=TWO)
        self.assert_same_training(alone, self.weights("resumed", "--resume", folder, *GPUS))

    def test_what_cannot_be_is_refused_in_one_sentence(self):
        for variables, code, says in [
                ({"CUDA_VISIBLE_DEVICES": "1,1"}, 2,
                 ["rank 0 and rank 1 were given the same GPU (cuda:1, PCI 0000:07:00.0)",
                  "expected one for each; use --device cuda"]),
                ({"FAKE_CUDA_DEVICES": "1"}, 3,
                 ["cuda:1: expected one of the 1 NVIDIA GPU that are visible"]),
                ({"FAKE_NCCL_VERSION": "20903"}, 3,
                 ["several workers need NCCL, by which GPUs add up gradients",
                  "expected NCCL 2.10 or later, found the version number 20903"]),
                ({"FAKE_NCCL_FAIL": "5"}, 1,
                 ["NCCL 2.28.5 cannot meet the other ranks: invalid usage (5)",
                  "NCCL_DEBUG=WARN"])]:
            with self.subTest(variables=variables):
                result = self.bad(code, *TRAIN, "--steps", "1", *GPUS, env={**TWO, **variables},
                                  says=says)
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                self.assertEqual(result.stdout, "")
        self.bad(2, *TRAIN, "--steps", "1", "--device", "cuda:0", "--workers", "2", env=TWO,
                 says=["--device: expected cpu, or cuda, of which each worker takes a GPU of its "
                       "own, found cuda:0 for 2 workers"])

    def stopped(self, number):
        """Rank 1 gets a signal in the middle of a training: code, words, and after how long."""
        child = subprocess.Popen(
            [PROGRAM, *TRAIN, "--quiet", "--epochs", "100000", "--checkpoint-every", "3",
             "--checkpoint", self.path("checkpoints"), *GPUS], env={**os.environ, **TWO},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(child.stderr.close)
        wait_for_checkpoint(self.path("checkpoints"))
        ranks = workers_of(child)
        os.kill(ranks[1], number)
        start = time.monotonic()
        error = child.stderr.read()
        return child.wait(LIMIT_S), error, time.monotonic() - start

    def test_one_that_dies_while_they_meet_ends_all(self):
        result = self.bad(1, *TRAIN, "--steps", "1", *GPUS, env={**TWO, "FAKE_NCCL_DIES": "1"},
                          says=["rank 1 of 2 ended", "it is gone without a word"])
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_one_that_is_killed_ends_all(self):
        code, error, _ = self.stopped(signal.SIGKILL)
        self.assertEqual(code, 1, error)
        self.assertRegex(error, r"^breakeven: rank 1 of 2 (ended \(process \d+\): it is gone "
                         r"without a word: killed, or crashed|\(process \d+\) was killed by signal "
                         r"9; checkpoints are whole, .*)\n$")

    def test_one_that_hangs_ends_all(self):
        """While the other waits for its own GPU, whose sums will never be done."""
        code, error, seconds = self.stopped(signal.SIGSTOP)
        self.assertEqual(code, 1, error)
        self.assertRegex(error, r"^breakeven: rank 1 of 2 ended \(process \d+\): it hangs or falls "
                         r"behind: the others have waited \S+ s for a sign of it\n$")
        self.assertGreater(seconds, 7)


if __name__ == "__main__":
    unittest.main()
