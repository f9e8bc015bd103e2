"""Tests of several workers by PyTorch's DistributedDataParallel (runners/torch_group.py), as the
conductor sees them: one runner, which starts the others."""
import os
import signal
import threading
import time
import unittest
from unittest import mock

from runner_support import NO_TORCH, Child, RunnerCase

if NO_TORCH is None:
    import numpy as np
    import safetensors_io
    import torch
    import torch_group
    import torch_workloads
    from runner_protocol import Failure
    from test_torch_ladder import SMALL, make_fields, make_job
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        NO_TORCH = "this PyTorch has no gloo"


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(child) for child in file.read().split()]


@unittest.skipIf(NO_TORCH, NO_TORCH)
class GroupTest(RunnerCase):
    def trace(self, workload, **members):
        """What `parity` writes, and what the same steps lose in `run`."""
        return self.trace_of(self.request(workload, dropout="counter", **members))

    def trace_of(self, request):
        self.ok("prepare", **request)
        self.ok("parity", steps=4, out=self.path("trace"))
        losses = self.ok("run", steps=4, losses=True)["losses"]
        return safetensors_io.read(self.path("trace")), losses

    def test_workers_train_as_one(self):
        """The order of the samples, dropout by place, gradients and losses of the whole batch."""
        for workload in ("mlp-mnist", "cnn-mnist"):
            alone, told = self.trace(workload)
            bits = None
            for workers in (2, 4, 2):
                with self.subTest(workload=workload, workers=workers):
                    found, losses = self.trace(workload, workers=workers)
                    self.assertEqual(list(found), list(alone))
                    self.compare(found, alone)
                    np.testing.assert_allclose(losses, told, rtol=2e-6)
                    if workers == 2:
                        bits = bits or found
                        self.assertEqual({n: v.tobytes() for n, v in bits.items()},
                                         {n: v.tobytes() for n, v in found.items()})

    def compare(self, found, alone):
        for name, value in alone.items():
            self.assertEqual(found[name].shape, value.shape, name)
            largest = float(np.abs(value).max())
            error = float(np.abs(found[name].astype(np.float64) - value).max())
            self.assertLessEqual(error, 2e-6 * largest, name)

    def test_a_clip_compares_the_pairs_of_all(self):
        """By gathering their features: logits, losses and gradients of the whole batch."""
        torch.manual_seed(1)
        job = make_job("clip", **SMALL["clip"])
        model = torch_workloads.new_model(job)
        request = {**self.request("mlp-mnist", data=make_fields(job, np.random.default_rng(2)),
                                  weights={n: v.numpy() for n, v in model.state_dict().items()}),
                   **job.dimensions, "workload": "clip", "batch": 4,
                   "normalize": {"images": {"mean": [0.4] * 3, "std": [0.25] * 3}}}
        alone, told = self.trace_of(request)
        for workers in (2, 4):
            with self.subTest(workers=workers):
                found, losses = self.trace_of({**request, "workers": workers})
                self.assertEqual(list(found), list(alone))
                # Of a bias of keys, which shifts all products of a query alike, it is 0.
                self.compare(found, {name: value for name, value in alone.items()
                                     if not name.endswith("k_proj.bias")})
                np.testing.assert_allclose(losses, told, rtol=2e-6)

    def test_what_cannot_be_is_refused(self):
        def asked(**changes):
            return self.request("mlp-mnist", **changes)

        self.refused("USAGE", "that 3 workers can cut", "prepare", **asked(workers=3))
        self.refused("UNAVAILABLE", "a training by PyTorch", "prepare",
                     **asked(workers=2, mode="infer"))
        self.refused("UNAVAILABLE", "a workload of the ladder", "prepare",
                     **asked(workers=2, model="mine.py"))
        self.ok("prepare", **asked(workers=2))
        for op, members in (("phases", {"steps": 1}), ("evaluate", {"data": self.path("data")})):
            self.refused("UNAVAILABLE", "expected one worker, found 2", op, **members)
        self.ok("run", steps=1)
        self.ok("prepare", **asked())

    def test_a_pytorch_without_it_says_so(self):
        for missing, words in (("is_available", "with torch.distributed"),
                               ("is_gloo_available", "with gloo")):
            with mock.patch.object(torch_group.dist, missing, return_value=False):
                with self.assertRaisesRegex(Failure, words):
                    torch_group.backend_for(torch.device("cpu"))

    def test_one_that_is_killed_ends_the_others(self):
        """In one sentence, in the middle of a run; the next prepare starts new ones."""
        child = Child()
        self.addCleanup(child.close)
        self.assertTrue(child.ask("prepare", **self.request("mlp-mnist", workers=2))["ok"])
        other = children_of(child.process.pid)[0]
        killer = threading.Thread(target=lambda: (time.sleep(0.3), os.kill(other, signal.SIGKILL)))
        killer.start()
        answer = child.ask("run", steps=1 << 30)
        killer.join()
        self.assertEqual((answer["ok"], answer["status"]), (False, "FAILED"))
        self.assertIn("rank 1 of 2 to do its part, found it ended by signal 9", answer["error"])
        self.assertFalse(child.ask("run", steps=1)["ok"])
        self.assertTrue(child.ask("prepare", **self.request("mlp-mnist", workers=2))["ok"])
        self.assertTrue(child.ask("run", steps=1)["ok"])

    def test_none_outlives_its_conductor(self):
        child = Child()
        self.addCleanup(child.close)
        self.assertTrue(child.ask("prepare", **self.request("mlp-mnist", workers=2))["ok"])
        other = children_of(child.process.pid)[0]
        child.process.kill()
        child.process.wait()
        until = time.monotonic() + 30
        while os.path.exists(f"/proc/{other}") and time.monotonic() < until:
            time.sleep(0.05)
        self.assertFalse(os.path.exists(f"/proc/{other}"))


if __name__ == "__main__":
    unittest.main()
