"""Tests of the ladder's networks in TensorFlow: three steps of each through the runner, against the
same network in PyTorch in double, from the same files.

One runner answers all; tests/tensorflow_inside.py counts the parameters at full size.
"""
import unittest

import test_torch_ladder as torch_ladder
from runner_support import NO_TORCH
from test_tensorflow_runner import THREADS, TensorFlowChild, setUpModule  # noqa: F401

if NO_TORCH is None:
    import numpy as np
    import torch

    import safetensors_io
    import torch_workloads
    from test_torch_ladder import split


@unittest.skipIf(NO_TORCH, NO_TORCH)
class LadderTest(torch_ladder.Prepared):
    NAMES = ("resnet18-cifar", "resnet18", "resnet50", "encoder", "bert-base", "gpt2")

    @classmethod
    def setUpClass(cls):
        cls.child = TensorFlowChild({"CUDA_VISIBLE_DEVICES": "-1"})

    @classmethod
    def tearDownClass(cls):
        cls.child.close()

    def ok(self, op, **members):
        answer = self.child.ask(op, **members)
        self.assertTrue(answer.pop("ok"), answer)
        return answer

    def network(self, workload):
        """(model, job, fields, request) of a small variant, its data and weights in files."""
        torch.manual_seed(1)
        job = torch_ladder.make_job(workload, **torch_ladder.SMALL[workload])
        fields = torch_ladder.make_fields(job, np.random.default_rng(2))
        model = torch_ladder.part_from_zero(torch_workloads.new_model(job))
        if workload in ("bert-base", "gpt2"):
            # Both start near 0, where one GELU is like the other.
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(5 if parameter.ndim == 2 else 1)
            fields["tokens"][:, 0] = 0  # bert-base's padding, and it is looked at
        return model, job, fields, dict(self.request(workload, job, fields, model),
                                        threads=THREADS)

    def test_steps_are_those_of_pytorch(self):
        """Losses, first gradients, buffers, an evaluation; and files by PyTorch's names."""
        for workload in self.NAMES:
            with self.subTest(workload=workload):
                model, job, fields, request = self.network(workload)
                prepared = self.ok("prepare", **request)
                self.assertEqual(prepared["parameters"],
                                 sum(p.numel() for p in model.parameters()))
                self.ok("parity", steps=3, out=self.path("out"))
                found = safetensors_io.read(self.path("out"))
                self.check_evaluation(model.double().eval(), job, fields)
                self.check_files()
                torch_ladder.check_steps(
                    self, found, torch_ladder.in_double(model.train(), job, fields),
                    2e-4 if "resnet" in workload else 2e-5)
                self.check_trace(found, job, fields)

    def test_clipped_gradients_and_decay_of_matrices(self):
        for name in ("sgd", "adamw"):
            with self.subTest(name=name):
                model, job, fields, request = self.network("gpt2")
                settings = {"name": name, "lr": 0.01, "weight_decay": 0.5, "decay": "matrices",
                            "max_gradient_norm": 0.25}
                self.ok("prepare", **dict(request, optimizer=settings))
                self.ok("parity", steps=3, out=self.path("out"))
                expected = torch_ladder.in_double(model.double(), job, fields, settings)
                found = safetensors_io.read(self.path("out"))
                torch_ladder.check_steps(self, found, expected, 2e-5)
                squares = sum(np.square(found[key]).sum() for key in found
                              if key.startswith("grad."))
                self.assertAlmostEqual(squares, 0.25 ** 2, places=5)  # it was longer

    def check_evaluation(self, model, job, fields):
        """By the running statistics, over all samples and a short last batch."""
        found = self.ok("evaluate", data=self.path("data"))
        inputs, targets = split(job, fields, slice(None))
        with torch.no_grad():
            logits = model(*inputs)
            loss = model.loss(logits, *targets).item()
        self.assertEqual((found["count"], found["correct"]), (
            torch_ladder.COUNT, int(torch_workloads.count_right(logits, targets))))
        self.assertLess(abs(found["loss"] / loss - 1), 1e-5)

    def check_files(self):
        """As they were prepared, whatever layouts they went through."""
        self.ok("export", out=self.path("weights out"))
        before, after = (safetensors_io.read(self.path(name))
                         for name in ("weights", "weights out"))
        self.assertEqual(set(after), set(before))
        for name, value in before.items():
            np.testing.assert_array_equal(after[name], value, err_msg=name)

    def check_trace(self, found, job, fields):
        """The names and the bytes of what engines are compared by."""
        alone = len(job.inputs) == 1
        inputs, targets = split(job, fields, fields["order"][:torch_ladder.BATCH])
        for name, value in zip((*job.inputs, *job.targets), inputs + targets):
            kind = "target" if name in job.targets else "input" if alone else "input." + name
            values = found[kind]
            np.testing.assert_allclose(values, value.numpy(), rtol=1e-5, atol=1e-6)
            self.assertEqual(values.dtype, np.float32 if name == "images" else np.int64)

    def test_inference(self):
        """Logits by the running statistics, and no step changes these."""
        model, job, fields, request = self.network("resnet18-cifar")
        with torch.no_grad():
            for name, value in model.named_buffers():
                if name.endswith(("mean", "var")):
                    value.uniform_(0.5, 1.5)
        request = dict(self.request("resnet18-cifar", job, fields, model), threads=THREADS,
                       mode="infer")
        self.ok("prepare", **request)
        self.ok("run", steps=2)
        self.ok("parity", steps=1, out=self.path("out"))
        inputs, _ = split(job, fields, fields["order"][:torch_ladder.BATCH])
        with torch.no_grad():
            logits = model.double().eval()(*inputs)
        np.testing.assert_allclose(safetensors_io.read(self.path("out"))["logits"], logits,
                                   rtol=1e-4, atol=1e-4)
        self.check_files()

    def test_weights_of_another_network_are_refused(self):
        _, _, _, request = self.network("gpt2")
        weights = safetensors_io.read(self.path("weights"))
        self.assertNotIn("lm_head.weight", weights)
        spoilt = dict(weights)
        spoilt["transformer.h.0.attn.c_attn.weight"] = np.zeros((96, 32), dtype=np.float32)
        for tensors, text in (
                (dict(weights, **{"lm_head.weight": weights["transformer.wte.weight"]}),
                 "also 'lm_head.weight'"),
                (spoilt, "expected 'transformer.h.0.attn.c_attn.weight' as float32 [32, 96]")):
            safetensors_io.write(self.path("weights"), tensors)
            self.refused("BAD_DATA", text, request)

    def refused(self, status, text, request):
        answer = self.child.ask("prepare", **request)
        self.assertEqual((answer["ok"], answer["status"]), (False, status))
        self.assertIn(text, answer["error"])

    def test_what_is_not_there_is_refused(self):
        """No training that is another one than was asked for."""
        _, _, _, request = self.network("gpt2")
        self.refused("UNAVAILABLE", "expected an optimizer of name, lr, momentum, weight_decay, "
                     "beta1, beta2, epsilon, max_gradient_norm, decay, schedule alone, found "
                     "'nesterov': leave it out",
                     dict(request, optimizer=dict(torch_ladder.SGD, nesterov=True)))
        self.refused("UNAVAILABLE", "encoder, bert-base, gpt2, op:matmul, ",
                     dict(request, workload="clip"))


if __name__ == "__main__":
    unittest.main()
