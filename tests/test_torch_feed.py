"""Tests of runners/torch_feed.py: the batches are the same, and on CUDA every wait is there.

There is no GPU here: what is called on CUDA is written down and compared.
"""
import contextlib
import os
import tempfile
import types
import unittest
from unittest import mock

from runner_support import ADAM, NO_TORCH, make_data, make_weights

if NO_TORCH is None:
    import torch
    from torch import nn

    import safetensors_io
    import torch_engine
    import torch_feed
    import torch_workloads


@unittest.skipIf(NO_TORCH, NO_TORCH)
class CounterDropoutTest(unittest.TestCase):
    def test_dropout_is_found_however_deep_it_lies(self):
        """Numbered in the order in which the model names its layers; one that is used twice is one
        layer."""
        shared = nn.Dropout(0.3)
        model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1)), nn.Dropout(0.2),
                              nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})["a"])
        found = torch_workloads.use_counter_dropout(model, 7)
        self.assertEqual([layer.p for layer in found], [0.1, 0.2, 0.3])
        self.assertIs(model[0][1], found[0])
        self.assertFalse(any(isinstance(layer, nn.Dropout) for layer in model.modules()))
        with torch.no_grad():
            self.assertEqual(tuple(model.eval()(torch.ones(2, 4)).shape), (2, 4))


@unittest.skipIf(NO_TORCH, NO_TORCH)
class SameBatchesTest(unittest.TestCase):
    def prepared(self, on_host):
        """An engine, its data on the host as if its device were another than the processor."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        data, weights = (os.path.join(folder.name, name) for name in ("data", "weights"))
        safetensors_io.write(data, make_data("mlp-mnist"))
        safetensors_io.write(weights, make_weights("mlp-mnist"))
        engine = torch_engine.Engine()
        engine.prepare({"workload": "mlp-mnist", "device": "cpu", "batch": 8, "data": data,
                        "weights": weights, "optimizer": ADAM, "seed": 7,
                        "normalize": {"images": {"mean": [0.3], "std": [0.2]}}})
        session = engine.session
        if on_host:
            session.resident = False
            session.feed = torch_feed.HostFeed(list(session.samples.values()), 8, session.device)
        return engine, os.path.join(folder.name, "out")

    def test_same_losses(self):
        """In blocks, over three rounds of an order with a remainder; a parity starts anew."""
        found = []
        for on_host in (False, True):
            engine, out = self.prepared(on_host)
            losses = []
            for steps in (1, 6, 3):
                losses += engine.run({"steps": steps, "losses": True})["losses"]
            engine.parity({"steps": 1, "out": out})
            engine.parity({"steps": 5, "out": out})
            losses += safetensors_io.read(out)["losses"].tolist()
            losses += engine.run({"steps": 4, "losses": True})["losses"]
            answer = engine.phases({"steps": 2})
            self.assertEqual(answer["phases"]["upload"] > 0, on_host)
            # Pixels are bytes, labels are 64 bits.
            self.assertEqual(answer["upload_bytes"], 2 * 8 * (784 + 8) if on_host else 0)
            losses += engine.run({"steps": 2, "losses": True})["losses"]
            found.append(losses)
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0][0], found[0][10])
        self.assertEqual(len(set(found[0][:10])), 10)


class Recorded:
    """Stands for torch in torch_feed, and writes down what happens in which stream."""

    def __init__(self):
        self.log, self.stream, self.made = [], "main", 0

    def say(self, text):
        self.log.append(f"{self.stream}: {text}")

    def empty(self, shape, dtype, pin_memory):
        self.made += 1
        assert pin_memory
        name = f"buffer{self.made}"

        def to(device, non_blocking):
            assert non_blocking
            self.say(f"copy {name}")
            return types.SimpleNamespace(
                record_stream=lambda stream: self.say(f"keep {name} for {stream}"))
        return types.SimpleNamespace(to=to, name=name)

    def index_select(self, values, dimension, index, out):
        self.say(f"fill {out.name} with {index}")

    @property
    def cuda(self):
        def event():
            self.made += 1
            name = f"event{self.made}"
            return types.SimpleNamespace(synchronize=lambda: self.say(f"wait for {name}"),
                                         record=lambda stream: self.say(f"{name} in {stream}"),
                                         name=name)

        @contextlib.contextmanager
        def use(stream):
            before, self.stream = self.stream, stream
            yield
            self.stream = before

        current = mock.MagicMock()
        current.wait_event = lambda event: self.say(f"stream waits for {event.name}")
        current.__str__.return_value = "main"
        return types.SimpleNamespace(Event=event, Stream=lambda device: "copies", stream=use,
                                     current_stream=lambda device: current)


@unittest.skipIf(NO_TORCH, NO_TORCH)
class CudaOrderTest(unittest.TestCase):
    def test_waits(self):
        recorded = Recorded()
        values = types.SimpleNamespace(shape=(9,), dtype=None)
        with mock.patch.object(torch_feed, "torch", recorded):
            feed = torch_feed.HostFeed([values, values], 4, types.SimpleNamespace(type="cuda"))
            slots = [feed.send(feed.gather(turn)) for turn in range(2)]
            for slot in slots:
                feed.take(slot)
            feed.gather(2)
        first = ["main: wait for event3", "main: fill buffer1 with 0", "main: fill buffer2 with 0",
                 "copies: copy buffer1", "copies: copy buffer2", "copies: event3 in copies"]
        second = ["main: wait for event6", "main: fill buffer4 with 1", "main: fill buffer5 with 1",
                  "copies: copy buffer4", "copies: copy buffer5", "copies: event6 in copies"]
        takes = [f"main: {text}" for text in (
            "stream waits for event3", "keep buffer1 for main", "keep buffer2 for main",
            "stream waits for event6", "keep buffer4 for main", "keep buffer5 for main")]
        third = ["main: wait for event3", "main: fill buffer1 with 2", "main: fill buffer2 with 2"]
        self.assertEqual(recorded.log, first + second + takes + third)


if __name__ == "__main__":
    unittest.main()
