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
import runner_engine
import runner_job
import safetensors_io
from mlx_training import Session
from runner_job import in_json
from runner_protocol import SCHEMA, member, tried

DRIVER_SIGNS = ("[METAL]", "[metal::", "CUDA error", "cudaError", "cuDNN error")
# Side of the matrices of `reference` and products: some ms with the reference BLAS, on a GPU.
REFERENCE = {"cpu": (256, 1), "mps": (1024, 6), "cuda": (2048, 6)}


class Engine(runner_engine.Engine):
    """The ops of the protocol."""
    title, driver_signs, own_file = "MLX", DRIVER_SIGNS, mlx_own_file.MlxFile
    ones = None

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
        session = (mlx_own.Session(request, device, self.own) if self._takes_own(request)
                   else Session(request, device))
        libraries.synchronize()
        self.session = session
        return {**self._told(), "parameters": session.parameter_count,
                "device_name": libraries.device_name(device),
                "implementation": libraries.implementation(device) + (
                    ", compiled" if session.compiled else ", not compiled"),
                "precision": session.precision, "threads": libraries.threads(threads),
                "prepare_ns": time.monotonic_ns() - start,
                "warnings": session.warnings + libraries.warnings(device, threads)}

    def seed(self, seed):
        mlx_own_file.seed_all(seed)

    def synchronize(self, _session):
        libraries.synchronize()

    def trace(self, session, steps):
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
        return {**tensors, "losses": np.array(losses)}

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
        return {**mlx_phases.measure(session, steps), **self._own_phases(steps)}

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
