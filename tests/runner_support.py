"""What the tests of the Python runners share: the workloads' shapes, files for them, the runner as
a child, and the training in double that its results are compared with.

Import this before the runners' modules: it puts their folder on the path.
"""
import json
import math
import os
import re
import select
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUNNER = os.path.join(ROOT, "runners", "torch_runner.py")
sys.path.insert(0, os.path.join(ROOT, "runners"))
sys.dont_write_bytecode = True

try:
    import numpy as np
    import philox
    import safetensors_io
    NO_NUMPY = None
except ImportError as error:
    NO_NUMPY = f"numpy cannot be imported: {error}"
try:
    import torch
    import torch.nn.functional as F
    NO_TORCH = NO_NUMPY
except ImportError as error:
    NO_TORCH = f"PyTorch cannot be imported: {error}"

ANSWER_LIMIT_S = 600

# (parameters, input shape) as in docs; the names and shapes of the weights, in state_dict order.
WORKLOADS = {
    "mlp-mnist": (109386, (1, 28, 28), {"fc1": (128, 784), "fc2": (64, 128), "fc3": (10, 64)}),
    "cnn-mnist": (1199882, (1, 28, 28), {"conv1": (32, 1, 3, 3), "conv2": (64, 32, 3, 3),
                                         "fc1": (128, 9216), "fc2": (10, 128)}),
    "cnn-cifar": (62006, (3, 32, 32), {"conv1": (6, 3, 5, 5), "conv2": (16, 6, 5, 5),
                                       "fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)}),
    "cnn-fashion": (37250, (1, 28, 28), {"conv1": (16, 1, 3, 3), "conv2": (32, 16, 3, 3),
                                         "fc1": (40, 800), "fc2": (10, 40)}),
    "cnn5-fashion": (482666, (1, 28, 28), {
        "conv1": (32, 1, 3, 3), "conv2": (64, 32, 3, 3), "conv3": (96, 64, 3, 3),
        "conv4": (128, 96, 3, 3), "conv5": (256, 128, 3, 3), "fc1": (10, 256)}),
}
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
ADAM = {"name": "adam", "lr": 0.003, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4,
        "weight_decay": 0.02}
ADAMW = dict(ADAM, name="adamw", weight_decay=0.5)


def make_weights(workload, seed=5):
    rng = np.random.default_rng(seed)
    weights = {}
    for layer, shape in WORKLOADS[workload][2].items():
        bound = 1.5 / np.sqrt(np.prod(shape[1:]))
        weights[layer + ".weight"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        weights[layer + ".bias"] = rng.uniform(-bound, bound, shape[0]).astype(np.float32)
    return weights


def make_data(workload, count=30, seed=6, order=None):
    rng = np.random.default_rng(seed)
    shape = (count,) + WORKLOADS[workload][1]
    if order is None:
        order = rng.permutation(count)
    return {"images": rng.integers(0, 256, shape, dtype=np.uint8),
            "labels": rng.integers(0, 10, count, dtype=np.int32),
            "order": np.asarray(order, dtype=np.int32)}


class Child:
    """The runner as the conductor sees it: PyTorch's, if a subclass names no other command."""

    COMMAND = [sys.executable, RUNNER]

    def __init__(self, environment=None):
        self.process = subprocess.Popen(self.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0,
                                        env=dict(os.environ, **(environment or {})))
        self.pending = b""

    def send(self, line):
        self.process.stdin.write(line + b"\n")

    def answer(self):
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self.pending:
            if not select.select([descriptor], [], [], ANSWER_LIMIT_S)[0]:
                self.process.kill()
                raise AssertionError(f"no answer in {ANSWER_LIMIT_S} s")
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise AssertionError("the runner ended: " + self.process.stderr.read().decode())
            self.pending += piece
        line, _, self.pending = self.pending.partition(b"\n")
        return json.loads(line, parse_constant=lambda text: self.refuse(text))

    @staticmethod
    def refuse(text):
        raise AssertionError(f"'{text}' is not JSON")

    def ask(self, op, **members):
        self.send(json.dumps(dict(members, op=op)).encode())
        return self.answer()

    def close(self):
        """End of the requests; returns (exit code, what else stood on stdout, the log)."""
        out, log = self.process.communicate(timeout=ANSWER_LIMIT_S)
        return self.process.returncode, self.pending + out, log.decode()


class RunnerCase(unittest.TestCase):
    """One runner that answers all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.child = Child()
        cls.hello = cls.child.ask("hello", schema=2)

    @classmethod
    def tearDownClass(cls):
        answer = cls.child.ask("quit")
        code, rest, log = cls.child.close()
        assert (answer, code, rest) == ({"ok": True}, 0, b""), (answer, code, rest, log)
        assert "Traceback" not in log, log

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def request(self, workload, data=None, weights=None, **changes):
        """The members of a `prepare`, with its files written."""
        channels = WORKLOADS[workload][1][0]
        safetensors_io.write(self.path("data"), data or make_data(workload))
        safetensors_io.write(self.path("weights"), weights or make_weights(workload))
        return dict({"workload": workload, "device": "cpu", "precision": "fp32", "threads": 1,
                     "batch": 8, "mode": "train", "seed": 77, "data": self.path("data"),
                     "weights": self.path("weights"), "optimizer": SGD, "dropout": "engine",
                     "normalize": {"images": {"mean": [0.3, 0.4, 0.5][:channels],
                                   "std": [0.2, 0.25, 0.5][:channels]}}}, **changes)

    def ok(self, op, **members):
        answer = self.child.ask(op, **members)
        self.assertTrue(answer["ok"], answer)
        return answer

    def refused(self, status, text, op, **members):
        answer = self.child.ask(op, **members)
        self.assertEqual((answer["ok"], answer.get("status")), (False, status), answer)
        error = re.sub(" in " + re.escape(self.folder.name) + r"/(\w+)", r" in \1", answer["error"])
        self.assertIn(text, error)
        self.assertRegex(error, "expected .*, found .*: ")

    def close(self, found, expected, tolerance, what):
        """Largest error relative to the largest expected value; NaN fails."""
        expected = np.asarray(expected)
        self.assertEqual(found.shape, expected.shape, what)
        error = np.abs(found - expected).max() / (np.abs(expected).max() + 1e-12)
        self.assertTrue(error <= tolerance, f"{what}: relative error {error}")


def rate_factor(schedule, step):
    """What `docs/runner-protocol.md` says of a schedule, written once more."""
    if schedule is None:
        return 1.0
    warmup, total, final = (schedule[name] for name in
                            ("warmup_steps", "total_steps", "final_factor"))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule["kind"] == "constant":
        return 1.0
    done = (min(step, total) - warmup) / (total - warmup)
    shape = {"linear": 1 - done, "cosine": math.cos(math.pi * done / 2) ** 2}
    return final + (1 - final) * shape[schedule["kind"]]


class Reference:
    """The training of a workload in double, from the definitions."""

    def __init__(self, workload, weights, data, request):
        self.workload, self.data, self.request = workload, data, request
        self.p = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
                  for name, value in weights.items()}
        self.state = {name: [torch.zeros_like(p), torch.zeros_like(p)]
                      for name, p in self.p.items()}
        self.t = 0

    def batch(self):
        order, batch = self.data["order"], self.request["batch"]
        usable = len(order) - len(order) % batch
        rows = [int(order[(self.t * batch + i) % usable]) for i in range(batch)]
        return self.input(self.data["images"][rows]), torch.tensor(self.data["labels"][rows]).long()

    def input(self, pixels):
        normalize = self.request["normalize"]["images"]
        mean, std = (np.array(normalize[key]).reshape(1, -1, 1, 1) for key in ("mean", "std"))
        return torch.tensor((pixels.astype(np.float64) / 255 - mean) / std)

    def drop(self, x, p, layer):
        u = philox.uniform(x.numel(), self.request["seed"], self.t, layer).reshape(x.shape)
        return torch.where(torch.tensor(u >= p), x / (1 - p), torch.zeros_like(x))

    def conv(self, x, name, padding=0):
        return F.conv2d(x, self.p[name + ".weight"], self.p[name + ".bias"], padding=padding).relu()

    def linear(self, x, name):
        return x.reshape(len(x), -1) @ self.p[name + ".weight"].T + self.p[name + ".bias"]

    def logits(self, x, dropout):
        drop = self.drop if dropout else lambda x, p, layer: x
        if self.workload == "mlp-mnist":
            return self.linear(self.linear(self.linear(x, "fc1").relu(), "fc2").relu(), "fc3")
        if self.workload == "cnn-mnist":
            x = F.max_pool2d(self.conv(self.conv(x, "conv1"), "conv2"), 2)
            x = drop(x, 0.25, 0)
            return self.linear(drop(self.linear(x, "fc1").relu(), 0.5, 1), "fc2")
        if self.workload == "cnn5-fashion":
            for layer in range(1, 6):
                x = self.conv(x, f"conv{layer}", padding=1)
                x = F.max_pool2d(x, 2) if layer in (1, 2, 4) else x
            return self.linear(x.mean(dim=(2, 3)), "fc1")
        x = F.max_pool2d(self.conv(x, "conv1"), 2)
        x = F.max_pool2d(self.conv(x, "conv2"), 2)
        x = self.linear(x, "fc1").relu()
        if self.workload == "cnn-cifar":
            return self.linear(self.linear(x, "fc2").relu(), "fc3")
        return self.linear(x, "fc2")

    @staticmethod
    def loss(logits, target):
        picked = logits[torch.arange(len(target)), target]
        return (torch.logsumexp(logits, 1) - picked).mean()

    def step(self):
        """One training step: (input, target, logits, loss, gradients)."""
        x, target = self.batch()
        logits = self.logits(x, dropout=True)
        loss = self.loss(logits, target)
        grads = dict(zip(self.p, torch.autograd.grad(loss, list(self.p.values()))))
        self.t += 1
        with torch.no_grad():
            for name, p in self.p.items():
                p -= self.update(p, grads[name], self.state[name])
        return x, target, logits.detach(), loss.detach(), grads

    def update(self, p, g, state):
        o = self.request["optimizer"]
        lr, decay = o["lr"] * rate_factor(o.get("schedule"), self.t - 1), o.get("weight_decay", 0)
        if o["name"] == "sgd":
            state[0] = o.get("momentum", 0) * state[0] + g + decay * p
            return lr * state[0]
        decoupled = lr * decay * p if o["name"] == "adamw" else 0
        if o["name"] == "adam":
            g = g + decay * p
        b1, b2 = o.get("beta1", 0.9), o.get("beta2", 0.999)
        state[0] = b1 * state[0] + (1 - b1) * g
        state[1] = b2 * state[1] + (1 - b2) * g * g
        m, v = state[0] / (1 - b1 ** self.t), state[1] / (1 - b2 ** self.t)
        return decoupled + lr * m / (v.sqrt() + o.get("epsilon", 1e-8))
