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

PYTHON = os.environ.get("BREAKEVEN_TENSORFLOW_PYTHON", "")
RUNNERS = os.path.join(ROOT, "runners")
# One word for all requests: TensorFlow sets its threads once a process.
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
                           "raise ImportError('no such thing here')\n")
            child = TensorFlowChild({"PYTHONPATH": folder})
            answer = child.ask("hello", schema=1)
            self.assertEqual((answer["ok"], answer["status"]), (False, "UNAVAILABLE"))
            for part in ("no such thing here", PYTHON, "make tensorflow",
                         "BREAKEVEN_TENSORFLOW_PYTHON"):
                self.assertIn(part, answer["error"])
            self.assertEqual(child.ask("quit"), {"ok": True})
            code, rest, log = child.close()
            self.assertEqual((code, rest, log.count("noise")), (0, b"", 2))


@unittest.skipIf(NO_TORCH, NO_TORCH)
class TensorFlowRunnerTest(shared.RunnerTest):
    test_reference_blas_is_warned_of = None  # it brings its own products

    @classmethod
    def setUpClass(cls):
        cls.folder = shared.tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        # One that brought a GPU would measure another device than asked for.
        cls.child = TensorFlowChild({"CUDA_VISIBLE_DEVICES": "-1"})
        cls.hello = cls.child.ask("hello", schema=1, device="cpu")

    def request(self, workload, data=None, weights=None, **changes):
        return super().request(workload, data, weights, **dict(changes, threads=THREADS))

    def test_hello(self):
        self.assertEqual((self.hello["schema"], self.hello["engine"]), (1, "tensorflow"))
        self.assertRegex(self.hello["version"], r"^2\.\d+")
        self.assertEqual([device["id"] for device in self.hello["devices"]], ["cpu"])
        for name in ("python", "numpy", "keras"):
            self.assertRegex(self.hello["libraries"][name], r"^\d")
        self.assertRegex(self.hello["libraries"]["blas"], "Eigen")
        [gpu] = self.hello["unusable_devices"]
        self.assertEqual(gpu["id"], "cuda")
        self.assertRegex(gpu["reason"], "CUDA.*: (make one with|unset it|install)")
        self.refused("USAGE", "schema 1 of the protocol, found 2", "hello", schema=2)

    def test_prepare_and_sync_answers(self):
        prepared = self.ok("prepare", **self.request("mlp-mnist"))
        self.assertEqual((prepared["precision"], prepared["threads"]), ("fp32", THREADS))
        self.assertEqual(prepared["device_name"], self.hello["devices"][0]["name"])
        self.assertIn("TensorFlow " + self.hello["version"], prepared["implementation"])
        self.assertGreater(prepared["prepare_ns"], 0)
        self.assertIsInstance(prepared["warnings"], list)
        self.assertLess(self.ok("sync")["wall_ns"], 50_000_000)
        self.refused("UNAVAILABLE", f"expected cpu with {THREADS} threads, with which TensorFlow "
                     "has started, found cpu with 3: start another runner", "prepare",
                     **dict(self.request("mlp-mnist"), threads=3))

    def test_reference(self):
        """Always the same work: two tries are alike, but for what else the machine does."""
        self.ok("prepare", **self.request("mlp-mnist"))
        times = [self.ok("reference")["wall_ns"] for _ in range(9)]
        self.assertGreater(min(times), 100_000)
        self.assertLess(min(times), 50_000_000)

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
        self.assertLessEqual(total, answer["wall_ns"])
        self.assertGreater(total, 0.9 * answer["wall_ns"])
        work = answer["work"]["cpu"]
        self.assertEqual(work["launches"], answer["launches"])
        self.assertLessEqual(work["busy_ns"], total - phases["idle_host"] + len(phases))
        self.check_ops(answer["ops"])

    def check_ops(self, ops):
        """Each layer, where it belongs, once a step."""
        found = {(op["phase"], op["name"]): op for op in ops if "Conv2D" in op["op"]}
        self.assertEqual(set(found) - {("backward", "conv1")},
                         {("forward", "conv1"), ("forward", "conv2"), ("backward", "conv2")})
        self.assertEqual(found["forward", "conv1"]["launches"], 20)
        self.assertGreater(found["forward", "conv1"]["ns"], 0)
        self.assertEqual([op["launches"] for op in ops if op["op"] == "GatherV2"], [40])
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


class InsideTest(unittest.TestCase):
    """What only TensorFlow's own Python can look at; one process runs all of its cases."""

    def test_cases(self):
        with shared.tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [PYTHON, os.path.join(ROOT, "tests", "tensorflow_inside.py"), folder],
                env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", KERAS_BACKEND="tensorflow"),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(done.stdout), {"failed": 0, "run": 3}, done.stderr)


if __name__ == "__main__":
    unittest.main()
