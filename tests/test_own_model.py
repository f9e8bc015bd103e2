"""Tests of a user's own model as a file: what it may define, what is wrong with it, and the gate
between contenders, against one that computes something else."""
import gc
import json
import os
import sys
import tempfile
import unittest
import unittest.mock

from cli_support import FolderTest, has_torch, run
from runner_support import NO_TORCH, ROOT, Child

if NO_TORCH is None:
    import numpy as np
    import runner_protocol
    import safetensors_io
    import torch
    import torch_engine
    import torch_own

SHORT = ["--device", "cpu", "--time", "0.02", "--max-time", "0.1", "-f", "json"]
MLP = """
import torch
from torch import nn
def model():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
def batch(n):
    return torch.rand(n, 6), torch.randint(3, (n,))
"""
# With parameters that are its dimensions.
LONG = """
import torch
from torch import nn
name = "an MLP of tokens"
unit = "token", "seq"
def model(width=5):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
def batch(n, seq=7):
    return torch.rand(n, seq, 6), torch.randint(3, (n, seq))
def flops(n, seq=7):
    return n * seq
"""
# Each is a file and what is said of it.
BAD = [
    ("import torch\nimport no_such_module\n",
     "to be imported, found ModuleNotFoundError: No module named 'no_such_module' "
     "(mymodel.py, line 2: import no_such_module): correct the file"),
    ("def model(:\n", "(mymodel.py, line 1: def model(:): correct the file"),
    ("import sys\nsys.exit('no data here')\n",
     "to be imported, found SystemExit: no data here (mymodel.py, line 2: "
     "sys.exit('no data here'))"),
    ("def batch(n):\n    pass\n",
     "mymodel.py to define model(), which returns the torch.nn.Module, found no 'model': add it"),
    ("def model():\n    pass\n",
     "mymodel.py to define batch(n), which returns a batch of n samples, found no 'batch': add it"),
    (MLP + "unit = ('token', 0)\n",
     "'unit' in mymodel.py to be a word, or a word and how many a sample has, as (\"token\", 512) "
     "or (\"token\", \"seq\") of batch(n, seq=512), found ('token', 0): correct it"),
    (MLP + "unit = ('token', 'seq')\n", "found ('token', 'seq'): correct it"),
    (MLP + "name = 'a\\nb'\n",
     "'name' in mymodel.py to be a line of 1 to 60 characters, found 'a\\nb': correct it"),
    (MLP + "model = 3\n", "'model' in mymodel.py to be a function, found int: correct it"),
    (MLP + "def model():\n    return 3\n",
     "model() of mymodel.py to return a torch.nn.Module, found int: correct the file"),
    (MLP + "def batch(n):\n    return torch.rand(7, 6), torch.randint(3, (7,))\n",
     "batch(8) of mymodel.py to return inputs of 8 samples ([8, ...]), found [7, 6]: correct"),
    (MLP + "def batch(n):\n    return 'pictures'\n",
     "batch(8) of mymodel.py to return a tensor, a tuple or a dict of them, found str: correct"),
    (MLP + "import os\ndef batch(n):\n    x = torch.tensor(list(os.urandom(6 * n)))\n"
     "    return x.view(n, 6).float(), torch.zeros(n).long()\n",
     "to return the same numbers after random, numpy.random and torch are seeded, found others"),
    (MLP + "def optimizer(parameters):\n    return 0.1\n",
     "optimizer(parameters) of mymodel.py to return a torch.optim.Optimizer, found float"),
    (MLP + "def model():\n    return nn.Flatten()\n",
     "a model in mymodel.py with parameters to train, found none: use --infer"),
]
# … once it computes.
WRONG = [
    (MLP + "def batch(n):\n    return torch.rand(n, 7), torch.randint(3, (n,))\n",
     "mymodel.py to run, found RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x7 and "
     "6x5): correct the file"),
    (MLP + "def batch(n):\n    return torch.rand(n, 6), torch.rand(n, 2)\n",
     "an output of the target's shape for the mean squared error, found an output [8, 3] and a "
     "target [8, 2]: define loss(output, target)"),
    (MLP + "def batch(n):\n    return torch.rand(n, 6), torch.randint(3, (n, 4))\n",
     "an output [n, classes] for targets [n] of whole numbers, found an output [8, 3] and a "
     "target [8, 4]: define loss(output, target)"),
    (MLP + "def batch(n):\n    return torch.rand(n, 6), torch.rand(n) > 0.5\n",
     "found truth values: define loss(output, target)"),
    (MLP + "def loss(output, target):\n    return output\n",
     "loss(output, target) of mymodel.py to be one number, a tensor without a dimension, found "
     "[8, 3]: take its mean"),
    (MLP + "def loss(output, target):\n    return output.mean() * float('nan')\n",
     "a finite loss in the first steps of mymodel.py, found nan: check what batch(n) returns"),
    (MLP + "def loss(output, target):\n    return output.undefined\n",
     "(mymodel.py, line 9: return output.undefined): correct the file"),
]


class OwnTest(FolderTest):
    def file(self, text=MLP, name="mymodel.py"):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)


class Inside:
    """The engine of the runner in this process, where PyTorch is loaded, asked as over pipes."""

    def __init__(self):
        self.engine = torch_engine.Engine()

    def ask(self, op, **members):
        modules, path = dict(sys.modules), list(sys.path)
        try:
            return {"ok": True, **getattr(self.engine, op)(json.loads(json.dumps(members)))}
        except Exception as error:  # as the runner does
            refused = isinstance(error, runner_protocol.Failure)
            failure = error if refused else self.engine.failure_of(error)
            return {"ok": False, "status": failure.status, "error": str(failure)}
        finally:
            sys.modules.update(modules)  # the user's have taken their names
            sys.path[:] = path
            torch.set_default_dtype(torch.float32)
            torch_own.switch_dropout(True)


@unittest.skipIf(NO_TORCH, NO_TORCH)
class OwnRunnerTest(OwnTest):
    """The runner alone: over pipes where what it shares with this process would tell nothing."""

    def child(self, text=MLP):
        self.named = self.file(text)
        return self.new_child()

    def inside(self, text=MLP):
        self.named = self.file(text)
        return Inside()

    def new_child(self):
        child = Child()
        self.addCleanup(self.end, child)
        return child

    @staticmethod
    def end(child):
        child.ask("quit")
        code, rest, _ = child.close()
        assert (code, rest) == (0, b""), (code, rest)

    def prepare(self, child, **changes):
        return child.ask("prepare", **{"workload": self.named, "model": self.named, "device": "cpu",
                                       "precision": "fp32", "threads": 1, "batch": 8,
                                       "mode": "train", "seed": 3, "dropout": "counter",
                                       "weights": self.path("weights"), **changes})

    def parity(self, child, name, **changes):
        answer = self.prepare(child, **changes)
        self.assertTrue(answer["ok"], answer)
        answer = child.ask("parity", steps=3, out=self.path(name), judge=True)
        self.assertTrue(answer["ok"], answer)
        self.moved = answer["moved"]
        return answer["draws"], safetensors_io.read(self.path(name))

    def wrong(self, child, number, text, says):
        """The answer that refuses the file, one of many in a process."""
        self.named = self.file(text, f"mymodel{number}.py")
        answer = self.prepare(child, weights=self.path(f"weights{number}"))
        if text in (wrong for wrong, _ in WRONG):
            self.assertTrue(answer["ok"], answer)
            answer = child.ask("parity", steps=3, out=self.path("out"))
        self.assertFalse(answer["ok"], answer)
        error = answer["error"].replace(self.named, "mymodel.py")
        self.assertIn(says, error.replace(f"mymodel{number}.py", "mymodel.py"))
        self.assertRegex(error, "expected .*, found .*: ")

    def test_files_and_models_that_are_wrong(self):
        child = Inside()
        for number, (text, says) in enumerate(BAD + WRONG):
            with self.subTest(says):
                self.wrong(child, number, text, says)

    def test_steps_are_those_of_a_hand_written_loop(self):
        """AdamW and cross-entropy, on the batches after the seed, from the saved weights."""
        _, found = self.parity(self.inside(), "single")
        torch.manual_seed(3)
        batches = [(torch.rand(8, 6), torch.randint(3, (8,))) for _ in range(3)]
        model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
        model.load_state_dict(torch.load(self.path("weights")))
        optimizer = torch.optim.AdamW(model.parameters())
        losses = []
        for x, y in batches:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            if not losses:
                for name, p in model.named_parameters():
                    np.testing.assert_allclose(found["grad." + name], p.grad, rtol=1e-5, atol=1e-8)
            optimizer.step()
            losses.append(loss.item())
        np.testing.assert_allclose(found["losses"], losses, rtol=1e-6)
        np.testing.assert_array_equal(found["input"], batches[0][0])
        np.testing.assert_array_equal(found["target"], batches[0][1])

    def test_another_process_gets_the_same_weights_and_batches(self):
        """Also where the file draws its data when it is imported."""
        text = MLP + ("drawn = torch.rand(8, 6)\ndef batch(n):\n"
                      "    return drawn[:n] + torch.rand(n, 6), torch.randint(3, (n,))\n")
        draws, double = self.parity(self.child(text), "double", precision="fp64")
        again, single = self.parity(self.child(text), "single", threads=2)
        self.assertEqual((draws, again), ("none", "none"))
        np.testing.assert_array_equal(double["input"], single["input"])
        self.assertEqual(sorted(double), sorted(single))
        for name in double:
            np.testing.assert_allclose(single[name], double[name], rtol=1e-4, atol=1e-7)
        gradients = [name for name in double if name.startswith("grad.")]
        self.assertTrue(any((single[name] != double[name]).any() for name in gradients),
                        "double gave single's gradients")  # few losses may round alike

    def test_what_rounding_moves_is_measured(self):
        """A sign that rounding decides turns gradients around; the plain model hardly moves."""
        self.parity(self.inside(), "plain", precision="fp64")
        self.assertLess(self.moved["gradients"], 1e-5)
        self.assertGreater(self.moved["gradients"], 1e-9)
        self.assertLess(self.moved["losses"], 1e-5)
        torn = MLP + """
class Torn(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(64))
    def forward(self, x):
        return x[:, :1] * (self.w - 0.9999999).relu()
def model():
    return Torn()
def loss(output, target):
    return output.sum()
"""
        os.unlink(self.path("weights"))
        self.parity(self.inside(torn), "torn", precision="fp64")
        self.assertGreater(self.moved["gradients"], 0.1)

    def test_run_is_the_same_training(self):
        child = self.inside()
        _, found = self.parity(child, "trace")
        answer = child.ask("run", steps=3, losses=True)
        np.testing.assert_allclose(answer["losses"], found["losses"], rtol=1e-6)

    def test_timed_steps_are_early_ones(self):
        """Of a training on the processor: after so many it begins again, with the same tensors."""
        child = self.inside()
        self.parity(child, "trace")
        tensors = [p.data_ptr() for p in child.engine.session.model.parameters()]
        with unittest.mock.patch.object(torch_own, "EARLY_STEPS", 6):
            first, second, third = [child.ask("run", steps=3, losses=True)["losses"]
                                    for _ in range(3)]
        self.assertNotEqual(second, first)
        np.testing.assert_array_equal(third[:2], first[1:])  # one makes the optimizer's state
        np.testing.assert_array_equal(third[2:], second[:1])
        self.assertEqual(tensors, [p.data_ptr() for p in child.engine.session.model.parameters()])

    def test_no_second_copy_of_the_weights_is_kept(self):
        """It would count as memory of the model."""
        child = self.inside(MLP.replace("nn.Linear(6, 5)", "nn.Linear(6, 7)")
                            .replace("nn.Linear(5, 3)", "nn.Linear(7, 3)"))
        self.parity(child, "trace")
        gc.collect()
        alive = [x for x in gc.get_objects() if type(x) in (torch.Tensor, torch.nn.Parameter)
                 and x.shape == (7, 6)]
        self.assertEqual(len(alive), 1)

    def test_dropout_is_told_and_switched_off(self):
        changed = MLP.replace("nn.ReLU()", "nn.Dropout(0.5)")
        draws, found = self.parity(self.inside(changed), "found", precision="fp64")
        self.assertEqual(draws, "dropout")
        _, plain = self.parity(self.inside(MLP.replace("nn.ReLU()", "nn.Identity()")), "plain",
                               precision="fp64")
        np.testing.assert_array_equal(found["losses"], plain["losses"])
        child = self.inside(changed)
        self.prepare(child, dropout="engine")
        timed = child.ask("run", steps=3, losses=True)["losses"]
        self.assertGreater(abs(timed[0] - plain["losses"][0]), 1e-6)

    def test_a_model_that_is_random_in_itself_is_told(self):
        changed = MLP + ("def loss(output, target):\n"
                         "    return nn.functional.cross_entropy(output, target) * torch.rand(())")
        self.assertEqual(self.parity(self.inside(changed), "found")[0], "model")

    def test_named_inputs_and_outputs_with_logits(self):
        changed = MLP + """
import types
class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
    def forward(self, pixels, scale):
        return types.SimpleNamespace(logits=self.fc(pixels) * scale)
def model():
    return Named()
def batch(n):
    return {"pixels": torch.rand(n, 6), "scale": torch.rand(n, 1), "labels": torch.zeros(n).int()}
"""
        _, found = self.parity(self.inside(changed), "found")
        self.assertEqual(found["input.pixels"].shape, (8, 6))
        self.assertEqual(found["output"].shape, (8, 3))
        logits = torch.from_numpy(found["output"])
        expected = torch.nn.functional.cross_entropy(logits, torch.zeros(8).long())
        self.assertAlmostEqual(float(found["loss"]), float(expected), places=5)

    def test_arithmetic_is_told_by_the_file_or_unknown(self):
        for text, expected in ((MLP + "def flops(n):\n    return 10 * n\n", 2 * 80),
                               (MLP, None)):
            child = self.inside(text)
            self.prepare(child)
            flops = child.ask("phases", steps=2)["flops"]
            if expected or not hasattr(torch.utils, "flop_counter"):
                self.assertEqual(flops, expected)

    def test_dimensions_are_given_to_who_has_a_parameter_of_the_name(self):
        child = self.inside(LONG)
        for given, tokens, parameters in (({}, 7, 53), ({"seq": 4}, 4, 53),
                                          ({"seq": 4, "width": 9}, 4, 6 * 9 + 9 + 3 * 9 + 3)):
            os.path.exists(self.path("weights")) and os.unlink(self.path("weights"))
            answer = self.prepare(child, **given)
            self.assertTrue(answer["ok"], answer)
            self.assertEqual((answer["parameters"], answer["unit"], answer["units_a_sample"]),
                             (parameters, "token", tokens))
            self.assertEqual(answer["title"], "an MLP of tokens")
            self.assertEqual(child.ask("phases", steps=1)["flops"], 8 * tokens)
            child.ask("parity", steps=3, out=self.path("out"))
            self.assertEqual(safetensors_io.read(self.path("out"))["input"].shape, (8, tokens, 6))
        answer = self.prepare(child, heads=2)
        self.assertEqual((answer["status"], answer["error"].replace(self.named, "mymodel.py")), (
            "USAGE", "expected batch(n) or model() of mymodel.py to have a parameter 'heads', "
            "found none: write batch(n, heads=2), or leave --heads out"))

    def test_arithmetic_that_is_no_number_is_refused(self):
        child = self.inside(MLP + "def flops(n):\n    return None\n")
        self.prepare(child)
        self.assertIn("flops(8) of", child.ask("phases", steps=1)["error"])

    def test_the_users_modules_have_their_names(self):
        for name in ("philox", "runner_job", "torch_engine", "safetensors_io"):
            self.file(f"mine = '{name}'\n", name + ".py")
        changed = MLP + ("import philox, runner_job, torch_engine, safetensors_io\n"
                         "assert [m.mine for m in (philox, runner_job, torch_engine)] == \\\n"
                         "    ['philox', 'runner_job', 'torch_engine']\n")
        self.parity(self.child(changed), "found")


@unittest.skipIf(NO_TORCH or not has_torch(), "PyTorch is missing")
class OwnBenchTest(OwnTest):
    """The whole program."""

    def records(self, path, *more, threads="1", **named):
        return json.loads(self.good("bench", path, *SHORT, "--threads", threads, *more, **named))

    def test_bench(self):
        noise = ("import threading, os\nprint('noise', flush=True)\nos.write(1, b'noise')\n"
                 "threading.Thread(target=threading.Event().wait).start()\n")
        path = self.file(MLP + noise + "def flops(n):\n    return 1e3 * n\n"
                         "unit = 'token', 6\n")
        first, second = self.records(path, "--batch", "16", threads="1,2")
        self.assertEqual([first["threads"], second["threads"]], [1, 2])
        for record in (first, second):
            self.assertEqual((record["workload"], record["engine"], record["status"]),
                             (path, "torch", "OK"))
            self.assertEqual(record["params"], 53)
            self.assertLess(record["parity"]["error"], record["parity"]["band"])
            self.assertEqual((record["parity"]["batch"], record["parity"]["steps"]), (8, 3))
            self.assertGreater(record["units_per_s"], 0)
            self.assertEqual(record["unit"], "token")
            self.assertAlmostEqual(record["units_per_s"] / record["samples_per_s"], 6)
            self.assertEqual(record["flops_per_step"], 16e3)
            self.assertIsNone(record["data_count"])
            self.assertGreater(record["proof"]["work"]["cpu"]["launches"], 0)
        self.assertEqual({first["versus"]["verdict"], second["versus"]["verdict"]}
                         - {"FASTER", "SLOWER", "SAME", "UNSURE"}, set())

    def test_precisions_side_by_side(self):
        """Each is held against its own band, and all against the fastest.  A processor without
        bfloat16 computes it all the same, only slowly, where nobody refuses."""
        path = self.file(MLP + "name = 'three layers'\n")
        env = self.changed_runner("torch_own.libraries.set_precision = lambda *given: None")
        records = self.records(path, "--precision", "fp32,bf16", env=env)
        self.assertEqual([record["asked"]["precision"] for record in records], ["fp32", "bf16"])
        self.assertEqual({record["asked"]["precisions"] for record in records}, {"fp32,bf16"})
        self.assertEqual({record["title"] for record in records}, {"three layers"})
        self.assertEqual([record["status"] for record in records], ["OK", "OK"])
        single, narrow = records
        self.assertEqual(single["precision"], "fp32")
        self.assertGreater(narrow["parity"]["error"], single["parity"]["error"])
        self.assertGreater(narrow["parity"]["band"], single["parity"]["band"])
        found = self.good("bench", path, *SHORT[:-1], "table", "--threads", "1", "--precision",
                          "fp32,bf16", env=env)
        self.assertEqual(found.count("three layers: "), 1, found)
        self.assertIn("fp32,bf16", found)
        self.assertRegex(found, r"type")
        self.assertRegex(found, r"cpu +1 +bf16 ")
        self.assertRegex(" ".join(found.split()),
                         r"The hardware's floor of a step is \S+ .s, by (its arithmetic|the bytes "
                         r"of its weights).*; PyTorch on 1 thread, \S+ takes \S+ times that")

    def test_the_native_engine_beside(self):
        """Where the weights are those of a network of the ladder, and nobody chose the engines."""
        path = self.file("""
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 128), nn.Linear(128, 64), nn.Linear(64, 10)
    def forward(self, x):
        return self.fc3(self.fc2(self.fc1(x).relu()).relu())
def model():
    return Net()
def batch(n):
    return torch.rand(n, 784), torch.randint(10, (n,))
""")
        result = run("bench", path, *SHORT, "--threads", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("has the weights of mlp-mnist: the native engine trains that beside it",
                      result.stderr)
        own, yard = json.loads(result.stdout)
        self.assertEqual((own["engine"], own["yardstick"]), ("torch", None))
        self.assertEqual((yard["engine"], yard["workload"], yard["yardstick"], yard["status"]),
                         ("native", path, "mlp-mnist", "OK"))
        self.assertEqual(yard["versus"]["engine"], "torch")
        self.assertEqual(own["params"], yard["params"])
        self.assertGreater(yard["flops_per_step"], 0)
        self.assertLess(yard["parity"]["error"], yard["parity"]["band"])

    def changed_runner(self, change):
        """PyTorch's runner after these statements: the environment."""
        with open(self.path("torch_runner.py"), "w", encoding="utf-8") as file:
            file.write(f"""
import sys
sys.path.insert(0, {os.path.join(ROOT, "runners")!r})
import runner_protocol, torch_engine, torch_own
{change}
runner_protocol.exit_on_interrupt()
requests, answers = runner_protocol.claim_streams()
runner_protocol.serve(torch_engine.Engine(), requests, answers)
""")
        return {"BREAKEVEN_RUNNERS": self.folder}

    def spoiled(self, member, change):
        """With a member of its session changed, but for the reference."""
        return self.changed_runner(f"""
real = torch_own.Session.{member}
def spoiled(self, *given):
    found = real(self, *given)
    {change}
    return found
torch_own.Session.{member} = lambda self, *given: (
    real if self.precision == "fp64" else spoiled)(self, *given)
""")

    def test_a_contender_that_computes_something_else_is_refused(self):
        path = self.file()
        for member, change, says in (
                ("loss_of", "found = found * 1.001", "expected the losses within 0.0001"),
                ("_gradients", "found['grad.0.weight'][0, 0] += 0.1",
                 "at grad.0.weight"),
                ("_outputs", "found['output'] = found['output'] * 1.01", "output")):
            with self.subTest(member):
                result = self.bad(4, "bench", path, *SHORT, "--threads", "1",
                                  env=self.spoiled(member, change),
                                  says=[says, "on the CPU in double precision", "gets no speed"])
                record = json.loads(result.stdout)[0]
                self.assertEqual(record["status"], "NUMERIC")
                self.assertIsNone(record["samples_per_s"])

    def test_random_models_are_measured_and_told(self):
        path = self.file(MLP + "def loss(output, target):\n"
                         "    return output.pow(2).mean() * torch.rand(())\n")
        result = run("bench", path, *SHORT, "--threads", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("give another loss each time", result.stderr)
        self.assertIn("was not compared with the reference",
                      " ".join(json.loads(result.stdout)[0]["warnings"]))

    def test_a_model_without_double_is_told(self):
        path = self.file(MLP + "class Single(nn.Linear):\n    def forward(self, x):\n"
                         "        return super().forward(x.float())\n"
                         "def model():\n    return Single(6, 3)\n")
        result = run("bench", path, *SHORT, "--threads", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("does not compute in double precision", result.stderr)
        self.assertLess(json.loads(result.stdout)[0]["parity"]["error"], 1e-4)

    def test_one_that_has_no_memory_leaves_the_others(self):
        path = self.file(MLP + "def batch(n):\n"
                         "    if n == 64 and torch.get_num_threads() == 2:\n"
                         "        raise MemoryError('64 samples')\n"
                         "    return torch.rand(n, 6), torch.randint(3, (n,))\n")
        result = self.bad(5, "bench", path, *SHORT, "--threads", "1,2",
                          says=["expected the memory that this needs, found too little "
                                "(MemoryError: 64 samples): use a smaller batch"])
        records = {record["asked"]["threads"]: record for record in json.loads(result.stdout)}
        self.assertEqual({threads: record["status"] for threads, record in records.items()},
                         {1: "OK", 2: "NO_MEMORY"})
        self.assertGreater(records[1]["units_per_s"], 0)

    def test_explain_names_modules(self):
        path = self.file(MLP + "def model():\n"
                         "    return nn.Sequential(nn.Sequential(nn.Linear(6, 3)))\n"
                         "def optimizer(parameters):\n"
                         "    return torch.optim.SGD(parameters, 0.1)\n"
                         "def loss(output, target):\n"
                         "    value = nn.functional.cross_entropy(output, target)\n"
                         "    return value if value.item() > 0 else value\n")
        record = json.loads(self.good("explain", path, *SHORT, "--threads", "1"))[0]
        self.assertIsNone(record["explain"]["error"])
        self.assertIn("mymodel.py, line 14 (return value if value.item() > 0 else value) reads a "
                      "tensor on the host once a step", " ".join(record["explain"]["notes"]))
        # Of a step of which neither arithmetic nor bytes are known there is no floor of a ns.
        self.assertTrue((record["explain"]["floor_s"] or 1) > 1e-8, record["explain"])
        named = {(op["name"], op["op"].split("::")[-1], op["phase"])
                 for op in record["explain"]["ops"]}
        self.assertLess(len(named), 40)  # of more than these only the slowest are told
        self.assertIn(("0.0", "addmm", "forward"), named)
        self.assertIn(("0.0", "mm", "backward"), named)

    def test_advise(self):
        path = self.file()
        arguments = ["advise", path, *SHORT, "--threads", "1", "--batch", "16"]
        answer = json.loads(self.good(*arguments, "--samples", "1600", "--epochs", "3"))
        answer = answer[0] if isinstance(answer, list) else answer
        self.assertEqual(answer["samples"], 4800)
        self.bad(2, *arguments, says=["expected --samples N, the samples of an epoch"])
        self.bad(2, *arguments, "--samples", "9", "--steps", "9", says=["both say how long"])
        self.bad(2, "advise", "mlp-mnist", "--samples", "9", says=["it is of a model of your own"])

    def test_sweep(self):
        path = os.path.join(ROOT, "examples", "mymodel.py")
        out = self.good("sweep", path, "--over", "batch=2..64", "--device", "cpu", "--threads",
                        "1,2", "--max-time", "2", "-o", self.path("sweep.jsonl"), "-f", "json")
        result = json.loads(out)
        result = result[0] if isinstance(result, list) else result
        self.assertEqual((result["workload"], result["axis"]), (path, "batch"))
        self.bad(2, "sweep", path, "--over", "width=1..2", "--device", "cpu",
                 says=["to have a parameter 'width', found none"])

    def test_sweep_over_a_parameter_of_batch(self):
        path = self.file(LONG)
        out = self.good("sweep", path, "--over", "seq=2..32", "--device", "cpu", "--threads",
                        "1,2", "--max-time", "2", "-o", self.path("sweep.jsonl"), "-f", "json")
        result = json.loads(out)
        result = result[0] if isinstance(result, list) else result
        self.assertEqual((result["workload"], result["axis"]), (path, "seq"))
        with open(self.path("sweep.jsonl"), encoding="utf-8") as file:
            points = [json.loads(line) for line in file if '"point"' in line]
        for point in points:  # as many as there was time for
            for record in point["contenders"]:
                self.assertEqual(record["seq"], point["x"])
                self.assertAlmostEqual(record["units_per_s"] / record["samples_per_s"],
                                       point["x"])
        record = self.records(path, "--seq", "5")[0]
        self.assertEqual((record["seq"], record["unit"]), (5, "token"))

    def test_module_and_function(self):
        self.file(MLP.replace("def model", "def small"), "nets.py")
        record = self.records("nets:small", cwd=self.folder)[0]
        self.assertEqual((record["workload"], record["params"]), ("nets:small", 53))

    def test_bad_input(self):
        path = self.file("import torch\nraise KeyError('weights')\n")
        self.bad(1, "bench", path, *SHORT,
                 says=["found KeyError: 'weights' (mymodel.py, line 2: raise KeyError('weights'))"])
        path = self.file()
        self.bad(2, "bench", self.path("none.py"), says=["expected a file, found none"])
        self.bad(1, "bench", "nowhere_here:model", *SHORT,
                 says=["expected a module 'nowhere_here' in ", "found none: check its name"])
        self.bad(2, "train", path, says=["bench, sweep, explain and advise take it"])
        self.bad(2, "bench", path, "mlp-mnist", says=["is measured alone, found \"mlp-mnist\""])
        self.bad(2, "bench", path, "--engine", "native",
                 says=["expected torch, tensorflow or mlx, or forms of one of them",
                       "found \"native\""])
        self.bad(2, "bench", path, "--engine", "torch,tensorflow",
                 says=["found \"torch\" beside tensorflow; its library alone computes it"])
        self.bad(2, "bench", path, "--device", "cpu", "--width", "2",
                 says=["model() of", "to have a parameter 'width', found none: write batch(n, "
                       "width=2), or leave --width out"])
        self.bad(2, "bench", path, "--precision", "bf16,bf16", says=["bf16 stands twice"])
        self.bad(2, "explain", path, "--precision", "fp32,bf16",
                 says=["expected one of them, found \"fp32,bf16\"; bench alone takes several"])
        self.bad(2, "bench", path, "--dry-run", says=["--dry-run: it is of the ladder's"])


if __name__ == "__main__":
    unittest.main()
