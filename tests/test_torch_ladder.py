"""Tests of the ladder's networks in PyTorch: their numbers of parameters, and their steps through
the engine of the runner against autograd in double.
"""
import math
import os
import tempfile
import types
import unittest

from runner_support import NO_NUMPY, NO_TORCH

if NO_NUMPY is None:
    import numpy as np

    import safetensors_io
    import workload_fields
    from runner_protocol import Failure
if NO_TORCH is None:
    import torch

    import torch_engine
    import torch_workloads

# As the ladder has them; those of torchvision's and Hugging Face's files among them.
PARAMETERS = {"resnet18-cifar": 11173962, "resnet18": 11689512, "resnet50": 25557032,
              "encoder": 48176138, "clip": 76665345, "bert-base": 109483778, "gpt2": 124439808,
              "clip-b16": 149620737, "clip-l14": 427616513}
SMALL = {"resnet18-cifar": {"size": 16}, "resnet18": {"size": 32}, "resnet50": {"size": 64},
         "encoder": {"layers": 2, "width": 32, "heads": 2, "seq": 12, "vocab": 50},
         "clip": {"layers": 2, "width": 32, "heads": 2, "seq": 9, "size": 32, "vocab": 50},
         "bert-base": {"layers": 2, "width": 32, "heads": 2, "seq": 12, "vocab": 50},
         "gpt2": {"layers": 2, "width": 32, "heads": 2, "seq": 12, "vocab": 50}}
BATCH, COUNT = 4, 10
# Plain, and small: a norm over 16 numbers makes more of each difference.
SGD = {"name": "sgd", "lr": 1e-3}


def make_job(workload, **dimensions):
    own, fields, targets = workload_fields.WORKLOADS[workload]
    dimensions = {**own, **dimensions}
    fields = fields(**dimensions)
    return types.SimpleNamespace(
        workload=workload, dimensions=dimensions, fields=fields, targets=targets,
        inputs=[name for name in fields if name not in targets])


def make_fields(job, rng):
    made = {}
    for name, field in job.fields.items():
        shape, below = (COUNT, *field.shape), field.below or 256
        made[name] = rng.integers(field.least, below, shape).astype(field.dtype)
    if job.workload == "clip":
        made["tokens"][:, -2] = job.dimensions["vocab"] - 1  # the end of the text
    made["order"] = rng.permutation(COUNT).astype(np.int32)
    return made


def part_from_zero(model):
    """Biases of ±2 in batch norms: what ReLU is given lies hardly ever near 0, where float and
    double decide otherwise and the gradient jumps."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.bias.copy_(2.0 - 4.0 * (torch.arange(len(layer.bias)) % 2))
    return model


class Prepared(unittest.TestCase):
    """Cases with a folder of their own, and the files that a request names."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def request(self, workload, job, fields, model):
        safetensors_io.write(self.path("data"), fields)
        safetensors_io.write(self.path("weights"), {
            name: value.detach().numpy() for name, value in model.state_dict().items()
            if not name.endswith("num_batches_tracked")})
        request = {"workload": workload, "device": "cpu", "batch": BATCH, "seed": 3,
                   "data": self.path("data"), "weights": self.path("weights"), "optimizer": SGD,
                   **job.dimensions}
        if "images" in job.fields:
            request["normalize"] = {"images": {"mean": [0.4] * 3, "std": [0.25] * 3}}
        return request


@unittest.skipIf(NO_TORCH, NO_TORCH)
class LadderTest(Prepared):
    def test_parameter_counts(self):
        with torch.device("meta") if hasattr(torch, "device") and torch.__version__ >= "2" else (
                torch.no_grad()):
            for workload, count in PARAMETERS.items():
                if workload == "clip-l14" and torch.__version__ < "2":
                    continue  # 1.7 GB of weights that nobody needs
                model = torch_workloads.new_model(make_job(workload))
                with self.subTest(workload=workload):
                    self.assertEqual(sum(p.numel() for p in model.parameters()), count)

    def test_steps_are_those_of_the_definition(self):
        """Three steps of each: the losses of the same model in double, and its first gradients."""
        for workload, dimensions in SMALL.items():
            with self.subTest(workload=workload):
                torch.manual_seed(1)
                job = make_job(workload, **dimensions)
                fields = make_fields(job, np.random.default_rng(2))
                model = part_from_zero(torch_workloads.new_model(job))
                engine = torch_engine.Engine()
                engine.prepare(self.request(workload, job, fields, model))
                engine.parity({"steps": 3, "out": self.path("out")})
                found = safetensors_io.read(self.path("out"))
                check_steps(self, found, in_double(model.double().train(), job, fields))
                counted = engine.evaluate({"data": self.path("data")})
                self.assertEqual(counted["count"], COUNT)
                self.assertTrue(math.isfinite(counted["loss"]))

    def test_windows_over_a_text_are_its_samples(self):
        """Overlapping windows train like the same samples one behind the other."""
        job = make_job("gpt2", **SMALL["gpt2"])
        text = np.random.default_rng(2).integers(0, 50, 12 + 9 * 3 + 1).astype(np.int32)
        whole = {"tokens": text[:-1], "targets": text[1:]}
        order = np.random.default_rng(3).permutation(COUNT).astype(np.int32)
        windows = {"order": order}
        for name, values in whole.items():
            windows[name], windows[name + ".stride"] = values, np.int32(3)
        rows = {name: np.stack([values[3 * i:3 * i + 12] for i in range(COUNT)])
                for name, values in whole.items()}
        torch.manual_seed(1)
        model, losses = torch_workloads.new_model(job), []
        for fields in (windows, {**rows, "order": order}):
            engine = torch_engine.Engine()
            engine.prepare(self.request("gpt2", job, fields, model))
            losses.append(engine.run({"steps": 5, "losses": True})["losses"])
        self.assertEqual(losses[0], losses[1])
        windows["tokens"] = text
        with self.assertRaisesRegex(
                Failure, "expected 'tokens' of one dimension that windows of 12 elements, 3 apart, "
                "cover exactly in .*found \\[40\\]"):
            torch_engine.Engine().prepare(self.request("gpt2", job, windows, model))

    def test_a_dimension_that_a_workload_has_not_is_refused(self):
        job = make_job("resnet18-cifar", **SMALL["resnet18-cifar"])
        model = torch_workloads.new_model(job)
        request = self.request("resnet18-cifar", job,
                               make_fields(job, np.random.default_rng(2)), model)
        with self.assertRaisesRegex(Failure, "expected of resnet18-cifar one of width, size, found "
                                    "'heads': leave it out"):
            torch_engine.Engine().prepare(dict(request, heads=4))


def split(job, fields, rows):
    """(inputs, targets) of these samples in double."""
    batch = {name: torch.from_numpy(fields[name][rows]) for name in job.fields}
    given = {name: (value.double() / 255 - 0.4) / 0.25 if name == "images" else value.long()
             for name, value in batch.items()}
    return [given[name] for name in job.inputs], [given[name] for name in job.targets]


def make_optimizer(model, settings):
    """PyTorch's own, without weight decay of what is no matrix where `settings` say so."""
    parameters = list(model.parameters())
    if settings.get("decay") == "matrices":
        parameters = [{"params": [p for p in parameters if p.dim() > 1]},
                      {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0}]
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[settings["name"]]
    return kind(parameters, settings["lr"], weight_decay=settings.get("weight_decay", 0))


def in_double(model, job, fields, settings=SGD):
    """(losses of three steps, the first step's gradients, the buffers that it leaves) by PyTorch's
    autograd in double."""
    optimizer = make_optimizer(model, settings)
    usable = COUNT - COUNT % BATCH
    losses, gradients, buffers = [], {}, {}
    for step in range(3):
        rows = fields["order"][[(step * BATCH + i) % usable for i in range(BATCH)]]
        inputs, targets = split(job, fields, rows)
        loss = model.loss(model(*inputs), *targets)
        optimizer.zero_grad()
        loss.backward()
        if "max_gradient_norm" in settings:
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings["max_gradient_norm"])
        if step == 0:
            gradients = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
            buffers = {name: value.numpy().copy() for name, value in model.named_buffers()
                       if not name.endswith("num_batches_tracked")}
        optimizer.step()
        losses.append(loss.item())
    return losses, gradients, buffers


def check_steps(case, found, expected, tolerance=2e-4):
    """What `parity` has written, against what in_double has computed."""
    losses, gradients, buffers = expected
    np.testing.assert_allclose(found["losses"], losses, rtol=tolerance)
    for kind, tensors in (("grad.", gradients), ("buffer.", buffers)):
        case.assertEqual({name for name in found if name.startswith(kind)},
                         {kind + name for name in tensors})
        for name, value in tensors.items():
            # The gradient of a key's bias is zero by symmetry.
            scale = np.linalg.norm(tensors[name.replace("key.bias", "key.weight")])
            error = np.linalg.norm(found[kind + name] - value)
            case.assertLess(error, tolerance * scale + tolerance / 200, kind + name)


if __name__ == "__main__":
    unittest.main()
