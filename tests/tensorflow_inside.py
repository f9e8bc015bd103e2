#!/usr/bin/env python3
"""What only TensorFlow's own Python can look at: waiting, data on the host, GPUs that are not here.

Usage: tensorflow_inside.py        prints {"run": N, "failed": N}; test_tensorflow_runner.py runs it
"""
import json
import os
import sys
import tempfile
import time
import types
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "runners"))
sys.dont_write_bytecode = True

import keras
import numpy as np
import tensorflow as tf

import safetensors_io
import tensorflow_engine
import tensorflow_feed
import tensorflow_libraries as libraries
import tensorflow_phases
import tensorflow_weights
import tensorflow_workloads
import test_torch_ladder
from runner_protocol import Failure

Event = tensorflow_phases.Event


def make_job(workload, **dimensions):
    job = test_torch_ladder.make_job(workload, **dimensions)
    job.seed, job.batch, job.training = 0, 4, True
    return job


class Prepared(unittest.TestCase):
    def prepared(self, workload, batch, count, **dimensions):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        data, weights = (os.path.join(folder.name, name) for name in ("data", "weights"))
        rng = np.random.default_rng(4)
        job = make_job(workload, **dimensions)
        made = {"order": rng.permutation(count).astype(np.int32)}
        if workload == "gpt2":  # windows that overlap
            text = rng.integers(0, 50, job.dimensions["seq"] + 3 * (count - 1) + 1, dtype=np.int32)
            for name, values in (("tokens", text[:-1]), ("targets", text[1:])):
                made[name], made[name + ".stride"] = values, np.int32(3)
        else:
            for name, field in job.fields.items():
                made[name] = rng.integers(field.least, field.below or 256, (count, *field.shape),
                                          dtype=field.dtype)
        safetensors_io.write(data, made)
        model, _ = tensorflow_workloads.new_model(job, False)
        safetensors_io.write(weights, {
            p.name: rng.uniform(-0.05, 0.05, p.shape).astype(np.float32)
            for p in tensorflow_weights.parameters(model)})
        engine = tensorflow_engine.Engine()
        engine.prepare({"workload": workload, "device": "cpu", "batch": batch, "data": data,
                        "weights": weights, "optimizer": {"name": "adam", "lr": 0.003}, "seed": 7,
                        "threads": 1, "normalize": {"images": {"mean": [0.3], "std": [0.2]}},
                        **dimensions})
        return engine, os.path.join(folder.name, "out")

    def test_run_waits_for_the_device(self):
        """TensorFlow told not to wait for the processor, as it does not wait for a GPU."""
        engine, _ = self.prepared("cnn5-fashion", 64, 64)
        engine.run({"steps": 2})
        whole_ns = min(engine.run({"steps": 3})["wall_ns"] for _ in range(2))
        tf.config.experimental.set_synchronous_execution(False)
        self.addCleanup(tf.config.experimental.set_synchronous_execution, True)
        found = []
        for _ in range(50):  # until other programs leave it undisturbed once
            with engine.session.on_device():
                start = time.monotonic_ns()
                for _ in range(3):
                    engine.session.run_step()
                asked_ns = time.monotonic_ns() - start
            left_ns = engine.sync({})["wall_ns"]
            run_ns = engine.run({"steps": 3})["wall_ns"]
            found.append([ns / whole_ns for ns in (asked_ns, left_ns, run_ns,
                                                   engine.sync({})["wall_ns"])])
            asked, left, run, after = found[-1]
            if asked < 0.5 and left > 0.2 and run > 0.5 and after < 0.2:
                return
        self.fail(f"asked, left, run and left after it, by the whole time: {found}")

    def test_data_on_the_host_of_another_device(self):
        """The same losses, in blocks, over three rounds of an order with a remainder."""
        for workload, dimensions in (("mlp-mnist", {}), ("gpt2", test_torch_ladder.SMALL["gpt2"])):
            with self.subTest(workload=workload):
                found = [self.losses(workload, dimensions, on_host) for on_host in (False, True)]
                self.assertEqual(found[0], found[1])
                self.assertEqual(found[0][0], found[0][10])
                self.assertEqual(len(set(found[0][:10])), 10)

    def losses(self, workload, dimensions, on_host):
        engine, out = self.prepared(workload, 8, 30, **dimensions)
        session = engine.session
        if on_host:
            # As if the device were another than the processor, which the order lies on.
            session.resident, session.rows = False, session.rows.numpy()
            for field in session.samples.values():
                field.values = field.values.numpy()
            session.reset("engine")
        losses = []
        for steps in (1, 6, 3):
            losses += engine.run({"steps": steps, "losses": True})["losses"]
        engine.parity({"steps": 5, "out": out})
        losses += safetensors_io.read(out)["losses"].tolist()
        return losses + engine.run({"steps": 4, "losses": True})["losses"]


class LadderTest(unittest.TestCase):
    def test_parameter_counts(self):
        """At full size, which nobody gives memory to here."""
        for workload, count in test_torch_ladder.PARAMETERS.items():
            if workload not in tensorflow_workloads.WORKLOADS:
                self.assertIn("clip", workload)
                continue
            with self.subTest(workload=workload), \
                    keras.StatelessScope(initialize_variables=False):
                model, _ = tensorflow_workloads.new_model(make_job(workload), False)
                found = tensorflow_weights.parameters(model)
                self.assertEqual(sum(int(np.prod(p.shape)) for p in found if p.trained), count)
                # None is without a name in the file.
                self.assertEqual(len(found), len(model.variables))

    def test_one_value_a_channel_has_no_variance(self):
        job = make_job("resnet18-cifar", size=8)
        job.batch = 1
        with self.assertRaisesRegex(Failure, "more than one value a channel for the batch norm "
                                    "'layer4.0.bn1' in training, found 1: use a larger batch"):
            tensorflow_workloads.new_model(job, False)
        job.training = False
        tensorflow_workloads.new_model(job, False)


class GpuTest(unittest.TestCase):
    """Of GPUs that are not here: what is asked of TensorFlow, and what is said."""

    def test_why_there_is_none(self):
        for built, hidden, driver, text in (
                (False, None, True, r"with CUDA, found 2\.\S+ without: make one with"),
                (True, "-1", True, "CUDA_VISIBLE_DEVICES=-1 hides every NVIDIA GPU: unset it"),
                (True, "", True, "CUDA_VISIBLE_DEVICES= hides"),
                (True, None, False, "found no NVIDIA driver: install the driver"),
                (True, "0", True, "cannot load what it needs")):
            environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
            if hidden is not None:
                environment["CUDA_VISIBLE_DEVICES"] = hidden
            with mock.patch.object(libraries, "_gpus", lambda: []), \
                    mock.patch.object(tf.test, "is_built_with_cuda", lambda: built), \
                    mock.patch.object(libraries.glob, "glob", lambda pattern: [0] * driver), \
                    mock.patch.dict(os.environ, environment, clear=True):
                [device] = libraries.unusable_devices()
                self.assertRegex(device["reason"], text)
                with self.assertRaisesRegex(Failure, text):
                    libraries.find_device("cuda:0")

    def test_only_the_one_is_started(self):
        """The second of two GPUs: seen alone, memory as it is needed, no soft placement."""
        gpus, asked = [types.SimpleNamespace(name=f"gpu{i}") for i in range(2)], []

        def say(name):
            return lambda *values: asked.append((name, *values))

        config = types.SimpleNamespace(
            set_visible_devices=say("visible"), set_soft_device_placement=say("soft placement"),
            experimental=types.SimpleNamespace(set_memory_growth=say("growth")),
            threading=types.SimpleNamespace(set_intra_op_parallelism_threads=say("intra"),
                                            set_inter_op_parallelism_threads=say("inter")))
        with mock.patch.object(libraries, "_gpus", lambda: gpus), \
                mock.patch.object(libraries.tf, "config", config), \
                mock.patch.object(libraries, "_settled", None):
            with self.assertRaisesRegex(Failure, "expected the device 'cuda:2', found 2 CUDA"):
                libraries.find_device("cuda:2")
            device = libraries.find_device("cuda:1")
            libraries.settle(device, 3)
            libraries.settle(device, 3)
            with self.assertRaisesRegex(Failure, "cuda:1 with 3 threads.*found cuda:0 with 3"):
                libraries.settle(libraries.find_device("cuda"), 3)
        self.assertEqual(device, ("cuda:1", "/GPU:0"))
        self.assertEqual(asked, [("visible", [gpus[1]], "GPU"), ("growth", gpus[1], True),
                                 ("intra", 3), ("inter", 3), ("soft placement", False)])

    def test_precision(self):
        devices = {(7, 5): ("fp32",), (9, 0): ("fp32", "tf32", "bf16")}
        self.addCleanup(libraries.set_precision, libraries.CPU, "fp32")
        for capability, has in devices.items():
            details = {"compute_capability": capability, "device_name": "some GPU"}
            with mock.patch.object(libraries, "_gpus", lambda: ["gpu"]), \
                    mock.patch.object(tf.config.experimental, "get_device_details",
                                      lambda gpu, details=details: details):
                device = libraries.find_device("cuda:0")
                for precision in ("fp32", "tf32", "bf16"):
                    if precision not in has:
                        with self.assertRaisesRegex(Failure, r"found some GPU \(cuda:0\), which"):
                            libraries.set_precision(device, precision)
                        continue
                    libraries.set_precision(device, precision)
                    self.assertEqual(
                        tf.config.experimental.tensor_float_32_execution_enabled(),
                        precision == "tf32")

    def test_proof_of_device(self):
        """Its streams' events alone, and no phase."""
        answer = {"phases": dict.fromkeys(tensorflow_phases.PHASES), "launches": None, "work": {}}
        planes = {"/device:GPU:0": [Event("gemm", 1000, 5000, "Stream #14(Compute)"),
                                    Event("relu", 4000, 9000, "Stream #15(Compute)"),
                                    Event("step", 0, 99000, "Steps")],
                  "/host:CPU": [Event("forward/x:MatMul", 0, 9000, "python")]}
        tensorflow_phases._on_gpu(answer, planes, libraries.Device("cuda:0", "/GPU:0"))
        self.assertEqual(answer["work"], {"cuda:0": {"launches": 2, "busy_ns": 8}})
        self.assertEqual(set(answer["phases"].values()), {None})


class PartsTest(unittest.TestCase):
    def test_overlapping_operations_share_the_time(self):
        spent = tensorflow_phases.share([("a", 0, 10), ("b", 5, 10), ("a", 5, 20), ("c", 30, 31),
                                         ("d", 40, 40)])
        for key, expected in {"a": 5 + 5 * 2 / 3 + 10, "b": 5 / 3, "c": 1, "d": 0}.items():
            self.assertAlmostEqual(spent[key], expected, msg=key)

    def test_names_of_phases(self):
        found = tensorflow_phases.operations([Event(name, 0, 1, "") for name in (
            "data/GatherV2:GatherV2", "forward/sequential_1/conv1_1/Relu:_MklNativeFusedConv2D",
            "gradient_tape/forward/sequential_1/fc1_1/MatMul/MatMul:_MklMatMul",
            "optimizer/adam/Sub_10:Sub", "Func/x:_Arg", "ExecutorState::Process",
            "EagerLocalExecute: __inference_step_600", "FunctionRun")])
        self.assertEqual([phase for _, _, phase in found],
                         ["data", "forward", "backward", "optimizer", None])

    def test_unforeseen_errors(self):
        engine = tensorflow_engine.Engine()
        for error, status in ((tf.errors.ResourceExhaustedError(None, None, "OOM when allocating "
                                                                            "tensor"), "NO_MEMORY"),
                              (MemoryError(), "NO_MEMORY"),
                              (tf.errors.InternalError(None, None, "CUDNN_STATUS_NOT_SUPPORTED"),
                               "DRIVER"), (KeyError("x"), "FAILED")):
            engine.session = "one"
            failure = engine.failure_of(error)
            self.assertEqual(failure.status, status)
            self.assertEqual(engine.session, "one" if status == "FAILED" else None)
            self.assertNotIn("\n", str(failure))

    def test_batches_of_the_feed(self):
        pictures = np.arange(6 * 18, dtype=np.uint8).reshape(6, 2, 3, 3)
        text = np.lib.stride_tricks.sliding_window_view(np.arange(14, dtype=np.int32), 4)[::2]
        fields = [pictures, text, np.arange(6, dtype=np.int32)]
        samples = [tensorflow_feed.Samples(values) for values in fields]
        self.assertEqual(samples[1].values.shape, (14,))  # not one for each window
        rows = np.array([[5, 0], [3, 3], [1, 2]])
        feed = tensorflow_feed.batches(samples, rows, "/CPU:0")
        for t in range(7):
            found = [field.unpack(values).numpy() for field, values in zip(samples, next(feed))]
            found[0] = np.moveaxis(found[0], -1, 1)
            for values, expected in zip(found, fields):
                self.assertEqual(values.tolist(), expected[rows[t % 3]].tolist())

    def test_layers_of_operations(self):
        names = {"conv1", "transformer.h.0.ln_1", "encoder.layers.0.self_attn.in_proj_"}
        for scope, layer in (("forward/sequential_1/conv1_1/Relu", "conv1"),
                             ("gradient_tape/forward/m_1/transformer.h.0.ln_1/Mul",
                              "transformer.h.0.ln_1"),
                             ("forward/m/transformer.h.0.ln_1_1/Mul", "transformer.h.0.ln_1"),
                             ("forward/m/encoder.layers.0.self_attn.in_proj_/Add",
                              "encoder.layers.0.self_attn.in_proj"),
                             ("forward/m/max_pooling2d/MaxPool", ""), ("conv1", "")):
            self.assertEqual(tensorflow_phases.layer_of(scope, names), layer, scope)


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    libraries.settle(libraries.CPU, 1)  # before any case starts TensorFlow in another way
    loader = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stderr).run(loader)
    json.dump({"run": result.testsRun, "failed": len(result.failures) + len(result.errors)}, out)


if __name__ == "__main__":
    main()
