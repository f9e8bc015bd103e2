"""TensorFlow as an engine of the runner protocol.

Owns the session between `prepare` and the end.  A timed block is what a good user's loop does; it
may not wait for the device, read a loss or print.
"""
import os
import time

import keras
import numpy as np
import tensorflow as tf

import keras_own_file
import runner_engine
import runner_job
import safetensors_io
import tensorflow_libraries as libraries
import tensorflow_own
import tensorflow_phases
from runner_job import in_json
from runner_protocol import SCHEMA, member, tried
from tensorflow_training import Session

DRIVER_SIGNS = ("CUDA error", "CUDA_ERROR", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS")
# Of the product that `reference` computes; about as long on either kind of device.
REFERENCE_SIZE = {"cpu": 512, "cuda": 4096}


class Engine(runner_engine.Engine):
    """The ops of the protocol."""
    title, driver_signs, own_file = "TensorFlow", DRIVER_SIGNS, keras_own_file.KerasFile

    def __init__(self, form=None):
        """`form`: "xla", or what TensorFlow does by itself."""
        super().__init__()
        self.form = form
        self.product = None

    def hello(self, request):
        devices, unusable = libraries.devices(), []
        if member(request, "try", bool, False):
            libraries.start_all()
            devices, unusable = tried(devices, libraries.computes)
        return {"schema": SCHEMA, "engine": "tensorflow-xla" if self.form else "tensorflow",
                "version": str(tf.__version__),
                "libraries": libraries.versions(), "devices": devices,
                "unusable_devices": unusable + libraries.unusable_devices()}

    def prepare(self, request):
        start = time.monotonic_ns()
        if self.session is not None:
            self.session = None
            keras.utils.clear_session()  # gives its memory back
        device = libraries.find_device(member(request, "device", str))
        threads = member(request, "threads", int, os.cpu_count(), least=1)
        if "model" in request:
            libraries.settle(device, threads)  # before the user's file starts TensorFlow by itself
        session = (tensorflow_own.Session(request, device, threads, self.own, self.form)
                   if self._takes_own(request) else Session(request, device, threads, self.form))
        libraries.synchronize()
        self.session = session
        return {**self._told(), "parameters": session.parameter_count,
                "device_name": libraries.device_name(device),
                "implementation": (libraries.implementation(device)
                                   + (", XLA" if self.form else "")),
                "precision": session.precision,
                "threads": tf.config.threading.get_intra_op_parallelism_threads(),
                "prepare_ns": time.monotonic_ns() - start,
                "warnings": session.warnings + libraries.warnings(device)}

    def seed(self, seed):
        keras.utils.set_random_seed(seed % (1 << 32))

    def synchronize(self, _session):
        libraries.synchronize()

    def during(self, _request, session):
        return session.on_device()

    def trace(self, session, steps):
        tensors, losses = {}, []
        for t in range(steps):
            before = [p.to_file(p.variable) for p in session.parameters] if t == 0 else []
            inputs, targets, logits, loss, found = session.whole_step()
            losses.append(np.float32(loss))
            if t > 0:
                continue
            batch = {name: self._as_in_file(session, name, value) for name, value
                     in zip(session.inputs + session.targets, inputs + targets)}
            tensors = {**session.trace_of(batch),
                       session.output: session.result_to_file(logits.numpy()),
                       "loss": losses[0]}
            for p, value in zip(session.parameters, before):
                tensors["param." + p.name] = value
            for p, gradient in zip(session.parameters, found):
                tensors["grad." + p.name] = p.to_file(gradient)
            for p in session.buffers:
                tensors["buffer." + p.name] = p.to_file(p.variable)
        return {**tensors, "losses": np.array(losses)}

    @staticmethod
    def _as_in_file(session, name, value):
        """What the model is given of a field, pictures as [N, C, H, W]."""
        value = value.numpy()
        return np.moveaxis(value, -1, 1) if session.samples[name].is_picture else value

    def evaluate(self, request):
        session = self._of_ladder()
        fields, _ = runner_job.load_fields(
            member(request, "data", str), session.workload, session.fields, needs_order=False)
        count, loss, correct = len(next(iter(fields.values()))), 0.0, 0
        with session.on_device():
            for first in range(0, count, session.batch):
                rows = slice(first, first + session.batch)
                part, right = session.evaluate(*(
                    np.moveaxis(values[rows], 1, -1) if session.samples[name].is_picture
                    else values[rows].astype(np.int64) for name, values in fields.items()))
                loss, correct = loss + float(part), correct + int(right)
        return {"count": count, "correct": correct, "loss": in_json(loss / count)}

    def export(self, request):
        session = self._of_ladder()
        safetensors_io.write(member(request, "out", str),
                             {p.name: p.to_file(p.variable)
                              for p in session.parameters + session.buffers})
        return {}

    def phases(self, request):
        session, steps = self._prepared(), member(request, "steps", int, least=1)
        return {**tensorflow_phases.measure(session, steps), **self._own_phases(steps)}

    def reference(self, request):
        """The product of two square matrices, always of the same size."""
        session = self._prepared()
        with session.on_device():
            if self.product is None:
                ones = tf.ones([REFERENCE_SIZE[session.device.id.partition(":")[0]]] * 2)
                multiply = tf.function(lambda: tf.matmul(ones, ones))
                self.product = multiply
                for _ in range(3):
                    multiply()  # compiles it, and chooses its kernels
            libraries.synchronize()
            start = time.monotonic_ns()
            self.product()
            libraries.synchronize()
            return {"wall_ns": time.monotonic_ns() - start}
