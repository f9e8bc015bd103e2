"""Tests of PyTorch's compiled forms: runners/torch_forms.py, and the program that measures them.

A compiler takes half a minute, so most of these put another in its place: a torch.compile that
calls the function itself, or one that computes something else.  The last one compiles for real,
with the Python of BREAKEVEN_TORCHVENV, which has a PyTorch 2.
"""
import contextlib
import json
import os
import tempfile
import types
import unittest
from unittest import mock

from cli_support import FolderTest, has_torch
from runner_support import NO_TORCH, ROOT, RUNNER, SGD, Child, make_data, make_weights

if NO_TORCH is None:
    import runner_protocol
    import safetensors_io
    import torch
    import torch_engine
    import torch_forms
    import torch_libraries
    import torch_operations

REAL = os.environ.get("BREAKEVEN_TORCHVENV", "")
# A compiler in the place of torch.compile; `spoil` changes what a compiled function returns.
COMPILER = """
import sys, types
sys.path.insert(0, {runners!r})
import torch
def compiled(function, dynamic):
    def call(*given):
        found = function(*given)
        return {spoil}
    return call
torch.compile = compiled
torch._dynamo = types.SimpleNamespace(reset=lambda: None)
import runner_protocol, torch_engine
runner_protocol.exit_on_interrupt()
requests, answers = runner_protocol.claim_streams()
runner_protocol.serve(torch_engine.Engine(*sys.argv[1:]), requests, answers)
"""


class FormChild(Child):
    def __init__(self, form, python=None):
        self.COMMAND = [python or Child.COMMAND[0], RUNNER, form]
        super().__init__()


@unittest.skipIf(NO_TORCH, NO_TORCH)
class RefusalTest(unittest.TestCase):
    def refusal(self, form="compile", device="cpu"):
        return str(torch_forms.refusal(form, torch.device(device)))

    def test_each_says_what_is_missing(self):
        self.assertIsNone(torch_forms.refusal(None, torch.device("cpu")))
        self.assertIn("expected a CUDA device for torch-graph, found cpu: CUDA graphs are for "
                      "these alone; use torch-compile here", self.refusal("graph"))
        with mock.patch.object(torch, "compile", lambda f: f, create=True):
            with mock.patch("shutil.which", lambda name: None), \
                    mock.patch.dict(os.environ, {"CXX": "my-c++ -O2"}):
                self.assertEqual(self.refusal(), "expected a C++ compiler (my-c++), which "
                                 "torch.compile makes the CPU's code with, found none: install "
                                 "one ('apt-get install g++'), or name it in CXX")
            with mock.patch("shutil.which", lambda name: name):
                self.assertIsNone(torch_forms.refusal("compile", torch.device("cpu")))
            with mock.patch.dict("sys.modules", {"triton": None}):
                self.assertIn("expected Triton", self.refusal(device="cuda:0"))
            with mock.patch.dict("sys.modules", {"triton": types.ModuleType("triton")}), \
                    mock.patch.object(torch.cuda, "get_device_capability", lambda d: (6, 1)):
                self.assertIn("of compute capability 7.0 or later for torch.compile, found 6.1",
                              self.refusal(device="cuda:0"))

    def test_a_pytorch_that_is_too_old(self):
        if hasattr(torch, "compile"):
            self.skipTest("this PyTorch has torch.compile")
        child = FormChild("compile")
        hello = child.ask("hello", schema=2)
        self.assertEqual((hello["engine"], hello["devices"]), ("torch-compile", []))
        self.assertIn("expected PyTorch 2.0 or later for torch.compile, found 1.13",
                      hello["unusable_devices"][0]["reason"])
        child.ask("quit")
        child.close()

    def test_what_compiling_raises_is_one_sentence(self):
        kind = type("InvalidCxxCompiler", (RuntimeError,), {"__module__": "torch._inductor.exc"})
        self.assertEqual(str(torch_forms.failure_of(kind("No working C++ compiler\nmore"))),
                         "expected torch.compile to compile the step, found InvalidCxxCompiler: No "
                         "working C++ compiler: use --engine torch, or mend what the runner's log "
                         "tells")
        self.assertIsNone(torch_forms.failure_of(RuntimeError("another")))

    def test_mps_that_may_compute_on_the_processor(self):
        with mock.patch.object(torch_libraries, "mps_available", lambda: True):
            self.assertEqual(str(torch_libraries.find_device("mps")), "mps")
            with mock.patch.dict(os.environ, {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}), \
                    self.assertRaisesRegex(runner_protocol.Failure, "expected mps to compute all, "
                                           "found PYTORCH_ENABLE_MPS_FALLBACK=1, .*: unset it"):
                torch_libraries.find_device("mps")

    def test_the_gpus_of_intel(self):
        """Listed, named and waited for; none is here, so PyTorch's functions are planted."""
        xpu = mock.Mock(**{"is_available.return_value": True, "device_count.return_value": 2,
                           "get_device_name.side_effect": lambda device: f"Arc {device.index}"})
        with mock.patch.object(torch, "xpu", xpu, create=True):
            found = torch_libraries.devices()
            self.assertIn({"id": "xpu:1", "name": "Arc 1"}, found)
            device = torch_libraries.find_device("xpu:1")
            torch_libraries.synchronize(device)
            xpu.synchronize.assert_called_once_with(device)
            xpu.set_device.assert_called_once_with(1)
            with self.assertRaisesRegex(runner_protocol.Failure, "device 'xpu:2', found 2 GPUs"):
                torch_libraries.find_device("xpu:2")
        with self.assertRaisesRegex(runner_protocol.Failure, "device 'xpu:0', found 0 GPUs"):
            torch_libraries.find_device("xpu:0")

    def test_rocm_is_not_called_cuda(self):
        with mock.patch.object(torch.version, "hip", "6.4.1"):
            text = torch_libraries.implementation(torch.device("cuda", 0))
        self.assertEqual(text, f"PyTorch {torch.__version__}, ROCm 6.4.1, MIOpen")

    def test_fused_where_it_works(self):
        """Keeps to what the optimizer's own step says."""
        class Whole(torch.optim.SGD):
            def __init__(self, parameters, lr, fused=False):
                super().__init__(parameters, lr)
                self.fused = fused

        class Refusing(Whole):
            def step(self):
                raise RuntimeError("fused=True needs CUDA")

        for kind, expected in ((Whole, {"fused": True}), (Refusing, {}), (torch.optim.Rprop, {})):
            self.assertEqual(torch_forms.fused(kind, torch.device("cpu")), expected)


class Graph:
    """A CUDA graph on the processor: replay does what was captured again."""

    now = None  # that is being captured

    def __init__(self):
        self.replayed = 0


@contextlib.contextmanager
def capture(graph, stream):
    Graph.now = graph
    yield
    Graph.now = None


@unittest.skipIf(NO_TORCH, NO_TORCH)
class CapturedTest(FolderTest):
    """The order of warm-up, capture and replay, and what the graph reads, with a graph of ours."""

    def setUp(self):
        super().setUp()
        stream = types.SimpleNamespace(wait_stream=lambda other: None)
        for owner, name, value in (
                (torch.cuda, "Stream", lambda device: stream),
                (torch.cuda, "current_stream", lambda device: stream),
                (torch.cuda, "stream", lambda other: contextlib.nullcontext()),
                (torch.cuda, "graph", capture), (torch.cuda, "CUDAGraph", Graph)):
            patch = mock.patch.object(owner, name, value, create=True)
            patch.start()
            self.addCleanup(patch.stop)

    def session(self, form, workload="mlp-mnist"):
        safetensors_io.write(self.path("data"), make_data(workload))
        safetensors_io.write(self.path("weights"), make_weights(workload))
        request = {"workload": workload, "batch": 8, "data": self.path("data"),
                   "weights": self.path("weights"), "optimizer": SGD,
                   "normalize": {"images": {"mean": [0.3], "std": [0.2]}}}
        with mock.patch.object(torch_forms, "compiled", lambda functions: functions):
            session = torch_engine.Session(request, torch.device("cpu"), form)
        if form == "graph":
            self.plant(session)
        return session

    @staticmethod
    def plant(session):
        """While something is captured nothing is computed; a replay computes it, into the same
        tensor."""
        real, result = session.update_on, torch.zeros(())

        def update_on(*batch):
            return result if Graph.now else real(*batch)

        def replay(graph):
            graph.replayed += 1
            captured = session.captured
            result.copy_(real(*session.batch_of(captured.source)))

        session.update_on, Graph.replay = update_on, replay

    def test_the_steps_are_those_without_it(self):
        eager, graph = self.session(None), self.session("graph")
        expected = self.losses(eager, 9)
        self.assertEqual(self.losses(graph, 9), expected)
        self.assertEqual(graph.captured.graph.replayed, 7)
        self.assertGreater(len(set(expected)), 7)

    @staticmethod
    def losses(session, steps):
        return [session.train_step().clone().item() for _ in range(steps)]

    def test_channels_last(self):
        """Another order in memory, the same training; told where it changes nothing."""
        plain, found = (self.session(form, "cnn-fashion") for form in (None, "channels-last"))
        for p in found.model.parameters():
            self.assertTrue(p.dim() != 4 or p.is_contiguous(memory_format=torch.channels_last))
        inputs, _ = found.next_batch()
        self.assertEqual(inputs[0].stride()[1], 1)
        found.reset("engine")
        for one, other in zip(self.losses(plain, 4), self.losses(found, 4)):
            self.assertAlmostEqual(one, other, 5)
        self.assertEqual(found.warnings, [])
        self.assertIn("no weight of the model has four dimensions: channels last is the same as "
                      "torch", self.session("channels-last").warnings)

    def test_an_optimizer_that_counts_on_the_host_is_refused(self):
        p = [torch.nn.Parameter(torch.zeros(1))]
        counting = torch.optim.Rprop(p)
        for group in counting.param_groups:
            group.pop("capturable", None)
        with self.assertRaisesRegex(runner_protocol.Failure, "that a CUDA graph can capture .*, "
                                    "found Rprop: use torch-compile"):
            torch_forms.make_capturable(counting)
        torch_forms.make_capturable(torch_operations.NoUpdate(p))
        adam = torch.optim.Adam(p)
        torch_forms.make_capturable(adam)
        self.assertTrue(adam.param_groups[0]["capturable"])


@unittest.skipIf(NO_TORCH or not has_torch(), "PyTorch is missing")
class ProgramTest(FolderTest):
    """The whole program, with a compiler of ours."""

    OPTIONS = ["--device", "cpu", "--threads", "1", "--time", "0.02", "--max-time", "0.1", "-f",
               "json", "--synthetic", "--limit", "200"]

    def compiler(self, spoil="found"):
        with open(self.path("torch_runner.py"), "w", encoding="utf-8") as file:
            file.write(COMPILER.format(runners=os.path.join(ROOT, "runners"), spoil=spoil))
        return {"BREAKEVEN_RUNNERS": self.folder}

    def test_bench_of_a_compiled_form(self):
        out = self.good("bench", "mlp-mnist", "--engine", "torch,torch-compile", *self.OPTIONS,
                        env=self.compiler())
        records = {record["engine"]: record for record in json.loads(out)}
        self.assertEqual(set(records), {"torch", "torch-compile"})
        for record in records.values():
            self.assertLess(record["parity"]["error"], record["parity"]["band"])
            self.assertGreater(record["first_step_s"], 0)
        self.assertIn(", torch.compile", records["torch-compile"]["implementation"])
        self.assertNotIn("torch.compile", records["torch"]["implementation"])

    def test_compiled_code_that_computes_something_else_is_refused(self):
        path = self.path("mymodel.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write("import torch\nfrom torch import nn\ndef model():\n"
                       "    return nn.Linear(6, 3)\ndef batch(n):\n"
                       "    return torch.rand(n, 6), torch.randint(3, (n,))\n")
        own = [option for option in self.OPTIONS if option not in ("--synthetic", "--limit", "200")]
        # Of the loss alone, as timed; of output and loss, as the trace has them.
        for what, options, spoil in (
                (path, own, "found * 1.01 if isinstance(found, torch.Tensor) else found"),
                ("mlp-mnist", self.OPTIONS,
                 "found if isinstance(found, torch.Tensor) else (found[0] * 1.01, found[1])")):
            with self.subTest(what):
                self.bad(4, "bench", what, "--engine", "torch-compile", *options,
                         env=self.compiler(spoil), says=["gets no speed"])

    def test_what_is_possible_is_told(self):
        listed = json.loads(self.good("devices", "-f", "json", env=self.compiler()))
        usable = {(row["engine"], row["device"]): row for row in listed}
        self.assertTrue(usable["torch-compile", "cpu"]["usable"])
        self.assertFalse(usable["torch-graph", "cpu"]["usable"])
        self.assertIn("expected a CUDA device", usable["torch-graph", "cpu"]["reason"])


@unittest.skipIf(NO_TORCH or not REAL, "BREAKEVEN_TORCHVENV names no Python with PyTorch 2")
class RealTest(unittest.TestCase):
    def test_compiled_steps_are_those_of_the_eager_ones(self):
        """Inductor's own code: the losses of a training, by both forms."""
        with tempfile.TemporaryDirectory() as folder:
            data, weights = os.path.join(folder, "data"), os.path.join(folder, "weights")
            safetensors_io.write(data, make_data("mlp-mnist"))
            safetensors_io.write(weights, make_weights("mlp-mnist"))
            losses = []
            for command in ([REAL, RUNNER], [REAL, RUNNER, "compile"]):
                kind = type("RealChild", (Child,), {"COMMAND": command})
                child = kind({"OMP_NUM_THREADS": "1"})
                prepared = child.ask("prepare", workload="mlp-mnist", device="cpu", threads=1,
                                     batch=8, data=data, weights=weights, optimizer=SGD,
                                     normalize={"images": {"mean": [0.3], "std": [0.2]}})
                self.assertTrue(prepared["ok"], prepared)
                answer = child.ask("run", steps=6, losses=True)
                self.assertTrue(answer["ok"], answer)
                losses.append(answer["losses"])
                phases = child.ask("phases", steps=2)
                self.assertTrue(phases["ok"], phases)
                child.ask("quit")
                code, rest, log = child.close()
                self.assertEqual((code, rest), (0, b""), log)
            for eager, compiled in zip(*losses):
                self.assertAlmostEqual(eager, compiled, 5)
            self.assertIn("compiled", {op["op"] for op in phases["ops"]})


if __name__ == "__main__":
    unittest.main()
