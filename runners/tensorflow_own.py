"""A user's own model of Keras in training or inference on one device: the session of a KerasFile
(keras_own_file.py).

A step is what model.fit computes, without its bookkeeping: a tf.function of the model, its loss and
its optimizer.  Batches are made before the clock runs, from a seed, the same for every contender;
the first one saves the initial weights, and all load them.  What is compared between contenders has
dropout switched off: no two devices draw alike.
"""
import os

import keras
import numpy as np
import tensorflow as tf

import own_trace
import tensorflow_libraries as libraries
from keras_own_file import is_whole, map_arrays, named_arrays, takes_training
from runner_protocol import Failure, member

# Layers that draw numbers in training alone, and the member that says how much.
_DRAWING = {"rate": (keras.layers.Dropout, keras.layers.AlphaDropout, keras.layers.GaussianDropout,
                     keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D,
                     keras.layers.SpatialDropout3D),
            "stddev": (keras.layers.GaussianNoise,),
            "_dropout": (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)}
_CELLS = ("dropout", "recurrent_dropout")  # of recurrent layers and their cells


def switch_dropout_off(model):
    for layer in model._flatten_layers():
        for name, kinds in _DRAWING.items():
            if isinstance(layer, kinds):
                setattr(layer, name, 0.0)
        for name in _CELLS:
            if isinstance(getattr(layer, name, None), float):
                setattr(layer, name, 0.0)


class Session:
    def __init__(self, request, device, threads, own, form):
        self.own, self.device, self.form, self.warnings = own, device, form, []
        self.batch = member(request, "batch", int, least=1)
        self.training = member(request, "mode", str, "train", choices=("train", "infer")) == "train"
        self.seed = member(request, "seed", int, 0, least=0)
        self.precision = member(request, "precision", str, "fp32",
                                choices=("fp32", "tf32", "bf16", "fp64"))
        self.dropout = member(request, "dropout", str, "engine", choices=("engine", "counter"))
        on_host = member(request, "data_on", str, "device", choices=("device", "host")) == "host"
        self.resident = device == libraries.CPU or not on_host
        path = member(request, "weights", str)
        self.folder = os.path.dirname(path)  # the conductor removes it with all that is in it
        self.dtype = "float64" if self.precision == "fp64" else "float32"
        self._set_types("fp32", "float32")
        self.host = self._make_batches()
        self.weights = self._weights(path)
        with tf.device(device.path if self.resident else libraries.CPU.path):
            self.batches = [map_arrays(batch, self._place) for batch in self.host]
        self.reset(self.dropout)

    def on_device(self):
        return tf.device(self.device.path)

    # ------------------------------------------------------------ made once

    def _set_types(self, precision, dtype):
        libraries.set_precision(self.device, precision)
        keras.config.set_floatx(dtype)
        if dtype == "float64":
            keras.config.set_dtype_policy("float64")

    def _seed(self, seed=None):
        keras.utils.set_random_seed((self.seed if seed is None else seed) % (1 << 32))

    def _make_batches(self):
        self._seed()
        with tf.device(libraries.CPU.path):
            first = self.own.new_batch(self.batch)
            size = sum(x.nbytes for x in named_arrays(first, "").values())
            count = own_trace.count_batches(size)
            return [first] + [self.own.new_batch(self.batch) for _ in range(count - 1)]

    def _check_seeded(self):
        """That the other contenders will get the same batches."""
        self._seed()
        with tf.device(libraries.CPU.path):
            again = named_arrays(self.own.new_batch(self.batch), "batch")
        if any(not np.array_equal(again.get(name), x, equal_nan=x.dtype.kind == "f")
               for name, x in named_arrays(self.host[0], "batch").items()):
            raise Failure("BAD_DATA", f"batch({self.batch}) of {self.own.named} to return the same "
                          "numbers after keras.utils.set_random_seed", "others", "draw them from "
                          "random, numpy.random or tf.random, or from a generator that the file "
                          "seeds, as numpy.random.default_rng(0) in batch(n)")

    def _place(self, x):
        if x.dtype.kind == "f":
            x = x.astype(self.dtype)
        return tf.constant(x)

    def _new_model(self):
        """With weights of its own, on the device, from the first batch's shapes."""
        keras.utils.clear_session()  # names of layers begin anew
        self._set_types("fp32" if self.dtype == "float64" else self.precision, self.dtype)
        with self.on_device():
            model = self.own.new_model()
            self.told_training = {"training": self.training} if takes_training(model) else {}
            with tf.device(self.device.path):
                self._call_model(model, map_arrays(self.host[0][0], self._place), False)
        return model

    def _weights(self, path):
        """The initial ones, which the first contender writes."""
        self._seed()
        model = self._new_model()
        if not os.path.exists(path):
            self._check_seeded()
            with open(path + ".new", "wb") as file:
                np.savez(file, *(np.asarray(w, dtype=np.float32) for w in model.weights))
            os.replace(path + ".new", path)
        with open(path, "rb") as file, np.load(file) as found:
            weights = [found[name] for name in found.files]
        if [w.shape for w in weights] != [tuple(w.shape) for w in model.weights]:
            raise Failure("BAD_DATA", f"the same shapes of weights each time that "
                          f"{self.own.function}() of {self.own.named} is called", "others",
                          "build one model, or name the variants in files of their own")
        self.parameter_count = int(sum(np.prod(w.shape) for w in model.trainable_weights))
        return weights

    # ------------------------------------------------------------ the steps

    def reset(self, dropout, seed=None):
        """A new model with the prepared weights, a new optimizer, step 0; compiled when used."""
        self._seed(seed)
        self.model = self._new_model()
        if dropout == "counter":
            switch_dropout_off(self.model)
        with self.on_device():
            for variable, value in zip(self.model.weights, self.weights):
                variable.assign(value.astype(variable.dtype))
            self.optimizer = self.own.new_optimizer(self.model) if self.training else None
        self.step = 0
        # As model.fit has it: what is wrong in the user's functions stays what it is.
        compiled = {"autograph": False, "jit_compile": True if self.form == "xla" else None}
        self._train = tf.function(self._train_on, **compiled)
        self._infer = tf.function(self._infer_on, **compiled)
        self._whole = tf.function(self._whole_on, **compiled)

    def _call_model(self, model, inputs, training):
        given = list(inputs) if isinstance(inputs, tuple) else inputs
        told = {"training": training} if self.told_training else {}
        return model(given, **told)

    def _forward(self, inputs):
        """The output, in float32 also under mixed precision."""
        with tf.name_scope("forward"):
            return map_arrays(self._call_model(self.model, inputs, self.training),
                              lambda x: tf.cast(x, self.dtype) if x.dtype.is_floating else x)

    def _gradients(self, inputs, target):
        with tf.GradientTape() as tape:
            output = self._forward(inputs)
            with tf.name_scope("forward"):
                loss = self.own.loss(self.model, output, target)
                self.own.check_loss(loss)
        found = tape.gradient(loss, self.model.trainable_variables)
        return output, loss, found

    def _update(self, gradients):
        with tf.name_scope("optimizer"):
            self.optimizer.apply_gradients(
                [(g, v) for g, v in zip(gradients, self.model.trainable_variables)
                 if g is not None])

    def _train_on(self, inputs, target):
        _, loss, gradients = self._gradients(inputs, target)
        self._update(gradients)
        return loss

    def _infer_on(self, inputs, _target):
        return self._forward(inputs)

    def _whole_on(self, inputs, target):
        """(output, loss, gradients, None where there is none) of a step."""
        if not self.training:
            output = self._forward(inputs)
            loss = self.own.loss(self.model, output, target)
            self.own.check_loss(loss)
            return output, loss, []
        output, loss, gradients = self._gradients(inputs, target)
        gradients = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        self._update(gradients)
        return output, loss, gradients

    def _next(self):
        batch = self.batches[self.step % len(self.batches)]
        self.step += 1
        return batch

    def shapes(self):
        """Of no workload of the ladder: Keras has other layouts."""
        return {}

    def run_step(self):
        """One step: its loss, or in inference its output, which nobody has waited for."""
        return (self._train if self.training else self._infer)(*self._next())

    # ------------------------------------------------------------ what others are held against

    def _first_loss(self, dropout, seed):
        """Of the first batch with the initial weights."""
        self.reset(dropout, seed)
        with self.on_device():
            value = float(self._whole(*self._next())[1])
        self.own.check_finite(value)
        return value

    def draws(self):
        """What of a step is random: `none`, `dropout`, or the `model` itself."""
        def differs(dropout):
            first, second = (self._first_loss(dropout, self.seed + k) for k in range(2))
            return first != second
        return "model" if differs("counter") else "dropout" if differs("engine") else "none"

    def moved(self, steps, right):
        """How far a rounding of the weights moves the gradients and losses of trace `right`."""
        return own_trace.moved(right, (self.trace(steps, np.random.default_rng(self.seed + k))
                                       for k in range(2)))

    def _round_weights(self, rng):
        for variable in self.model.trainable_variables:
            value = variable.numpy()
            draw = rng.random(value.shape)
            variable.assign((value * (1 + own_trace.ROUNDING * (2 * draw - 1))).astype(self.dtype))

    def trace(self, steps, rounding=None):
        """The tensors of docs/runner-protocol.md by name; leaves the session as prepared.

        With `rounding`, a generator, of weights that are a little off.
        """
        self.reset("counter")
        with self.on_device():
            if rounding is not None:
                self._round_weights(rounding)
            tensors, losses = self._traced_steps(steps)
        tensors["losses"] = np.array(losses)
        self.reset(self.dropout)
        return {name: compared(value) for name, value in tensors.items()}

    def _traced_steps(self, steps):
        tensors, losses = {}, []
        names = [v.path for v in self.model.trainable_variables]
        for t in range(steps):
            inputs, target = self._next()
            output, loss, gradients = self._whole(inputs, target)
            losses.append(float(loss))
            self.own.check_finite(losses[-1])
            if t > 0:
                continue
            outputs = list(named_arrays(output, "output").items())[:4]
            tensors = {**named_arrays(inputs, "input"), **named_arrays(target, "target"),
                       **{name: x for name, x in outputs if not is_whole(x)}, "loss": loss}
            tensors.update({"grad." + name: g for name, g in zip(names, gradients)
                            if g is not None})
        return tensors, losses

    # ------------------------------------------------------------ for the phases

    def layer_names(self):
        return {layer.name for layer in self.model._flatten_layers(include_self=False)}

    def keep(self):
        """All that steps change, for put_back."""
        variables = [*self.model.variables, *(self.optimizer.variables if self.training else [])]
        return self.step, [(variable, variable.numpy()) for variable in variables]

    def put_back(self, kept):
        self.step, values = kept
        with self.on_device():
            for variable, value in values:
                variable.assign(value)


def compared(x):
    """A tensor as a trace has it: at most that many of its elements."""
    x = np.asarray(x)
    if x.size > own_trace.COMPARED_MOST or x.ndim > 4:
        x = x.reshape(-1)[::own_trace.stride(x.size)]
    return x.astype(np.float32 if x.dtype.kind == "f" else np.int64)
