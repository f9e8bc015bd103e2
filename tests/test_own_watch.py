"""Tests of what is told of a user's own model beside its times: lines that read a tensor on the
host, steps that wait for data; and of models of torchvision, timm and transformers by name.

The libraries are stand-ins that record how they are asked: nothing here needs the real ones.
"""
import sys
import types
import unittest
from unittest import mock

from cli_support import FolderTest
from runner_support import NO_TORCH

if NO_TORCH is None:
    import runner_protocol
    import torch
    import torch_own
    import torch_own_file
    import torch_own_named
    import torch_own_watch

MODEL = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
    def forward(self, x):
        for _ in range(2):
            float(x.sum().cpu())
        return self.fc(x)
def model():
    return Net()
def batch(n):
    return torch.rand(n, 6), torch.randint(3, (n,))
def loss(output, target):
    value = nn.functional.cross_entropy(output, target)
    if value.item() > 1e9:
        raise ValueError
    return value
"""
PLAIN = """
import torch
def model():
    return torch.nn.Linear(6, 3)
def batch(n):
    return torch.rand(n, 6), torch.randint(3, (n,))
"""


@unittest.skipIf(NO_TORCH, NO_TORCH)
class OwnTest(FolderTest):
    def setUp(self):
        super().setUp()
        path = list(sys.path)
        self.addCleanup(lambda: sys.path.__setitem__(slice(None), path))

    def session(self, text, **changes):
        with open(self.path("mymodel.py"), "w", encoding="utf-8") as file:
            file.write(text)
        modules = dict(sys.modules)
        own = torch_own_file.TorchFile(self.path("mymodel.py"))
        sys.modules.update(modules)  # give_way is for a process that has all of them
        request = {"batch": 4, "weights": self.path("weights"), **changes}
        return torch_own.Session(request, torch.device("cpu"), own, None)


class LinesTest(OwnTest):
    def test_lines_that_read_are_named_with_how_often(self):
        session = self.session(MODEL)
        before = {name: x.clone() for name, x in session.model.state_dict().items()}
        told = session.notes()
        self.assertEqual(len(told), 2, told)
        # sum().cpu() and float() of it, twice.
        self.assertIn("mymodel.py, line 10 (float(x.sum().cpu())) reads a tensor on the host 4 "
                      "times a step: on a device the host waits there", told[0])
        self.assertIn("mymodel.py, line 18 (if value.item() > 1e9:) reads a tensor on the host "
                      "once a step", told[1])
        for name, x in session.model.state_dict().items():
            self.assertTrue(torch.equal(x, before[name]), name)
        self.assertEqual(session.step, 0)
        # The methods are PyTorch's own again.
        self.assertNotIn("item", vars(torch.Tensor))
        self.assertEqual(torch.ones(()).item(), 1.0)

    def test_a_model_that_reads_nothing_is_told_nothing(self):
        self.assertEqual(self.session(PLAIN).notes(), [])


class DataTest(OwnTest):
    """With a clock that the file moves: a second a batch, a second a step."""

    FILE = PLAIN + """
import fake_now
def loss(output, target):
    fake_now.ns += STEP
    return torch.nn.functional.cross_entropy(output, target)
def batches():
    for _ in range(COUNT):
        fake_now.ns += 10**9
        yield batch(7)
"""

    def told(self, count, step_ns):
        now = types.ModuleType("fake_now")
        now.ns = 0
        text = self.FILE.replace("COUNT", str(count)).replace("STEP", str(step_ns))
        with mock.patch.dict(sys.modules, {"fake_now": now}), \
                mock.patch.object(torch_own_watch, "_DATA_S", 1e9), \
                mock.patch.object(torch_own_watch.time, "monotonic_ns", lambda: now.ns):
            return self.session(text).notes()

    def test_how_much_of_a_step_waits(self):
        self.assertEqual(self.told(12, 3 * 10**9), [
            f"with batches() of {self.path('mymodel.py')} a step of 7 samples takes 4e+03 ms, of "
            "which 25 % waits for data (10 steps; with the batches at hand 3e+03 ms)"])

    def test_batches_without_an_end(self):
        self.assertIn("(64 steps; ", self.told(10**9, 10**9)[0])

    def test_batches_that_end_at_once(self):
        self.assertEqual(self.told(1, 1), [f"batches() of {self.path('mymodel.py')} ended after 1 "
                                           "batches: too few to tell how much of a step waits for "
                                           "data"])

    def test_batches_that_are_none(self):
        told = self.session(PLAIN + "def batches():\n    yield 'a picture'\n").notes()
        self.assertIn("batches(): expected an item of batches() of", told[0])
        self.assertIn("to return a tensor, a tuple or a dict of them, found str", told[0])
        told = self.session(PLAIN + "def batches():\n    raise OSError('no such disk')\n").notes()
        self.assertIn("batches(): expected", told[0])
        self.assertIn("found OSError: no such disk (mymodel.py, line 8", told[0])


@unittest.skipIf(NO_TORCH, NO_TORCH)
class NamedTest(unittest.TestCase):
    """What each library is asked for."""

    def stand_in(self, **modules):
        patch = mock.patch.dict(sys.modules, modules)
        patch.start()
        self.addCleanup(patch.stop)

    def refused(self, named, says):
        with self.assertRaisesRegex(runner_protocol.Failure, says):
            torch_own_named.find(named)

    def test_torchvision(self):
        asked = []
        models = types.ModuleType("torchvision.models")
        models.resnet50 = lambda weights: asked.append(weights) or torch.nn.Linear(1, 1)
        self.stand_in(torchvision=types.ModuleType("torchvision"), **{"torchvision.models": models})
        found = torch_own_named.find("torchvision:resnet50")
        self.assertIsInstance(found.model(), torch.nn.Module)
        self.assertEqual(asked, [None])  # weights are drawn
        x, y = found.batch(2)
        self.assertEqual((x.shape, y.shape), ((2, 3, 224, 224), (2,)))
        self.refused("torchvision:resnet5000", "expected a model of torchvision named "
                     "'resnet5000', found none: torchvision.models.list_models")

    def test_timm(self):
        asked = []

        def create_model(name, pretrained):
            asked.append((name, pretrained))
            model = torch.nn.Linear(1, 1)
            model.default_cfg, model.num_classes = {"input_size": (3, 64, 64)}, 7
            return model
        timm = types.ModuleType("timm")
        timm.create_model, timm.list_models = create_model, lambda: ["tiny"]
        self.stand_in(timm=timm)
        found = torch_own_named.find("timm:tiny")
        found.model()
        self.assertEqual(set(asked), {("tiny", False)})
        x, y = found.batch(50)
        self.assertEqual(x.shape, (50, 3, 64, 64))
        self.assertLess(int(y.max()), 7)
        self.refused("timm:huge", "expected a model of timm named 'huge', found none")

    def transformers(self):
        class Config:
            vocab_size, max_position_embeddings = 50, 40

        class AutoConfig:
            @staticmethod
            def from_pretrained(name, local_files_only):
                assert local_files_only  # nothing is fetched
                raise OSError

            @staticmethod
            def for_model(name):
                if name != "bert":
                    raise ValueError
                return Config()

        library = types.ModuleType("transformers")
        library.AutoConfig = AutoConfig
        for name, mapping in (("AutoModelForMaskedLM", {}), ("AutoModelForCausalLM", {Config: 1}),
                              ("AutoModelForImageClassification", {})):
            setattr(library, name, types.SimpleNamespace(
                _model_mapping=mapping, from_config=lambda config: torch.nn.Linear(1, 1)))
        return library

    def test_transformers(self):
        self.stand_in(transformers=self.transformers())
        found = torch_own_named.find("hf:bert")
        found.model()
        batch = found.batch(3)
        self.assertEqual(list(batch), ["input_ids", "labels"])
        self.assertEqual(batch["input_ids"].shape, (3, 38))
        self.assertLess(int(batch["input_ids"].max()), 50)
        self.refused("hf:no/such", "neither a kind of model .* nor a config.json in the cache of "
                     "Hugging Face: nothing is fetched here: 'hf download no/such config.json'")

    def test_a_library_that_is_not_there(self):
        for named, library in (("torchvision:resnet50", "torchvision"), ("timm:tiny", "timm"),
                               ("hf:bert", "transformers")):
            self.stand_in(**{library: None})
            self.refused(named, f"expected {library} beside PyTorch for '{named}', found none: "
                         f"install it there \\('pip install {library}'\\)")
        self.assertIsNone(torch_own_named.find("nets:small"))
        self.assertEqual(set(torch_own_named.LIBRARIES), set(torch_own_named._SOURCES))


if __name__ == "__main__":
    unittest.main()
