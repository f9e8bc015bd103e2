"""What only a Python with MLX can show (test_mlx_runner.py): the tests of the PyTorch runner, the
larger networks, a user's own model, and the engine as the program has it.

Most steps are not compiled: MLX starts g++ for each of a step's loops.
"""
import json
import os
import subprocess
import unittest

import test_tensorflow_ladder as tensorflow_ladder
import test_torch_ladder as torch_ladder
import test_torch_runner as shared
from cli_support import FolderTest
from runner_support import ADAM, NO_TORCH, ROOT, SGD, Child

if NO_TORCH is None:
    import numpy as np
    import safetensors_io

PROGRAM = os.environ["BREAKEVEN_PROGRAM"]
PYTHON = os.environ.get("BREAKEVEN_MLX_PYTHON", "")
PLAIN = {"MLX_DISABLE_COMPILE": "1"}
SMALL = ["--synthetic", "--limit", "200"]


class MlxChild(Child):
    COMMAND = [PYTHON, os.path.join(ROOT, "runners", "mlx_runner.py")]


@unittest.skipIf(NO_TORCH, NO_TORCH)
class MlxRunnerTest(shared.RunnerTest):
    # It brings its own products.
    test_reference_blas_is_warned_of = test_openblas_obeys_its_variable = None

    @classmethod
    def setUpClass(cls):
        cls.folder = shared.tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.child = MlxChild(PLAIN)
        cls.hello = cls.child.ask("hello", schema=2)

    def test_hello(self):
        self.assertEqual((self.hello["schema"], self.hello["engine"]), (2, "mlx"))
        self.assertRegex(self.hello["version"], r"^0\.\d+")
        self.assertEqual(self.hello["devices"][0]["id"], "cpu")
        for name in ("python", "numpy", "blas"):
            self.assertTrue(self.hello["libraries"][name])
        self.assertEqual(self.child.ask("hello", schema=2, **{"try": True})["devices"],
                         self.hello["devices"])
        self.refused("USAGE", "schema 2 of the protocol, found 1", "hello", schema=1)

    def test_prepare_and_sync_answers(self):
        prepared = self.ok("prepare", **self.request("mlp-mnist", threads=2))
        self.assertEqual(prepared["precision"], "fp32")
        self.assertEqual(prepared["device_name"], self.hello["devices"][0]["name"])
        self.assertRegex(prepared["implementation"], r"^MLX 0\.\S+, .*, not compiled$")
        self.assertIn("MLX_DISABLE_COMPILE", " ".join(prepared["warnings"]))
        self.assertGreater(prepared["prepare_ns"], 0)
        if self.hello["libraries"]["blas"] == "reference BLAS":
            # What is told is what it does, whatever was asked for.
            self.assertEqual(prepared["threads"], 1)
            self.assertIn("MLX multiplies with the reference BLAS here",
                          " ".join(prepared["warnings"]))
        self.assertGreaterEqual(self.ok("sync")["wall_ns"], 0)
        for precision in ("tf32", "bf16"):
            self.refused("UNAVAILABLE", f"an engine with precision '{precision}'", "prepare",
                         **self.request("mlp-mnist", precision=precision))
        self.refused("UNAVAILABLE", "expected the device 'cuda:9', found ", "prepare",
                     **self.request("mlp-mnist", device="cuda:9"))

    def test_phases_add_up(self):
        self.ok("prepare", **self.request("cnn-fashion"))
        self.ok("run", steps=2)
        answer = self.ok("phases", steps=5)
        phases = answer["phases"]
        self.assertEqual((answer["steps"], answer["upload_bytes"], answer["ops"]), (5, 0, []))
        for name in ("data", "forward", "backward", "optimizer", "idle_host"):
            self.assertGreater(phases[name], 0, name)
        self.assertEqual(sum(phases.values()), answer["wall_ns"])
        self.assertGreater(phases["backward"], phases["data"])

    def test_infer(self):
        request = self.request("cnn-mnist", mode="infer")
        del request["optimizer"]
        self.ok("prepare", **request)
        answer = self.ok("run", steps=4, losses=True)
        self.assertEqual((answer["steps"], answer["loss"], answer["losses"]),
                         (4, None, [None] * 4))
        phases = self.ok("phases", steps=2)["phases"]
        self.assertEqual((phases["backward"], phases["optimizer"]), (0, 0))
        self.ok("parity", steps=2, out=self.path("out"))
        found = safetensors_io.read(self.path("out"))
        self.assertFalse([name for name in found if name.startswith("grad.")])
        files = [safetensors_io.read(self.path(name)) for name in ("weights", "data")]
        reference = shared.Reference("cnn-mnist", *files, request)
        logits = reference.logits(reference.batch()[0], dropout=False)
        self.close(found["logits"], logits.detach().numpy(), 1e-5, "logits")

    def test_compiled_steps_are_the_same(self):
        """One small network as its users have it; data in the host's memory too."""
        self.ok("prepare", **self.request("mlp-mnist", optimizer=SGD))
        plain = self.ok("run", steps=5, losses=True)["losses"]
        child = MlxChild()
        answer = child.ask("prepare", **self.request("mlp-mnist", optimizer=SGD))
        self.assertTrue(answer["implementation"].endswith(", compiled"), answer)
        losses = child.ask("run", steps=5, losses=True)["losses"]
        child.close()
        self.close(np.array(losses), plain, 1e-6, "losses")

    def test_data_on_the_host_of_another_device(self):
        """As a GPU has it, whose batches are gathered on the host: asked of the session itself."""
        script = ("import sys; sys.path.insert(0, sys.argv[1])\n"
                  "import json, mlx_engine, mlx_libraries\n"
                  "request, found = json.loads(sys.argv[2]), []\n"
                  "for where in ('device', 'host'):\n"
                  "    engine = mlx_engine.Engine()\n"
                  "    engine.prepare({**request, 'data_on': where})\n"
                  "    found.append(engine.run({'steps': 7, 'losses': True})['losses'])\n"
                  "    mlx_libraries.CPU = None\n"
                  "    mlx_libraries.find_device = lambda name, cpu=mlx_libraries.mx.Device("
                  "mlx_libraries.mx.cpu, 0): mlx_libraries.Device('mps', cpu)\n"
                  "assert engine.session.resident is False\n"
                  "json.dump(found, sys.stdout)\n")
        done = subprocess.run(
            [PYTHON, "-c", script, os.path.join(ROOT, "runners"),
             json.dumps(self.request("cnn-fashion", optimizer=ADAM))], check=True,
            stdout=subprocess.PIPE, env={**os.environ, **PLAIN})
        device, host = json.loads(done.stdout)
        self.assertEqual(device, host)


@unittest.skipIf(NO_TORCH, NO_TORCH)
class MlxLadderTest(tensorflow_ladder.LadderTest):
    """Three steps of each against the same network in PyTorch in double, from the same files."""
    NAMES = ("resnet18-cifar", "encoder", "gpt2")

    @classmethod
    def setUpClass(cls):
        cls.child = MlxChild(PLAIN)

    def test_what_is_not_there_is_refused(self):
        _, _, _, request = self.network("gpt2")
        self.refused("UNAVAILABLE", "found 'nesterov': leave it out",
                     dict(request, optimizer=dict(torch_ladder.SGD, nesterov=True)))
        self.refused("UNAVAILABLE", "resnet18-cifar, encoder, gpt2, found 'clip'",
                     dict(request, workload="clip"))


MLP = """
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
def model():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.LayerNorm(5), nn.Linear(5, 3))
def batch(n):
    return np.random.rand(n, 6), np.random.randint(3, size=n)
"""
# Its own loss and optimizer, and a dimension.
LINE = """
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
name, unit = "a line", ("point", 2)
class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 1)
    def __call__(self, x):
        return self.dense(x)
def model():
    return Line()
def batch(n, width=4):
    x = mx.random.uniform(shape=(n, width))
    return {"x": x, "y": x.sum(axis=1, keepdims=True)}
def loss(output, target):
    return 0.5 * ((output - target) ** 2).mean()
def optimizer(parameters):
    return optim.SGD(0.25)
def flops(n):
    return 10 * n
"""
# Each is a file and what is said of it, at once or when it computes.
BAD = [
    (MLP + "def model():\n    return 3\n",
     "model() of mymodel.py to return a mlx.nn.Module, found int"),
    (MLP + "def batch(n):\n    return np.zeros((7, 6)), np.zeros(7, int)\n",
     "batch(8) of mymodel.py to return inputs of 8 samples ([8, ...]), found [7, 6]"),
    (MLP + "def batch(n):\n    return 'pictures'\n",
     "an array, a tuple or a dict of them, found str"),
    (MLP + "import os\ndef batch(n):\n    x = np.frombuffer(os.urandom(6 * n), np.uint8)\n"
     "    return x.reshape(n, 6) / 255, np.zeros(n, int)\n",
     "the same numbers after random, numpy.random and mlx.core.random are seeded, found others"),
    (MLP + "def optimizer(parameters):\n    return 0.1\n",
     "to return an mlx.optimizers.Optimizer, found float"),
    (MLP + "def batch(n):\n    return np.zeros((n, 7)), np.zeros(n, int)\n",
     "found ValueError: [addmm]"),
    (MLP + "def batch(n):\n    return np.zeros((n, 6)), np.zeros((n, 2))\n",
     "an output of the target's shape for the mean squared error"),
    (MLP + "def loss(output, target):\n    return output\n",
     "loss(output, target) of mymodel.py to be one number, an array without a dimension, found "
     "[8, 3]"),
    (MLP + "def loss(output, target):\n    return output.mean() * float('nan')\n",
     "a finite loss in the first steps of mymodel.py, found nan: check what batch(n) returns"),
]


@unittest.skipIf(NO_TORCH, NO_TORCH)
class MlxOwnTest(FolderTest):
    files = 0

    @classmethod
    def setUpClass(cls):
        cls.child = MlxChild(PLAIN)

    @classmethod
    def tearDownClass(cls):
        cls.child.ask("quit")
        code, rest, _ = cls.child.close()
        assert (code, rest) == (0, b""), (code, rest)

    def prepare(self, text, child=None, **changes):
        """Each file under a name of its own: the runner keeps the one that it has."""
        MlxOwnTest.files += 1
        named = self.path(f"mymodel{self.files}.py")
        with open(named, "w", encoding="utf-8") as file:
            file.write(text)
        return (child or self.child).ask("prepare", **{
            "workload": named, "model": named, "device": "cpu", "precision": "fp32", "threads": 1,
            "batch": 8, "mode": "train", "seed": 3, "dropout": "counter",
            "weights": self.path("weights"), **changes})

    def parity(self, text, name, **changes):
        """(the answer, the trace)"""
        answer = self.prepare(text, **changes)
        self.assertTrue(answer["ok"], answer)
        answer = self.child.ask("parity", steps=3, out=self.path(name), judge=True)
        self.assertTrue(answer["ok"], answer)
        return answer, safetensors_io.read(self.path(name))

    def test_a_model_is_trained_as_its_file_says(self):
        """By gradient descent, in numpy and double."""
        prepared = self.prepare(LINE)
        self.assertTrue(prepared["ok"], prepared)
        self.assertEqual({key: prepared[key] for key in ("title", "unit", "units_a_sample",
                                                         "parameters", "precision")},
                         {"title": "a line", "unit": "point", "units_a_sample": 2,
                          "parameters": 5, "precision": "fp32"})
        _, found = self.parity(LINE, "found")
        with np.load(self.path("weights")) as file:
            w, b = (file["dense." + name].astype(np.float64) for name in ("weight", "bias"))
        x, losses = found["input.x"].astype(np.float64), []
        miss = x @ w.T + b - found["target"]
        losses.append(0.5 * (miss ** 2).mean())
        np.testing.assert_allclose(found["losses"][0], losses[0], rtol=1e-5)
        np.testing.assert_allclose(found["grad.dense.weight"], miss.T @ x / 8, rtol=1e-5)
        np.testing.assert_allclose(found["grad.dense.bias"], miss.mean(axis=0), rtol=1e-5)
        answer = self.child.ask("run", steps=3, losses=True)
        np.testing.assert_allclose(answer["losses"], found["losses"], rtol=1e-6)
        self.assertLess(found["losses"][2], found["losses"][0])
        phases = self.child.ask("phases", steps=2)
        self.assertEqual((phases["flops"], phases["notes"]), (160, []))
        answer = self.prepare(LINE, seq=7)
        self.assertEqual((answer["ok"], answer["status"]), (False, "USAGE"))

    def test_precisions_see_the_same(self):
        for text, draws in ((MLP, "none"),
                            (MLP.replace("nn.ReLU()", "nn.Dropout(0.5)"), "dropout")):
            with self.subTest(draws):
                double, right = self.parity(text, "double", precision="fp64")
                single, found = self.parity(text, "single")
                self.assertEqual((double["draws"], single["draws"]), (draws, draws))
                self.assertEqual(sorted(right), sorted(found))
                for name, x in right.items():
                    np.testing.assert_allclose(found[name], x, rtol=2e-4, atol=1e-6)
                self.assertTrue((found["losses"] != right["losses"]).any())  # double is double
                self.assertLess(double["moved"]["losses"], 1e-4)
                self.assertGreater(double["moved"]["gradients"], 0)
                os.unlink(self.path("weights"))

    def test_what_cannot_be_compiled_is_measured_as_it_is(self):
        """Said, and never done unseen."""
        child = MlxChild()
        text = LINE.replace("return self.dense(x)",
                            "return self.dense(x) * (1.0 if x.sum().item() else 2.0)")
        answer = self.prepare(text, child)
        child.close()
        self.assertTrue(answer["ok"], answer)
        self.assertTrue(answer["implementation"].endswith(", not compiled"), answer)
        self.assertRegex(" ".join(answer["warnings"]), "MLX cannot compile the step of .*mymodel")

    def test_files_that_are_wrong(self):
        for text, says in BAD:
            with self.subTest(says):
                answer = self.prepare(text)
                if answer["ok"]:
                    answer = self.child.ask("parity", steps=3, out=self.path("out"), judge=True)
                self.assertFalse(answer["ok"], answer)
                named = self.path(f"mymodel{self.files}.py")
                self.assertIn(says, answer["error"].replace(named, "mymodel.py"))
                self.assertRegex(answer["error"], "expected .*, found .*: ")
                if os.path.exists(self.path("weights")):
                    os.unlink(self.path("weights"))


@unittest.skipIf(NO_TORCH, NO_TORCH)
class MlxProgramTest(FolderTest):
    """The engine as breakeven finds and shows it."""

    def test_parity_with_the_double_reference(self):
        out = self.good("parity", "cnn-cifar", "--width", "2", "--size", "38", "--engine", "mlx",
                        "--batch", "2", "--steps", "3", "--threads", "1", *SMALL, "--format",
                        "jsonl", env=PLAIN)
        found = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([r["quantity"] for r in found
                          if (r["engine"], r["against"]) == ("mlx", "reference")],
                         ["input", "target", "weights", "logits", "loss", "gradients", "losses"])
        for r in found:
            self.assertTrue(r["good"] and r["error"] <= 1e-4, r)

    def test_bench(self):
        """Beside the native engine, where it is named; a file says whose it is."""
        out = self.good("bench", "mlp-mnist", "--engine", "native,mlx", "--threads", "1",
                        "--device", "cpu", "--max-time", "0.2", *SMALL, "--format", "jsonl",
                        env=PLAIN)
        native, found = [json.loads(line) for line in out.splitlines()]
        self.assertEqual((native["engine"], found["engine"]), ("native", "mlx"))
        self.assertAlmostEqual(native["first_loss"] / found["first_loss"], 1, places=4)
        with open(self.path("mymodel.py"), "w", encoding="utf-8") as file:
            file.write(MLP)
        out = self.good("bench", self.path("mymodel.py"), "--device", "cpu", "--threads", "1",
                        "--time", "0.02", "--max-time", "0.1", "-f", "json", env=PLAIN)
        [record] = json.loads(out)
        self.assertEqual((record["engine"], record["status"], record["params"]),
                         ("mlx", "OK", 63))
        self.assertLess(record["parity"]["error"], record["parity"]["band"])

    def test_devices(self):
        found = {r["device"]: r for r in json.loads(self.good("devices", "--format", "json"))
                 if r["engine"] == "mlx"}
        self.assertTrue(found["cpu"]["usable"])
