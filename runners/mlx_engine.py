"""MLX as an engine of the runner protocol.

Owns the session between `prepare` and the end.  A timed block is what a good user's loop does; it
may not wait for the device, read a loss or print.
"""
import os
import time

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

import mlx_libraries as libraries
import mlx_own
import mlx_own_file
import mlx_phases
import mlx_weights
import own_trace
import runner_job
import safetensors_io
from mlx_training import Session
from runner_job import in_json
from runner_protocol import Failure, SCHEMA, member, tried

DRIVER_SIGNS = ("[METAL]", "[metal::", "CUDA error", "cudaError", "cuDNN error")
# Side of the matrices of `reference` and products: some ms with the reference BLAS, on a GPU.
REFERENCE = {"cpu": (256, 1), "mps": (1024, 6), "cuda": (2048, 6)}


class Engine:
    """The ops of the protocol."""

    def __init__(self):
        self.session = None
        self.own = None  # the user's file, once it was asked for
        self.ones = None

    def hello(self, request):
        devices, unusable = libraries.devices(), []
        if member(request, "try", bool, False):
            devices, unusable = tried(devices, libraries.computes)
        return {"schema": SCHEMA, "engine": "mlx", "version": libraries.version(),
                "libraries": libraries.versions(), "devices": devices,
                "unusable_devices": unusable}

    def prepare(self, request):
        start = time.monotonic_ns()
        self.session = self.ones = None
        mx.clear_cache()  # what an earlier session left
        device = libraries.find_device(member(request, "device", str))
        threads = member(request, "threads", int, os.cpu_count(), least=1)
        libraries.use(device)
        session = self._new_session(request, device)
        libraries.synchronize()
        told = {**self.own.unit(), **self.own.title()} if self.own is not None else {}
        self.session = session
        return {**told, "parameters": session.parameter_count,
                "device_name": libraries.device_name(device),
                "implementation": libraries.implementation(device) + (
                    ", compiled" if session.compiled else ", not compiled"),
                "precision": session.precision, "threads": libraries.threads(threads),
                "prepare_ns": time.monotonic_ns() - start,
                "warnings": session.warnings + libraries.warnings(device, threads)}

    def _new_session(self, request, device):
        named = member(request, "model", str, None)
        if named is None:
            self.own = None
            return Session(request, device)
        if self.own is None or self.own.asked != named:
            self.own = None
            mlx_own_file.seed_all(member(request, "seed", int, 0, least=0))
            self.own = mlx_own_file.MlxFile(named)
        self.own.take_dimensions(request)
        return mlx_own.Session(request, device, self.own)

    def _of_ladder(self):
        session = self._prepared()
        if self.own is not None:
            raise Failure("UNAVAILABLE", "a workload of the ladder", f"the file {self.own.named}",
                          "its answers are not judged here")
        return session

    def _prepared(self):
        if self.session is None:
            raise Failure("USAGE", "a prepared workload", "none", "send 'prepare' first")
        return self.session

    def run(self, request):
        session = self._prepared()
        steps = member(request, "steps", int, least=1)
        wants_losses = member(request, "losses", bool, False)
        losses, last = [], None
        libraries.synchronize()
        start = time.monotonic_ns()
        for _ in range(steps):
            last = session.run_step()
            if wants_losses:
                losses.append(last)
        libraries.synchronize()
        wall_ns = time.monotonic_ns() - start
        if session.training:
            losses = [loss.item() for loss in losses or [last]]
        else:
            losses = [None] * steps  # inference has logits, no loss
        answer = {"steps": steps, "wall_ns": wall_ns, "loss": in_json(losses[-1])}
        if wants_losses:
            answer["losses"] = [in_json(loss) for loss in losses]
        return answer

    def sync(self, request):
        self._prepared()
        start = time.monotonic_ns()
        libraries.synchronize()
        return {"wall_ns": time.monotonic_ns() - start}

    def parity(self, request):
        """Always with the counter's dropout; leaves the session as `prepare` did."""
        session = self._prepared()
        steps, out = member(request, "steps", int, least=1), member(request, "out", str)
        if self.own is not None:
            return self._own_parity(request, steps, out)
        session.reset("counter")
        tensors, losses = {}, []
        for t in range(steps):
            before = mlx_weights.values(session.model) if t == 0 else {}
            inputs, targets, loss, logits, found = session.whole_step()
            losses.append(np.float32(loss.item()))
            if t > 0:
                continue
            batch = dict(zip(session.inputs + session.targets, inputs + targets))
            tensors = {**session.trace_of({name: self._as_in_file(session, name, value)
                                           for name, value in batch.items()}),
                       session.output: np.asarray(logits), "loss": losses[0]}
            gradients, after = dict(tree_flatten(found)), mlx_weights.values(session.model)
            for p in session.parameters:
                tensors["param." + p.name] = p.to_file(before[p.name])
            for p in session.parameters if session.training else ():
                tensors["grad." + p.name] = p.to_file(gradients[p.name])
            for p in session.buffers:
                tensors["buffer." + p.name] = p.to_file(after[p.name])
        safetensors_io.write(out, {**tensors, "losses": np.array(losses)})
        session.reset(session.dropout)
        return {"steps": steps}

    def _own_parity(self, request, steps, out):
        session, judges = self.session, member(request, "judge", bool, False)
        answer = {"steps": steps, "draws": session.draws()} if judges else {"steps": steps}
        found = session.trace(steps)
        if judges:
            found = own_trace.without_rounding(found)
            answer["moved"] = session.moved(steps, found)
            answer.update(session.shapes())
        safetensors_io.write(out, found)
        return answer

    @staticmethod
    def _as_in_file(session, name, value):
        """What the model is given of a field, pictures as [N, C, H, W]."""
        value = np.asarray(value)
        if session.samples[name].is_picture:
            return np.moveaxis(value, -1, 1)
        return value.astype(np.int64)

    def evaluate(self, request):
        session = self._of_ladder()
        fields, _ = runner_job.load_fields(
            member(request, "data", str), session.workload, session.fields, needs_order=False)
        count = len(next(iter(fields.values())))
        loss, correct = session.evaluate(fields)
        return {"count": count, "correct": correct, "loss": in_json(loss / count)}

    def export(self, request):
        session = self._of_ladder()
        values = mlx_weights.values(session.model)
        safetensors_io.write(member(request, "out", str),
                             {p.name: p.to_file(values[p.name])
                              for p in session.parameters + session.buffers})
        return {}

    def phases(self, request):
        session, steps = self._prepared(), member(request, "steps", int, least=1)
        answer = mlx_phases.measure(session, steps)
        if self.own is not None:
            flops = self.own.flops(session.batch)
            answer["flops"] = None if flops is None else flops * steps
            answer["notes"] = []
        return answer

    def reference(self, request):
        """Products of two square matrices, always of the same size, each of the one before."""
        device = self._prepared().device
        side, products = REFERENCE[device.id.partition(":")[0]]
        if self.ones is None:
            self.ones = mx.full((side, side), 1 / side)
            mx.eval(self.ones @ self.ones)  # what a library does at its first call
        libraries.synchronize()
        start = time.monotonic_ns()
        y = self.ones
        for _ in range(products):
            y = y @ self.ones
        mx.eval(y)
        return {"wall_ns": time.monotonic_ns() - start}

    def failure_of(self, error):
        failure = runner_job.failure_of(error, "MLX", DRIVER_SIGNS)
        if failure.status != "FAILED":
            self.session = None
        elif self.own is not None:
            return self.own.failure(error)
        return failure
