"""Trainings on the processor and an accelerator at once, PoCL or the fake CUDA device."""
import json
import os
import unittest

from cli_support import FolderTest, floats, read_safetensors

FAKES = os.environ.get("BREAKEVEN_FAKE_CUDA")
# Every part is a plan with kernels of its own, which are compiled: a batch of 4 has three cuts.
TRAIN = ["train", "mlp-mnist", "--synthetic", "--limit", "80"]
# Sums of single precision in another order, over some dozens of steps; of the largest weight.
ROUNDING = 5e-6


class MixedTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.env = {"BREAKEVEN_CUDA_LIB_DIR": FAKES or "", "FAKE_CUDA_DEVICES": "1"}

    def accelerators(self):
        """Those that are here, each with a batch of its own: OpenCL compiles slowly."""
        known = {"cuda:0": 4} if FAKES else {}
        told = self.good("devices", "-f", "jsonl",
                         env={**self.env, "BREAKEVEN_PYTHON": "/nonexistent/python"})
        if '"opencl:0"' in told:
            known["opencl:0"] = 2
        return known

    def assert_same_training(self, first, second):
        a, b = read_safetensors(first), read_safetensors(second)
        self.assertEqual(list(a), list(b))
        pairs = [p for name in a for p in zip(floats(a[name]), floats(b[name]))]
        largest = max(abs(x) for x, _ in pairs)
        self.assertLessEqual(max(abs(x - y) for x, y in pairs), ROUNDING * largest)

    def test_both_train_as_one(self):
        """Whatever shares are found: the weights are those of one device."""
        known = self.accelerators()
        if not known:
            self.skipTest("needs OpenCL, or the fake CUDA device")
        for device, batch in known.items():
            with self.subTest(device=device):
                alone, path = self.path("alone"), self.path("both")
                words = [*TRAIN, "--epochs", "2", "--batch", str(batch), "--threads", "1",
                         "--no-store"]
                self.good(*words, "--quiet", "--export", alone)
                told = self.good(*words, "-f", "jsonl", "--export", path, "--device",
                                 f"cpu+{device}", env=self.env)
                records = [json.loads(line) for line in told.splitlines()]
                self.assert_same_training(alone, path)
                self.assertEqual([r["device"] for r in records], [f"cpu+{device}"] * 2)
                for record in records:
                    self.assertEqual(record["counted"], "accuracy")
                    self.assertEqual(sum(record["parts"]), batch)
                    self.assertGreaterEqual(min(record["parts"]), 1)
                    self.assertGreater(record["alone_s"], 0)
                    self.assertGreater(record["all_reduce_bytes"], 4 * 109386 - 1)

    def test_the_page_says_what_it_gained(self):
        if not FAKES:
            self.skipTest("needs the fake CUDA device")
        told = " ".join(self.good(*TRAIN, "--epochs", "4", "--batch", "4", "--no-store", "--device",
                                  "cpu+cuda:0", env=self.env).split())
        self.assertIn("batch 4, on cpu+cuda:0: ", told)
        self.assertRegex(told, r"of each batch cpu has \d and cuda:0 \d: \S+ \S+ a batch, where "
                         r"cuda:0 alone takes \S+ \S+: \d+\.\d\d times as fast as that")

    def test_what_cannot_be_is_refused_in_one_sentence(self):
        for options, code, says in [
                (["--device", "cpu+cpu"], 2, ["expected cpu+DEVICE", "\"cpu+cpu\""]),
                (["--device", "cuda:0+cpu"], 2, ["expected cpu+DEVICE"]),
                (["--device", "cpu+"], 2, ["expected cpu+DEVICE"]),
                (["--device", "cpu+nothing"], 3, ["device \"nothing\""]),
                (["--device", "cpu+cuda:0", "--workers", "2"], 2,
                 ["expected cpu, or cuda", "found cpu+cuda:0 for 2 workers"]),
                (["--device", "cpu+cuda:0", "--dry-run"], 2,
                 ["--dry-run: a plan is of one device"]),
                (["--device", "cpu+cuda:0", "--batch", "1"], 2,
                 ["at least a picture for each of the 2 devices, found 1"]),
                (["--device", "cpu+cuda:0", "--sync-batch-norm"], 2, ["--sync-batch-norm"])]:
            if "cuda:0" in options[1] and not FAKES and code == 2 and "--workers" not in options:
                continue
            with self.subTest(options=options):
                result = self.bad(code, *TRAIN, "--steps", "1", *options, env=self.env, says=says)
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


if __name__ == "__main__":
    unittest.main()
