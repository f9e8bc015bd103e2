"""Tests of a user's own model of Keras, on TensorFlow's runner and by the whole program: against
numpy in double, between precisions, and what is wrong with a file."""
import json
import os
import unittest

from cli_support import FolderTest
from runner_support import NO_NUMPY
from test_tensorflow_runner import PYTHON, THREADS, TensorFlowChild

if NO_NUMPY is None:
    import numpy as np
    import safetensors_io

MLP = """
import keras
import numpy as np
def model():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, activation="relu"),
                             keras.layers.BatchNormalization(), keras.layers.Dense(3)])
def batch(n):
    return np.random.rand(n, 6), np.random.randint(3, size=n)
"""
# Compiled: its loss and optimizer are taken, and what a layer adds to the loss.
LINE = """
import keras
import numpy as np
name, unit = "a line", ("point", 2)
def model():
    m = keras.Sequential([keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5))])
    m.compile(optimizer=keras.optimizers.SGD(0.25), loss="mse")
    return m
def batch(n, width=4):
    x = np.random.rand(n, width)
    return x, x.sum(axis=1, keepdims=True)
def flops(n):
    return 10 * n
"""
# Each is a file and what is said of it, at once or when it computes.
BAD = [
    ("import keras\ndef batch(n):\n    pass\n", "to define model(), which returns the keras.Model"),
    (MLP + "def model():\n    return 3\n",
     "model() of mymodel.py to return a keras.Model, found int"),
    (MLP + "def batch(n):\n    return np.zeros((7, 6)), np.zeros(7, int)\n",
     "batch(8) of mymodel.py to return inputs of 8 samples ([8, ...]), found [7, 6]"),
    (MLP + "def batch(n):\n    return 'pictures'\n",
     "an array, a tuple or a dict of them, found str"),
    (MLP + "import os\ndef batch(n):\n    x = np.frombuffer(os.urandom(6 * n), np.uint8)\n"
     "    return x.reshape(n, 6) / 255, np.zeros(n, int)\n",
     "the same numbers after keras.utils.set_random_seed, found others"),
    (MLP + "def optimizer(variables):\n    return 0.1\n",
     "to return a keras.optimizers.Optimizer, found float"),
    (MLP + "def batch(n):\n    return np.zeros((n, 7)), np.zeros(n, int)\n",
     "is incompatible with the layer: expected axis -1 of input shape to have value 6, but "
     "received input with shape (8, 7): correct the file"),
    (MLP + "def batch(n):\n    return np.zeros((n, 6)), np.zeros((n, 4), int)\n",
     "an output [n, classes] for targets [n] of whole numbers, found an output [8, 3] and a target "
     "[8, 4]: compile the model with a loss, or define loss(output, target) in the file"),
    (MLP + "def batch(n):\n    return np.zeros((n, 6)), np.zeros((n, 2))\n",
     "an output of the target's shape for the mean squared error"),
    (MLP + "def loss(output, target):\n    return output\n",
     "the loss of mymodel.py to be one number, a tensor without a dimension, found [8, 3]"),
    (MLP + "def loss(output, target):\n    return keras.ops.mean(output) * float('nan')\n",
     "a finite loss in the first steps of mymodel.py, found nan: check what batch(n) returns"),
]


def setUpModule():
    if not os.access(PYTHON, os.X_OK):
        raise AssertionError(f"expected TensorFlow's Python in BREAKEVEN_TENSORFLOW_PYTHON, found "
                             f"'{PYTHON}': run tools/tensorflow-venv.sh")


@unittest.skipIf(NO_NUMPY, NO_NUMPY)
class KerasOwnTest(FolderTest):
    """TensorFlow takes seconds to load: one runner answers all."""
    files = 0

    @classmethod
    def setUpClass(cls):
        cls.child = TensorFlowChild({"CUDA_VISIBLE_DEVICES": "-1"})

    @classmethod
    def tearDownClass(cls):
        cls.child.ask("quit")
        code, rest, _ = cls.child.close()
        assert (code, rest) == (0, b""), (code, rest)

    def file(self, text):
        """Each under a name of its own: the runner keeps the file that it has."""
        KerasOwnTest.files += 1
        path = self.path(f"mymodel{self.files}.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def prepare(self, text, **changes):
        named = self.file(text)
        return self.child.ask("prepare", **self.request(named, **changes))

    def request(self, named, **changes):
        return {
            "workload": named, "model": named, "device": "cpu", "precision": "fp32",
            "threads": THREADS, "batch": 8, "mode": "train", "seed": 3, "dropout": "counter",
            "weights": self.path("weights"), **changes}

    def parity(self, text, name, **changes):
        """(the answer, the trace)"""
        answer = self.prepare(text, **changes)
        self.assertTrue(answer["ok"], answer)
        answer = self.child.ask("parity", steps=3, out=self.path(name), judge=True)
        self.assertTrue(answer["ok"], answer)
        return answer, safetensors_io.read(self.path(name))

    def test_a_compiled_model_is_trained_as_it_says(self):
        """Mean squared error with the regulariser, by gradient descent, in numpy and double."""
        prepared = self.prepare(LINE)
        self.assertTrue(prepared["ok"], prepared)
        self.assertEqual({key: prepared[key] for key in ("title", "unit", "units_a_sample",
                                                         "parameters", "precision")},
                         {"title": "a line", "unit": "point", "units_a_sample": 2,
                          "parameters": 5, "precision": "fp32"})
        _, found = self.parity(LINE, "found")
        with np.load(self.path("weights")) as file:
            w, b = [file[name].astype(np.float64) for name in file.files]
        np.random.seed(3)
        losses = []
        for step in range(3):
            x = np.random.rand(8, 4)
            miss = x @ w + b - x.sum(axis=1, keepdims=True)
            losses.append((miss ** 2).mean() + 0.5 * (w ** 2).sum())
            grad_w, grad_b = 2 * x.T @ miss / 8 + w, 2 * miss.mean(axis=0)
            if step == 0:
                np.testing.assert_allclose(found["input"], x, rtol=1e-6)
                np.testing.assert_allclose(found["grad.sequential/dense/kernel"], grad_w, rtol=1e-5)
                np.testing.assert_allclose(found["grad.sequential/dense/bias"], grad_b, rtol=1e-5)
            w, b = w - 0.25 * grad_w, b - 0.25 * grad_b
        np.testing.assert_allclose(found["losses"], losses, rtol=1e-5)
        answer = self.child.ask("run", steps=3, losses=True)
        np.testing.assert_allclose(answer["losses"], losses, rtol=1e-5)
        phases = self.child.ask("phases", steps=2)
        self.assertEqual((phases["flops"], phases["notes"]), (160, []))
        self.assertGreater(phases["phases"]["backward"], 0)
        self.assertIn("dense", {op["name"] for op in phases["ops"]})
        answer = self.prepare(LINE, width=7)
        self.assertEqual((answer["ok"], answer["status"]), (False, "BAD_DATA"))  # other weights
        self.assertIn("the same shapes of weights", answer["error"])

    def test_precisions_see_the_same(self):
        for text, draws in ((MLP, "none"),
                            (MLP.replace("keras.layers.BatchNormalization()",
                                         "keras.layers.Dropout(0.5)"), "dropout")):
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

    def test_compiled_by_xla_it_computes_the_same(self):
        """From the same weights; of the parts of its one operation nothing is claimed."""
        _, right = self.parity(LINE, "plain")
        named = self.path(f"mymodel{self.files}.py")
        kind = type("XlaChild", (TensorFlowChild,), {"COMMAND": [*TensorFlowChild.COMMAND, "xla"]})
        child = kind({"CUDA_VISIBLE_DEVICES": "-1"})
        prepared = child.ask("prepare", **self.request(named))
        self.assertTrue(prepared.get("implementation", "").endswith(", XLA"), prepared)
        self.assertTrue(child.ask("parity", steps=3, out=self.path("xla"))["ok"])
        phases = child.ask("phases", steps=2)
        child.close()
        found = safetensors_io.read(self.path("xla"))
        self.assertEqual(sorted(right), sorted(found))
        for name, x in right.items():
            np.testing.assert_allclose(found[name], x, rtol=1e-5, atol=1e-6, err_msg=name)
        self.assertEqual((set(phases["phases"].values()), phases["flops"]), ({None}, 160))

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

    def test_what_is_of_the_ladder_is_refused(self):
        self.assertTrue(self.prepare(MLP)["ok"])
        for op, members in (("evaluate", {"data": "x"}), ("export", {"out": "x"})):
            answer = self.child.ask(op, **members)
            self.assertIn("expected a workload of the ladder", answer["error"])


@unittest.skipIf(NO_NUMPY, NO_NUMPY)
class KerasBenchTest(FolderTest):
    def test_the_file_says_whose_it_is(self):
        """By what it imports; the reference in double is TensorFlow's own."""
        with open(self.path("mymodel.py"), "w", encoding="utf-8") as file:
            file.write(MLP)
        out = self.good("bench", self.path("mymodel.py"), "--device", "cpu", "--threads", "1",
                        "--time", "0.02", "--max-time", "0.1", "-f", "json")
        [record] = json.loads(out)
        self.assertEqual((record["engine"], record["status"], record["params"]),
                         ("tensorflow", "OK", 63))
        self.assertLess(record["parity"]["error"], record["parity"]["band"])
        self.assertEqual(record["parity"]["steps"], 3)


if __name__ == "__main__":
    unittest.main()
