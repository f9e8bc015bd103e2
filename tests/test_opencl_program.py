"""The program on a device behind OpenCL, with the library of tests/faulty_opencl before the
system's, and that of tests/fake_clblast in the place of CLBlast."""
import ctypes.util
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import own_home  # noqa: F401

PROGRAM = os.environ.get("BREAKEVEN_PROGRAM", "build/breakeven")
FAULTY = os.environ.get("BREAKEVEN_FAULTY_OPENCL")
CLBLAST = os.environ.get("BREAKEVEN_FAKE_CLBLAST")
SMALL = ["--synthetic", "--limit", "200"]


@unittest.skipUnless(FAULTY, "the library is built on Linux only")
class OpenclTest(unittest.TestCase):
    def run_program(self, *words, **variables):
        # PyTorch, which takes a second to start, is no part of these tests.
        environment = {**os.environ, "BREAKEVEN_PYTHON": "/nonexistent/python",
                       "BREAKEVEN_TENSORFLOW_PYTHON": "/nonexistent/python",
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

    def test_tf32_is_refused(self):
        """OpenCL has no way to ask for it."""
        status, output, errors = self.train("mlp-mnist", 10, "--precision", "tf32")
        self.assertEqual((status, output), (3, ""), errors)
        self.assertIn("precision tf32: device opencl:0: op linear: native gpu multiplies in fp32 "
                      "or of bf16 operands, not in tf32; use --precision fp32", errors)

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

    def with_clblast(self, folder, **variables):
        return self.train("mlp-mnist", 10, "--library", "clblast", **{
            "BREAKEVEN_CLBLAST_LIB_DIR": folder, "XDG_CACHE_HOME": self.folder(), **variables})

    def folder(self):
        path = tempfile.mkdtemp(prefix="breakeven-test-")
        self.addCleanup(shutil.rmtree, path)
        return path

    def refused(self, done, *texts):
        status, output, errors = done
        self.assertEqual(status, 3, output + errors)
        errors = " ".join(errors.split())
        for text in ("opencl:0 is not usable with --library clblast: ", *texts):
            self.assertIn(text, errors)

    def test_clblast_that_is_not_there(self):
        empty, older = self.folder(), self.folder()
        shutil.copy(f"{FAULTY}/libOpenCL.so.1", f"{older}/libclblast.so.1")
        self.refused(self.with_clblast(empty), f"CLBlast: {empty}/libclblast.so.1 not found",
                     "unset BREAKEVEN_CLBLAST_LIB_DIR")
        self.refused(self.with_clblast(older), "has no CLBlastSgemmWithTempBuffer, so it is older "
                     "than CLBlast 1.5; install a newer one")
        shutil.copy(f"{CLBLAST}/libclblast.so.1", f"{empty}/libclblast.so.2")
        self.refused(self.with_clblast(empty), "libclblast.so.1 not found")

    def test_clblast_that_is_wrong(self):
        """The self-test finds it; nothing is put in its place."""
        cases = [("element", "255", r"self-test 255 \(a·b\): expected \S+, found \S+ at \[3, 7\]"),
                 ("element", "256", r"self-test 256 \(a·b\): expected \S+, found \S+ at \[3, 7\]"),
                 ("last", "256", r"self-test 256 \(a·b\): expected \S+, found -?nan at \[255, 0\]"),
                 ("none", "1151", r"self-test 1152 \(a·b\): expected \S+, found 0 at \[0, 0\]"),
                 ("nan", "255", r"expected -?nan, found 0 at"),
                 ("adds", "255", r"expected \S+, found -?nan at \[0, 0\]"),
                 ("before", "255", "expected nothing written outside of the result, found 7"),
                 ("temporary", "255", "expected at most 4096 bytes of temporary memory used")]
        for fault, rows, text in cases:
            done = self.with_clblast(CLBLAST, FAKE_CLBLAST_FAULT=fault, FAKE_CLBLAST_AT=rows)
            self.refused(done, "computes wrong products on CPU behind OpenCL: ",
                         "leave --library out, or install another version of CLBlast")
            self.assertRegex(" ".join(done[2].split()), text)

    def test_clblast_that_fails(self):
        status, _, errors = self.with_clblast(CLBLAST, FAKE_CLBLAST_FAULT="fails")
        self.assertEqual(status, 1, errors)
        self.assertIn("a product of 255 × 255 × 255 failed with -2040", errors)

    def test_clblast_outcome_is_kept(self):
        """By device, driver and library; another driver or file is tested anew."""
        library, cache = self.folder(), self.folder()
        shutil.copy(f"{CLBLAST}/libclblast.so.1", f"{library}/libclblast.so.1")
        def found(rows, **variables):
            self.refused(self.with_clblast(library, XDG_CACHE_HOME=cache, FAKE_CLBLAST_AT=rows,
                                           FAKE_CLBLAST_FAULT="element", **variables),
                         f"self-test {rows} (a·b)")
        found("255")
        self.refused(self.with_clblast(library, XDG_CACHE_HOME=cache), "self-test 255 (a·b)")
        found("256", FAULTY_OPENCL_DRIVER="another")
        os.utime(f"{library}/libclblast.so.1", (1e9, 1e9))
        found("256")

    def test_parity_of_the_transformers(self):
        small = ["--layers", "1", "--width", "64", "--heads", "2", "--vocab", "512", "--batch", "2"]
        for workload, *words in (("gpt2", "--seq", "16"), ("bert-base", "--seq", "16"),
                                 ("encoder", "--seq", "16"),
                                 ("clip", "--seq", "20", "--size", "32")):
            with self.subTest(workload=workload):
                status, output, errors = self.run_program(
                    "parity", workload, *small, *words, "--steps", "2", "--device", "opencl:0",
                    "--engine", "native", "--synthetic", "--format", "jsonl")
                self.assertEqual(status, 0, output + errors)
                for row in map(json.loads, output.splitlines()):
                    self.assertLess(row["error"], 1e-5, row)

    def test_parity_of_a_resnet(self):
        """Of the smallest one: each kernel is compiled for each of its twenty convolutions."""
        status, output, errors = self.run_program(
            "parity", "resnet18-cifar", "--size", "16", "--batch", "2", "--steps", "1", "--device",
            "opencl:0", "--engine", "native", "--synthetic", "--format", "jsonl")
        self.assertEqual(status, 0, output + errors)
        rows = [json.loads(line) for line in output.splitlines()]
        self.assertTrue(rows)
        for row in rows:
            self.assertLess(row["error"], 1e-4, row)

    def test_inference_is_swept(self):
        status, output, errors = self.run_program(
            "sweep", "mlp-mnist", "--synthetic", "--infer", "--over", "batch=1..2", "--device",
            "opencl:0,cpu", "--engine", "native", "--threads", "1", "--max-time", "1", "--no-store",
            "--format", "json")
        self.assertEqual(status, 0, output + errors)
        found = json.loads(output)
        self.assertEqual(found["mode"], "infer")
        self.assertEqual({side["device"] for side in found["sides"]}, {"cpu", "opencl:0"})

    @unittest.skipUnless(ctypes.util.find_library("clblast"), "CLBlast is not installed")
    def test_clblast(self):
        """The real library on PoCL: its products are right, and the plan and records name it."""
        # Its kernels need more of OpenCL than ours.
        whole = {"POCL_EXTRA_BUILD_FLAGS": "-cl-opt-disable"}
        status, output, errors = self.run_program(
            "parity", "mlp-mnist", "--device", "opencl:0", "--engine", "native", "--library",
            "clblast", "--batch", "4", "--steps", "10", "--synthetic", "--format", "jsonl", **whole)
        self.assertEqual(status, 0, output + errors)
        for row in map(json.loads, output.splitlines()):
            self.assertLess(row["error"], 1e-4, row)
        status, output, errors = self.train("mlp-mnist", 4, "--library", "clblast", **whole)
        self.assertEqual(status, 0, errors)
        self.assertRegex(" ".join(output.split()), r"native \+ CLBlast 1\.[\d.]+, OpenCL")
        status, _, errors = self.run_program("train", "mlp-mnist", "--device", "cpu", "--library",
                                             "clblast", "--steps", "1", *SMALL)
        self.assertEqual(status, 3, errors)
        self.assertIn("library clblast: the device cpu does not", " ".join(errors.split()))

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
        """Lost while it trains: the runner tells it; the CPU is measured all the same.  On a busy
        machine it takes longer until the call at which the device is lost is reached."""
        for time_s in ("0.5", "2", "10"):
            status, output, _ = self.run_program(
                "bench", "mlp-mnist", "--device", "cpu,opencl:0", "--engine", "native", "--threads",
                "1", "--batch", "10", "--time", time_s, "--max-time", time_s, "--format", "jsonl",
                *SMALL, FAULTY_OPENCL_FAIL_AT="1500", FAULTY_OPENCL_STICKY="1")
            records = {r["device"]: r for r in map(json.loads, output.splitlines())}
            if records["opencl:0"]["status"] != "OK":
                break
        self.assertEqual(status, 1)
        self.assertEqual(records["opencl:0"]["status"], "DRIVER")
        self.assertIn("OpenCL: ", records["opencl:0"]["error"])
        self.assertEqual(records["cpu"]["status"], "OK", records["cpu"])


if __name__ == "__main__":
    unittest.main()
