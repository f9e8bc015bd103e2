"""The program on a device behind OpenCL, with the library of tests/faulty_opencl before the
system's."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

PROGRAM = os.environ.get("BREAKEVEN_PROGRAM", "build/breakeven")
FAULTY = os.environ.get("BREAKEVEN_FAULTY_OPENCL")
SMALL = ["--synthetic", "--limit", "200"]


@unittest.skipUnless(FAULTY, "the library is built on Linux only")
class OpenclTest(unittest.TestCase):
    def run_program(self, *words, **variables):
        # PyTorch, which takes a second to start, is no part of these tests.
        environment = {**os.environ, "BREAKEVEN_PYTHON": "/nonexistent/python",
                       "BREAKEVEN_OPENCL_LIB_DIR": FAULTY, **variables}
        done = subprocess.run([PROGRAM, *words], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=250)
        return done.returncode, done.stdout, done.stderr

    def train(self, workload, batch, *words, **variables):
        return self.run_program("train", workload, "--device", "opencl:0", "--steps", "1",
                                "--batch", str(batch), *SMALL, *words, **variables)

    def test_unusable(self):
        empty = tempfile.mkdtemp(prefix="breakeven-test-")
        self.addCleanup(shutil.rmtree, empty)
        cases = [({"BREAKEVEN_OPENCL_LIB_DIR": empty}, f"OpenCL: {empty}/libOpenCL.so.1 not found",
                  "unset BREAKEVEN_OPENCL_LIB_DIR"),
                 ({"FAULTY_OPENCL_PLATFORMS": "0"}, "OpenCL: 0 platforms and no device found",
                  "install the OpenCL driver (ICD) of the device"),
                 ({"FAULTY_OPENCL_DEVICES": "0"}, "platform and no device found",
                  "or pocl-opencl-icd for the processor"),
                 ({"FAULTY_OPENCL_FAIL_AT": "1"}, "asking for platforms failed with -5",
                  "update the driver")]
        for variables, *texts in cases:
            status, output, errors = self.run_program("devices", "--format", "jsonl", **variables)
            self.assertEqual(status, 0, errors)
            found = {r["device"]: r for r in map(json.loads, output.splitlines())}
            self.assertFalse(found["opencl"]["usable"])
            status, _, errors = self.train("mlp-mnist", 10, **variables)
            self.assertEqual(status, 3, errors)
            for text in texts:
                self.assertIn(text, found["opencl"]["reason"])
                self.assertIn(text, errors)

    def test_out_of_memory(self):
        """It says how much was needed and which batch would fit, and that one does fit."""
        memory = {"FAULTY_OPENCL_MEMORY": str(6 << 20)}
        status, _, errors = self.train("cnn-fashion", 200, **memory)
        self.assertEqual(status, 5, errors)
        found = re.search(r"expected ([\d.]+) MiB at batch 200 .* found 6\.0 MiB free of 6\.0 MiB; "
                          r"a batch of about (\d+) would fit", errors)
        self.assertTrue(found, errors)
        self.assertGreater(float(found.group(1)), 6.0)
        self.assertLess(int(found.group(2)), 200)
        # The plan of the evaluation shares the memory: it may ask for a smaller batch once more.
        tried = []
        while found:
            self.assertEqual(status, 5, errors)
            self.assertLess(len(tried), 3, errors)
            tried.append(int(found.group(2)))
            status, _, errors = self.train("cnn-fashion", tried[-1], **memory)
            found = re.search(r"expected ([\d.]+) MiB at batch .* a batch of about (\d+) would fit",
                              errors)
        self.assertEqual(status, 0, f"batches {tried}: {errors}")
        self.assertGreater(tried[-1], 50)

    def test_tuning(self):
        """Searched in the first run and known in the second, which gives the same weights."""
        cache = tempfile.mkdtemp(prefix="breakeven-test-")
        self.addCleanup(shutil.rmtree, cache)
        kernels = os.environ.get("POCL_CACHE_DIR") or os.path.join(
            os.environ.get("XDG_CACHE_HOME", cache), "pocl", "kcache")
        weights, said = [], []
        for turn in range(2):
            path = f"{cache}/{turn}.safetensors"
            status, output, errors = self.train(
                "mlp-mnist", 4, "--export", path, BREAKEVEN_TUNE_SECONDS="3", XDG_CACHE_HOME=cache,
                POCL_CACHE_DIR=kernels)
            self.assertEqual(status, 0, errors)
            self.assertIn(", tuned", " ".join(output.split()))
            said.append("products tuned for this device" in output)
            with open(path, "rb") as file:
                weights.append(file.read())
        self.assertEqual(said, [True, False])
        self.assertEqual(weights[0], weights[1])
        status, _, errors = self.train("mlp-mnist", 4, BREAKEVEN_TUNE_SECONDS="soon")
        self.assertEqual(status, 2, errors)
        self.assertIn("BREAKEVEN_TUNE_SECONDS: expected seconds from 0 (no search)", errors)

    def test_data_set_too_large(self):
        status, _, errors = self.train("cnn-fashion", 10, FAULTY_OPENCL_MEMORY="100000")
        self.assertEqual(status, 5, errors)
        self.assertIn("no batch would fit beside the data set: use fewer images (--limit)", errors)

    def test_memory_that_is_gone(self):
        """The driver runs out, whatever it said before."""
        status, _, errors = self.train("mlp-mnist", 10, FAULTY_OPENCL_FAIL_AT="40",
                                       FAULTY_OPENCL_STATUS="-4", FAULTY_OPENCL_STICKY="1")
        self.assertEqual(status, 5, errors)
        self.assertIn("failed with -4: the device has not enough memory", errors)

    def test_lost_device_leaves_the_others(self):
        """The runner tells the lost device; the CPU is measured all the same."""
        for _ in range(3):
            status, output, _ = self.run_program(
                "bench", "mlp-mnist", "--device", "cpu,opencl:0", "--engine", "native", "--threads",
                "1", "--time", "0.05", "--max-time", "0.3", "--format", "jsonl", *SMALL,
                FAULTY_OPENCL_FAIL_AT="1000", FAULTY_OPENCL_STICKY="1")
            self.assertEqual(status, 1)
            records = {r["device"]: r for r in map(json.loads, output.splitlines())}
            self.assertEqual(records["opencl:0"]["status"], "DRIVER")
            self.assertIn("OpenCL: ", records["opencl:0"]["error"])
            # A busy machine can make such short times look wrong.
            if records["cpu"]["status"] != "FAILED":
                break
        self.assertEqual(records["cpu"]["status"], "OK", records["cpu"])


if __name__ == "__main__":
    unittest.main()
