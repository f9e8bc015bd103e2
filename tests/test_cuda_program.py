"""The program on NVIDIA's GPU, with the fake device of tests/fake_cuda in its place."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import kept_limits
import own_home  # noqa: F401

PROGRAM = os.environ.get("BREAKEVEN_PROGRAM", "build/breakeven")
FAKES = os.environ.get("BREAKEVEN_FAKE_CUDA")
SMALL = ["--synthetic", "--limit", "200"]


@unittest.skipUnless(FAKES, "the fake device is built on Linux only")
class CudaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        kept_limits.keep_fake_gpu(FAKES)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="breakeven-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def run_program(self, *words, **variables):
        # PyTorch and TensorFlow, which take seconds to start, are no part of these tests.
        environment = {**os.environ, "BREAKEVEN_PYTHON": "/nonexistent/python",
                       "BREAKEVEN_TENSORFLOW_PYTHON": "/nonexistent/python",
                       "BREAKEVEN_CUDA_LIB_DIR": FAKES, **variables}
        done = subprocess.run([PROGRAM, *words], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=250)
        return done.returncode, done.stdout, done.stderr

    def devices(self, **options):
        status, output, errors = self.run_program("devices", "--format", "jsonl", **options)
        self.assertEqual(status, 0, errors)
        records = [json.loads(line) for line in output.splitlines()]
        return {r["device"]: r for r in records if r["engine"] == "native"}

    def test_devices(self):
        found = self.devices(FAKE_CUDA_DEVICES="2")
        for name in ("cuda:0", "cuda:1"):
            self.assertTrue(found[name]["usable"])
            self.assertEqual(found[name]["compute_capability"], "9.0")
            self.assertEqual(found[name]["driver"], "580.12.34 (CUDA 13.0)")
            libraries = {x["name"]: x for x in found[name]["device_libraries"]}
            self.assertEqual(libraries["libcudnn.so.9"]["version"], "9.14.0")

    def test_the_libraries_on_the_page(self):
        """Below the table, on one line each where the terminal has room, never cut."""
        for columns in (60, 160):
            status, page, errors = self.run_program("devices", COLUMNS=str(columns))
            self.assertEqual(status, 0, errors)
            path = os.path.join(FAKES, "libcudnn.so.9")
            self.assertIn(path, page)
            lines = [line for line in page.splitlines() if FAKES not in line]  # a word each
            self.assertLessEqual(max(map(len, lines)), columns)
            together = re.search(r"libcudnn\.so\.9 +9\.14\.0 +" + re.escape(path), page)
            self.assertEqual(bool(together), len(path) + 52 <= columns)

    def test_limits_and_sensors(self):
        status, output, errors = self.run_program(
            "devices", "--measure", "--time", "0.02", "--format", "jsonl",
            XDG_CACHE_HOME=self.folder, BREAKEVEN_PYTHON="/bin/false", FAKE_NVML_THROTTLE="4")
        self.assertEqual(status, 0, errors)
        records = {r["device"]: r for r in map(json.loads, output.splitlines())}
        limits, sensors = records["cuda:0"]["limits"], records["cuda:0"]["sensors"]
        self.assertEqual((limits["device"], limits["threads"]), ("cuda:0", 0))
        self.assertEqual([copy["bytes"] for copy in limits["transfers"]],
                         [4096 << 2 * i for i in range(7)])  # at most 1/64 of its memory
        for name in ("flops_fp32", "memory_bytes_per_s", "cache_bytes_per_s", "round_trip_s"):
            self.assertTrue(limits[name] is None or limits[name] > 0, limits)
        self.assertEqual(sensors, {
            "name": "Fake GPU 0", "bus": "0000:06:00.0", "clock_hz": 1.5e9, "clock_max_hz": 1.98e9,
            "memory_clock_hz": 2.6e9, "temperature_c": 41, "power_w": 123.456, "energy_j": 1,
            "energy_sensor": "NVML total energy", "throttle": "power cap"})
        self.assertIn("energy_sensor", records["cpu"]["sensors"])

    def test_between_host_and_device(self):
        """Copies captured into the graph of a step, which comes to the same bits each time."""
        for name in "op:upload", "op:download":
            status, output, errors = self.run_program("parity", name, "--engine", "native",
                                                      "--device", "cuda:0", "--format", "jsonl")
            self.assertEqual(status, 0, errors)
            self.assertEqual({json.loads(line)["error"] for line in output.splitlines()}, {0})

    def test_the_folder_of_libraries_as_an_option(self):
        for folder, usable in ((FAKES, True), (self.folder, False)):
            status, output, errors = self.run_program(
                "devices", "--format", "jsonl", "--cuda-lib-dir", folder,
                BREAKEVEN_CUDA_LIB_DIR=self.folder)
            self.assertEqual(status, 0, errors)
            found = [json.loads(line) for line in output.splitlines()]
            self.assertEqual(any(r["device"] == "cuda:0" and r["usable"] for r in found), usable)

    def test_unusable_devices(self):
        cases = [({"CUDA_VISIBLE_DEVICES": ""}, "hides every NVIDIA GPU; unset it"),
                 ({"FAKE_CUDA_VERSION": "11080"}, "found one for 11.8"),
                 ({"FAKE_CUDA_INIT": "999"}, "does not start")]
        for variables, reason in cases:
            found = self.devices(**variables)
            self.assertFalse(found["cuda"]["usable"])
            self.assertIn(reason, found["cuda"]["reason"])
            status, _, errors = self.run_program("train", "mlp-mnist", "--device", "cuda:0",
                                                 "--steps", "1", *SMALL, **variables)
            self.assertEqual(status, 3, errors)
            self.assertIn("cuda:0 is not usable: ", errors)
            self.assertIn(reason, errors)

    def test_a_device_that_does_not_compute_is_not_usable(self):
        """It opens without a fault; only a product computed on it tells."""
        cases = [({"FAKE_CUDA_IDLE": "1"}, "the device computes wrongly; update its driver"),
                 ({"FAKE_CUDA_REFUSE": "1"}, "CUDA_ERROR_LAUNCH_FAILED"),
                 ({"FAKE_NVRTC_FAIL": "6", "XDG_CACHE_HOME": self.folder}, "NVRTC")]
        for variables, reason in cases:
            found = self.devices(**variables)
            self.assertFalse(found["cuda:0"]["usable"], variables)
            self.assertIn(reason, found["cuda:0"]["reason"])
            self.assertTrue(found["cpu"]["usable"])

    def test_parity(self):
        for workload in ("mlp-mnist", "cnn-fashion"):
            status, output, errors = self.run_program(
                "parity", workload, "--device", "cuda:0", "--engine", "native", "--batch", "4",
                "--steps", "20", "--synthetic", "--format", "jsonl")
            self.assertEqual(status, 0, output + errors)
            rows = [json.loads(line) for line in output.splitlines()]
            self.assertGreaterEqual(len(rows), 7)
            for row in rows:
                self.assertLess(row["error"], 1e-4, row)

    def test_parity_with_cudnn(self):
        for workload in ("mlp-mnist", "cnn-fashion"):
            status, output, errors = self.run_program(
                "parity", workload, "--device", "cuda:0", "--engine", "native", "--batch", "4",
                "--steps", "20", "--synthetic", "--library", "cudnn", "--format", "jsonl")
            self.assertEqual(status, 0, output + errors)
            for row in map(json.loads, output.splitlines()):
                self.assertLess(row["error"], 1e-4, row)

    def test_parity_of_the_ladder(self):
        """Causal and with lengths; in bf16 attention is cuDNN's, else our own kernels'."""
        small = ["--layers", "1", "--width", "64", "--heads", "2", "--seq", "16", "--vocab", "512"]
        for workload in ("gpt2", "encoder"):
            for precision, limit in (("fp32", 1e-5), ("tf32", 5e-3), ("bf16", 5e-2)):
                words = ["--device", "cuda:0", "--precision", precision, "--batch", "2", *small]
                status, output, errors = self.run_program(
                    "parity", workload, "--engine", "native", "--steps", "2", "--synthetic",
                    "--format", "jsonl", *words)
                self.assertEqual(status, 0, output + errors)
                for row in map(json.loads, output.splitlines()):
                    self.assertLess(row["error"], limit, row)
                status, output, errors = self.run_program(
                    "train", workload, "--steps", "1", "--dry-run", "--synthetic", "--limit", "64",
                    *words)
                self.assertEqual(status, 0, errors)
                found = re.findall(r" (attention\w*) +(cuDNN|native)", output)
                wanted = "cuDNN" if precision == "bf16" else "native"
                self.assertEqual(dict(found),
                                 {"attention": wanted, "attention_backward": wanted})

    def test_an_old_cudnn_leaves_attention_to_our_kernels(self):
        for version, wanted in (("91100", "cuDNN"), ("91002", "native")):
            status, output, errors = self.run_program(
                "train", "gpt2", "--layers", "1", "--width", "64", "--heads", "2", "--seq", "16",
                "--vocab", "512", "--batch", "2", "--steps", "1", "--dry-run", "--synthetic",
                "--limit", "64", "--device", "cuda:0", "--precision", "bf16",
                FAKE_CUDNN_VERSION=version)
            self.assertEqual(status, 0, errors)
            found = dict(re.findall(r" (attention\w*) +(cuDNN|native)", output))
            self.assertEqual(found, {"attention": wanted, "attention_backward": wanted})

    def test_a_precision_that_the_card_lacks(self):
        """An older card's libraries would multiply in fp32 and say otherwise."""
        run = ["train", "mlp-mnist", "--device", "cuda:0", "--steps", "1", *SMALL]
        for precision in ("tf32", "bf16"):
            for library in ([], ["--library", "cudnn"]):
                status, _, errors = self.run_program(*run, "--precision", precision, *library,
                                                     FAKE_CUDA_CC="75")
                self.assertEqual(status, 3, errors)
                self.assertIn("cuda:0 (Fake GPU 0): expected compute capability 8.0 or later, not "
                              f"7.5, for products in {precision}; use --precision fp32",
                              " ".join(errors.split()))
        for precision, library in (("fp32", "cudnn"), ("bf16", "native")):
            status, _, errors = self.run_program(*run, "--precision", precision, "--library",
                                                 library, FAKE_CUDA_CC="75")
            self.assertEqual(status, 0, errors)

    def test_records_name_the_library(self):
        for library, named in (("native", "native, CUDA 13.0, sm_90, NVRTC 13.0"),
                               ("cudnn", "native + cuDNN 9.14.0 + cuBLASLt 13.0.2, CUDA 13.0, "
                                         "sm_90, NVRTC 13.0")):
            status, output, errors = self.run_program(
                "bench", "cnn-fashion", "--device", "cuda:0", "--engine", "native", "--batch", "4",
                "--time", "0.05", "--max-time", "0.3", "--library", library, "--format", "jsonl",
                *SMALL)
            self.assertEqual(status, 0, errors)
            for record in map(json.loads, output.splitlines()):
                self.assertEqual(record["implementation"], named)

    def test_records_tell_the_order_of_the_launches(self):
        """As it was found, where there were steps enough for that, or as it was asked for."""
        for asked, wanted in ((None, "(any number of|[123]) lanes?"), ("1", "1 lane"),
                              ("5", "5 lanes"), ("0", "any number of lanes")):
            status, output, errors = self.run_program(
                "bench", "mlp-mnist", "--device", "cuda:0", "--engine", "native", "--batch", "4",
                "--time", "0.05", "--max-time", "0.3", "--format", "jsonl", *SMALL,
                **({"BREAKEVEN_CUDA_LANES": asked} if asked else {}))
            self.assertEqual(status, 0, errors)
            found = json.loads(output)["launch_order"]
            if asked or found:
                self.assertRegex(found, f"^{wanted}, programmatic edges$")

    def test_library_that_cannot_be(self):
        """What was asked for and is not there is refused; nothing is put in its place."""
        cases = [("cuda:0", "cudnn", {"FAKE_CUDNN_CUDART": "14000"},
                  "cuda:0 is not usable with --library cudnn: "),
                 ("cuda:0", "cudnn", {"FAKE_CUDNN_CREATE": "1001"}, "does not start"),
                 ("cuda:0", "onednn", {}, "library onednn: the device cuda:0 does not"),
                 ("cpu", "cudnn", {}, "library cudnn: the device cpu does not")]
        for device, library, variables, reason in cases:
            status, _, errors = self.run_program("train", "mlp-mnist", "--device", device,
                                                 "--library", library, "--steps", "1", *SMALL,
                                                 **variables)
            self.assertEqual(status, 3, errors)
            self.assertIn(reason, " ".join(errors.split()))
        status, _, errors = self.run_program("train", "mlp-mnist", "--device", "cuda:0", "--steps",
                                             "1", *SMALL, FAKE_CUDNN_CUDART="14000")
        self.assertEqual(status, 0, errors)
        for command in ("bench", "parity"):
            status, _, errors = self.run_program(command, "mlp-mnist", "--device", "cpu",
                                                 "--engine", "native", "--library", "cudnn",
                                                 "--synthetic")
            self.assertEqual(status, 3, errors)
            self.assertIn("library cudnn: ", errors)

    def test_library_of_one_device(self):
        """The other devices of a measurement keep to their own choice."""
        status, output, errors = self.run_program(
            "bench", "mlp-mnist", "--device", "cpu,cuda:0", "--engine", "native", "--threads", "1",
            "--time", "0.05", "--max-time", "0.3", "--library", "cudnn", "--format", "jsonl",
            *SMALL)
        self.assertEqual(status, 0, errors)
        records = {r["device"]: r["implementation"] for r in map(json.loads, output.splitlines())}
        self.assertNotIn("cu", records["cpu"])
        self.assertIn("cuBLASLt 13.0.2", records["cuda:0"])

    def test_two_runs_are_equal(self):
        weights = []
        for turn in range(2):
            path = f"{self.folder}/{turn}.safetensors"
            status, _, errors = self.run_program("train", "mlp-mnist", "--device", "cuda:0",
                                                 "--steps", "40", "--export", path, *SMALL)
            self.assertEqual(status, 0, errors)
            with open(path, "rb") as file:
                weights.append(file.read())
        self.assertEqual(weights[0], weights[1])

    def test_data_on_the_host(self):
        """The same weights as with the data on the device, over three epochs."""
        files = []
        for where in ("device", "host"):
            path = f"{self.folder}/{where}.safetensors"
            status, output, errors = self.run_program(
                "train", "mlp-mnist", "--device", "cuda:0", "--batch", "16", "--epochs", "3",
                "--data-on", where, "--export", path, *SMALL)
            self.assertEqual(status, 0, errors)
            self.assertEqual("on the host" in output, where == "host", output)
            with open(path, "rb") as file:
                files.append(file.read())
        self.assertEqual(files[0], files[1])

    def test_out_of_memory(self):
        """It says how much was needed and which batch would fit, and that one does fit."""
        def train(batch, memory):
            return self.run_program("train", "cnn-fashion", "--device", "cuda:0", "--steps", "1",
                                    "--batch", str(batch), *SMALL, FAKE_CUDA_MEMORY=str(memory))
        status, _, errors = train(200, 100000)
        self.assertEqual(status, 5, errors)
        self.assertIn("no batch would fit beside the data set: use fewer images (--limit)", errors)
        status, _, errors = train(200, 6 << 20)
        self.assertEqual(status, 5, errors)
        found = re.search(r"expected [\d.]+ MiB at batch 200 .* found \d\.\d MiB free of 6\.0 MiB; "
                          r"a batch of about (\d+) would fit", errors)
        self.assertTrue(found, errors)
        # The plan of the evaluation comes on top.
        status, _, errors = train(int(found.group(1)) // 2, 6 << 20)
        self.assertEqual(status, 0, errors)

    def test_more_elements_than_an_index_counts(self):
        """gpt2's logits at 42 × 1024 are the first with 2^31."""
        for batch, wanted in ((41, 0), (42, 2)):
            status, _, errors = self.run_program(
                "train", "gpt2", "--device", "cuda:0", "--precision", "bf16", "--batch", str(batch),
                "--steps", "1", "--synthetic", "--limit", "64", "--dry-run",
                FAKE_CUDA_MEMORY=str(1 << 40))
            self.assertEqual(status, wanted, errors)
        self.assertIn("a result: expected fewer than 2^31 elements, found f32 [42, 1024, 50257]; "
                      "use a smaller batch", errors)

    def test_device_that_is_not_there(self):
        status, _, errors = self.run_program("train", "mlp-mnist", "--device", "cuda:3", "--steps",
                                             "1", *SMALL)
        self.assertEqual(status, 3, errors)
        self.assertIn("cuda:3: expected one of the 1 NVIDIA GPU that are visible", errors)

    def test_every_call_may_fail(self):
        """A short training ends with the right text and code, whichever call is lost."""
        calls, failures = 1, 0
        while True:
            status, _, errors = self.run_program(
                "train", "mlp-mnist", "--device", "cuda:0", "--steps", "2", *SMALL,
                FAKE_CUDA_FAIL_AT=str(calls), FAKE_CUDA_STICKY="1")
            if status == 0:
                break
            self.assertIn(status, (1, 3), f"call {calls}: {errors}")
            self.assertIn("CUDA_ERROR_LAUNCH_FAILED", errors, f"call {calls}")
            failures += 1
            # Every call at first, then fewer: most calls of a training are alike.
            calls += 1 if calls < 20 else 17
            self.assertLess(calls, 20000)
        self.assertGreater(failures, 20)

    def test_every_device_in_one_table(self):
        """The processor, the GPU, and the processor behind OpenCL, which is called what it is."""
        words = ["bench", "mlp-mnist", "--device", "all", "--engine", "native", "--threads", "1",
                 "--batch", "4", "--time", "0.05", "--max-time", "0.3", *SMALL]
        status, output, errors = self.run_program(*words)
        self.assertEqual(status, 0, output + errors)
        for line in (r"native +cpu +1 ", r"native +cuda:0 +- ", r"native +opencl:0 +- "):
            self.assertRegex(output, "(?m)^" + line)
        for text in ("vs. best", "why: of the ", "native on cuda:0 does ",
                     "native on opencl:0 (CPU) does ",
                     "opencl:0 is no GPU: CPU behind OpenCL: ",
                     "advice: train mlp-mnist with native on ", "native, CUDA 13.0, sm_90"):
            self.assertIn(text, " ".join(output.split()))
        self.assertNotIn("No GPU was measured", " ".join(output.split()))
        words[3] = "cpu,opencl:0"
        status, output, errors = self.run_program(*words)
        self.assertEqual(status, 0, output + errors)
        self.assertIn("No GPU was measured", " ".join(output.split()))

    def test_lost_device_leaves_the_others(self):
        """The runner tells the lost device; the CPU is measured all the same."""
        status, output, _ = self.run_program(
            "bench", "mlp-mnist", "--device", "cpu,cuda:0", "--engine", "native", "--threads", "1",
            "--time", "0.05", "--max-time", "0.3", "--format", "jsonl", *SMALL,
            FAKE_CUDA_FAIL_AT="400", FAKE_CUDA_STICKY="1")
        self.assertEqual(status, 1)
        records = {r["device"]: r for r in map(json.loads, output.splitlines())}
        self.assertEqual(records["cpu"]["status"], "OK")
        self.assertEqual(records["cuda:0"]["status"], "DRIVER")
        self.assertIn("the device is lost to this process", records["cuda:0"]["error"])


if __name__ == "__main__":
    unittest.main()
