"""The TensorFlow runner, by the tests of the PyTorch runner: the same protocol, the same double
computation to compare with.

Loading TensorFlow takes seconds, so one runner answers most cases.  Where it is missing they fail:
tools/tensorflow-venv.sh makes its environment, which BREAKEVEN_TENSORFLOW_PYTHON names here.
"""
import json
import os
import subprocess
import unittest

import test_torch_runner as shared
from runner_support import NO_TORCH, ROOT, Child

PROGRAM = os.environ["BREAKEVEN_PROGRAM"]
SMALL = ["--synthetic", "--limit", "200"]
PYTHON = os.environ.get("BREAKEVEN_TENSORFLOW_PYTHON", "")
RUNNERS = os.path.join(ROOT, "runners")
# One word for all requests: TensorFlow sets its threads once per process.
THREADS = 2


class TensorFlowChild(Child):
    COMMAND = [PYTHON, os.path.join(RUNNERS, "tensorflow_runner.py")]


def setUpModule():
    if not os.access(PYTHON, os.X_OK):
        raise AssertionError(f"expected TensorFlow's Python in BREAKEVEN_TENSORFLOW_PYTHON, found "
                             f"'{PYTHON}': run tools/tensorflow-venv.sh")


class MissingTensorFlowTest(unittest.TestCase):
    def test_answer_and_clean_stdout(self):
        with shared.tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "tensorflow.py"), "w", encoding="utf-8") as file:
                file.write("import os\nprint('noise', flush=True)\nos.write(1, b'noise\\n')\n"
                           "raise ModuleNotFoundError('no such thing here', name='tensorflow')\n")
            child = TensorFlowChild({"PYTHONPATH": folder})
            answer = child.ask("hello", schema=2)
            self.assertEqual((answer["ok"], answer["status"]), (False, "UNAVAILABLE"))
            for part in ("no such thing here", PYTHON, "make tensorflow",
                         "BREAKEVEN_TENSORFLOW_PYTHON"):
                self.assertIn(part, answer["error"])
            self.assertEqual(child.ask("quit"), {"ok": True})
            code, rest, log = child.close()
            self.assertEqual((code, rest, log.count("noise")), (0, b"", 2))


@unittest.skipIf(NO_TORCH, NO_TORCH)
class TensorFlowRunnerTest(shared.RunnerTest):
    # It brings its own products.
    test_reference_blas_is_warned_of = test_openblas_obeys_its_variable = None

    @classmethod
    def setUpClass(cls):
        cls.folder = shared.tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        # One that brought a GPU would measure another device than asked for.
        cls.child = TensorFlowChild({"CUDA_VISIBLE_DEVICES": "-1"})
        cls.hello = cls.child.ask("hello", schema=2, device="cpu")

    def request(self, workload, data=None, weights=None, **changes):
        return super().request(workload, data, weights, **dict(changes, threads=THREADS))

    def test_hello(self):
        self.assertEqual((self.hello["schema"], self.hello["engine"]), (2, "tensorflow"))
        self.assertRegex(self.hello["version"], r"^2\.\d+")
        self.assertEqual([device["id"] for device in self.hello["devices"]], ["cpu"])
        for name in ("python", "numpy", "keras"):
            self.assertRegex(self.hello["libraries"][name], r"^\d")
        self.assertRegex(self.hello["libraries"]["blas"], "Eigen")
        [gpu] = self.hello["unusable_devices"]
        self.assertEqual(gpu["id"], "cuda")
        self.assertRegex(gpu["reason"], "CUDA.*: (make one with|unset it|install)")
        self.refused("USAGE", "schema 2 of the protocol, found 1", "hello", schema=1)

    def test_prepare_and_sync_answers(self):
        prepared = self.ok("prepare", **self.request("mlp-mnist"))
        self.assertEqual((prepared["precision"], prepared["threads"]), ("fp32", THREADS))
        self.assertEqual(prepared["device_name"], self.hello["devices"][0]["name"])
        self.assertIn("TensorFlow " + self.hello["version"], prepared["implementation"])
        self.assertGreater(prepared["prepare_ns"], 0)
        self.assertIsInstance(prepared["warnings"], list)
        self.assertGreaterEqual(self.ok("sync")["wall_ns"], 0)
        self.refused("UNAVAILABLE", f"expected cpu with {THREADS} threads, with which TensorFlow "
                     "has started, found cpu with 3: start another runner", "prepare",
                     **dict(self.request("mlp-mnist"), threads=3))

    def test_reference(self):
        """No machine does it in less."""
        self.ok("prepare", **self.request("mlp-mnist"))
        times = [self.ok("reference")["wall_ns"] for _ in range(3)]
        self.assertGreater(min(times), 100_000)

    def test_phases_add_up(self):
        self.ok("prepare", **self.request("cnn-fashion"))
        self.ok("run", steps=2)
        answer = self.ok("phases", steps=20)
        phases = answer["phases"]
        self.assertEqual(answer["steps"], 20)
        self.assertEqual(set(phases), {"data", "upload", "forward", "backward", "optimizer",
                                       "loss_read", "idle_host", "idle_other"})
        for name in ("data", "forward", "backward", "optimizer", "idle_host"):
            self.assertGreater(phases[name], 0, name)
        self.assertEqual((phases["upload"], phases["loss_read"]), (0, 0))
        total = sum(phases.values())
        self.assertEqual(total, answer["wall_ns"])
        work = answer["work"]["cpu"]
        self.assertEqual(work["launches"], answer["launches"])
        self.assertLessEqual(work["busy_ns"], total - phases["idle_host"] + len(phases))
        self.check_ops(answer["ops"])

    def check_ops(self, ops):
        """Each layer, where it belongs, once per step."""
        found = {(op["phase"], op["name"]): op for op in ops if "Conv2D" in op["op"]}
        self.assertEqual(set(found) - {("backward", "conv1")},
                         {("forward", "conv1"), ("forward", "conv2"), ("backward", "conv2")})
        self.assertEqual(found["forward", "conv1"]["launches"], 20)
        self.assertGreater(found["forward", "conv1"]["ns"], 0)
        self.assertEqual([op["launches"] for op in ops if op["op"] == "GatherV2"], [60])
        self.assertEqual({op["phase"] for op in ops}, {"data", "forward", "backward", "optimizer"})

    def test_infer(self):
        request = self.request("cnn-mnist", mode="infer")
        del request["optimizer"]
        self.ok("prepare", **request)
        answer = self.ok("run", steps=4, losses=True)
        self.assertEqual((answer["steps"], answer["loss"], answer["losses"]),
                         (4, None, [None] * 4))
        phases = self.ok("phases", steps=2)["phases"]
        self.assertEqual((phases["backward"], phases["optimizer"]), (0, 0))
        self.assertGreater(phases["forward"], 0)
        self.ok("parity", steps=2, out=self.path("out"))
        found = shared.safetensors_io.read(self.path("out"))
        self.assertFalse([name for name in found if name.startswith("grad.")])
        files = [shared.safetensors_io.read(self.path(name)) for name in ("weights", "data")]
        reference = shared.Reference("cnn-mnist", *files, request)
        logits = reference.logits(reference.batch()[0], dropout=False)
        self.close(found["logits"], logits.detach().numpy(), 1e-5, "logits")
        self.ok("export", out=self.path("weights out"))
        for name, value in shared.safetensors_io.read(self.path("weights out")).items():
            shared.np.testing.assert_array_equal(value, files[0][name])


@unittest.skipIf(NO_TORCH, NO_TORCH)
class XlaRunnerTest(TensorFlowRunnerTest):
    """The same steps compiled by XLA; what has nothing to do with them is tested above."""

    @classmethod
    def setUpClass(cls):
        cls.folder = shared.tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        kind = type("XlaChild", (TensorFlowChild,), {"COMMAND": [*TensorFlowChild.COMMAND, "xla"]})
        cls.child = kind({"CUDA_VISIBLE_DEVICES": "-1"})
        cls.hello = cls.child.ask("hello", schema=2, device="cpu")

    def test_hello(self):
        self.assertEqual(self.hello["engine"], "tensorflow-xla")

    def test_prepare_and_sync_answers(self):
        prepared = self.ok("prepare", **self.request("mlp-mnist"))
        self.assertTrue(prepared["implementation"].endswith(", XLA"), prepared)

    def test_phases_add_up(self):
        """XLA's code is one operation: of its parts nothing is told, and nothing is claimed."""
        self.ok("prepare", **self.request("mlp-mnist"))
        answer = self.ok("phases", steps=3)
        self.assertEqual((set(answer["phases"].values()), answer["ops"]), ({None}, []))
        self.assertGreater(answer["work"]["cpu"]["launches"], 0)


for _name in dir(XlaRunnerTest):
    if _name.startswith("test_") and _name not in {
            "test_hello", "test_prepare_and_sync_answers", "test_phases_add_up",
            "test_parity_mlp_mnist", "test_parity_cnn_mnist", "test_run_trains_as_parity_does"}:
        setattr(XlaRunnerTest, _name, None)


class ProgramTest(unittest.TestCase):
    """The engine as breakeven finds and shows it."""

    def test_parity_with_the_double_reference(self):
        # TensorFlowRunnerTest computes all workloads.  The second is wider, and with pictures that
        # do not fill the numbers they are packed into.
        for variant in (["cnn-fashion"], ["cnn-cifar", "--width", "2", "--size", "38"]):
            with self.subTest(variant=variant):
                lines = self.run_program(0, "parity", *variant, "--engine", "tensorflow", "--batch",
                                         "2", "--steps", "3", "--threads", "1", *SMALL, "--format",
                                         "jsonl")[0]
                records = [json.loads(line) for line in lines.splitlines()]
                found = [r for r in records if (r["engine"], r["against"])
                         == ("tensorflow", "reference")]
                self.assertEqual([r["quantity"] for r in found],
                                 ["input", "target", "weights", "logits", "loss", "gradients",
                                  "losses"])
                for r in records:
                    self.assertTrue(r["good"] and r["error"] <= 1e-4, r)

    def run_program(self, code, *arguments, **variables):
        done = subprocess.run([PROGRAM, *arguments], env=dict(os.environ, **variables),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=120)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout, done.stderr

    def test_bench_beside_the_native_engine(self):
        lines = self.run_program(0, "bench", "mlp-mnist", "--engine", "native,tensorflow",
                                 "--threads", "1", "--max-time", "0.2", *SMALL, "--format",
                                 "jsonl", CUDA_VISIBLE_DEVICES="-1")[0].splitlines()
        native, found = [json.loads(line) for line in lines]
        self.assertEqual((native["engine"], found["engine"]), ("native", "tensorflow"))
        self.assertAlmostEqual(native["first_loss"] / found["first_loss"], 1, places=4)
        self.assertGreater(found["first_step_s"], 0)
        self.assertIn("TensorFlow", found["implementation"])
        self.assertIn("Eigen", found["libraries"]["blas"])
        self.assertGreater(found["phases_s"]["forward"], 0)

    def test_the_environment_of_its_own(self):
        """In the user's cache, unless a variable names another Python; and what to do without."""
        with shared.tempfile.TemporaryDirectory() as cache:
            nowhere = {"XDG_CACHE_HOME": cache, "BREAKEVEN_TENSORFLOW_PYTHON": "",
                       "BREAKEVEN_PYTHON": "", "PATH": "/usr/bin:/bin", "VIRTUAL_ENV": "",
                       "CONDA_PREFIX": ""}
            ask = ("bench", "mlp-mnist", "--engine", "tensorflow", "--device", "cuda:0", *SMALL)
            folder = os.path.join(cache, "breakeven", "tensorflow")
            errors = self.run_program(3, *ask, **nowhere)[1]
            self.assertIn("expected tensorflow in /usr/bin/python3, found none", errors)
            self.assertIn("'make tensorflow'", errors)
            os.makedirs(os.path.dirname(folder))
            os.symlink(os.path.dirname(os.path.dirname(PYTHON)), folder)
            errors = self.run_program(3, *ask, CUDA_VISIBLE_DEVICES="-1", **nowhere)[1]
            self.assertIn("device cuda:0: no engine has it here (tensorflow: expected ", errors)
            other = "/usr/bin/python3"
            errors = self.run_program(3, *ask, **dict(nowhere, BREAKEVEN_PYTHON=other))[1]
            self.assertIn(f"the Python of BREAKEVEN_PYTHON ({other}) to have tensorflow", errors)
            self.assertIn("name another Python in BREAKEVEN_TENSORFLOW_PYTHON", errors)

    def test_devices(self):
        out = self.run_program(0, "devices", "--format", "json", CUDA_VISIBLE_DEVICES="-1")[0]
        found = {r["device"]: r for r in json.loads(out) if r["engine"] == "tensorflow"}
        self.assertEqual((found["cpu"]["usable"], found["cuda"]["usable"]), (True, False))
        self.assertRegex(found["cuda"]["reason"], "CUDA")


class InsideTest(unittest.TestCase):
    """What only TensorFlow's own Python can look at; one process runs all of its cases."""

    def test_cases(self):
        done = subprocess.run([PYTHON, os.path.join(ROOT, "tests", "tensorflow_inside.py")],
                              env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2",
                                       KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1"),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), {"run": 13, "failed": 0}, done.stderr)


if __name__ == "__main__":
    unittest.main()
