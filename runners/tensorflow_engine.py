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
import own_trace
import runner_job
import safetensors_io
import tensorflow_libraries as libraries
import tensorflow_own
import tensorflow_phases
from runner_job import in_json
from runner_protocol import Failure, SCHEMA, member, tried
from tensorflow_training import Session

DRIVER_SIGNS = ("CUDA error", "CUDA_ERROR", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS")
# Of the product that `reference` computes; about as long on either kind of device.
REFERENCE_SIZE = {"cpu": 512, "cuda": 4096}


class Engine:
    """The ops of the protocol."""

    def __init__(self, form=None):
        """`form`: "xla", or what TensorFlow does by itself."""
        self.session, self.form = None, form
        self.own = None  # the user's file, once it was asked for
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
        session = self._new_session(request, device, threads)
        libraries.synchronize()
        told = {**self.own.unit(), **self.own.title()} if self.own is not None else {}
        self.session = session
        return {**told, "parameters": session.parameter_count,
                "device_name": libraries.device_name(device),
                "implementation": (libraries.implementation(device)
                                   + (", XLA" if self.form else "")),
                "precision": session.precision,
                "threads": tf.config.threading.get_intra_op_parallelism_threads(),
                "prepare_ns": time.monotonic_ns() - start,
                "warnings": session.warnings + libraries.warnings(device)}

    def _new_session(self, request, device, threads):
        named = member(request, "model", str, None)
        if named is None:
            self.own = None
            return Session(request, device, threads, self.form)
        libraries.settle(device, threads)  # before the user's file starts TensorFlow by itself
        if self.own is None or self.own.asked != named:
            self.own = None
            keras.utils.set_random_seed(member(request, "seed", int, 0, least=0) % (1 << 32))
            self.own = keras_own_file.KerasFile(named)
        self.own.take_dimensions(request)
        return tensorflow_own.Session(request, device, threads, self.own, self.form)

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
        with session.on_device():
            libraries.synchronize()
            start = time.monotonic_ns()
            for _ in range(steps):
                last = session.run_step()
                if wants_losses:
                    losses.append(last)
            libraries.synchronize()
            wall_ns = time.monotonic_ns() - start
        if session.training:
            losses = [float(loss) for loss in losses or [last]]
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
        with session.on_device():
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
        safetensors_io.write(out, found)
        return answer

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
        answer = tensorflow_phases.measure(session, steps)
        if self.own is not None:
            flops = self.own.flops(session.batch)
            answer["flops"] = None if flops is None else flops * steps
            answer["notes"] = []
        return answer

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

    def failure_of(self, error):
        failure = runner_job.failure_of(error, "TensorFlow", DRIVER_SIGNS)
        if failure.status != "FAILED":
            self.session = None
        elif self.own is not None:
            return self.own.failure(error)
        return failure
