"""A user's own model of MLX in training or inference on one device: the session of an MlxFile
(mlx_own_file.py).

Batches are made before the clock runs, from a seed, the same for every contender; the first one
saves the initial weights, and all load them.  What is compared between contenders has dropout
switched off: no two devices draw alike.
"""
import os

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

import mlx_libraries as libraries
import mlx_weights
import own_trace
from mlx_loop import Loop
from mlx_own_file import map_arrays, named_arrays, seed_all
from runner_protocol import Failure, member

# Layers that draw numbers in training alone; they keep what is left of 1.
_DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.Dropout3d)


def switch_dropout_off(model):
    for module in model.modules():
        if isinstance(module, _DROPOUTS):
            module._p_1 = 1


class Session(Loop):
    def __init__(self, request, device, own):
        self.own, self.device, self.warnings = own, device, []
        self.batch = member(request, "batch", int, least=1)
        self.training = member(request, "mode", str, "train", choices=("train", "infer")) == "train"
        self.seed = member(request, "seed", int, 0, least=0)
        self.precision = member(request, "precision", str, "fp32",
                                choices=("fp32", "tf32", "bf16", "fp64"))
        self.dropout = member(request, "dropout", str, "engine", choices=("engine", "counter"))
        on_host = member(request, "data_on", str, "device", choices=("device", "host")) == "host"
        libraries.check_precision(device, self.precision)
        self.dtype = mx.float64 if self.precision == "fp64" else mx.float32
        self.resident = device == libraries.CPU or not on_host
        self.batches = [map_arrays(batch, self._place) for batch in self._make_batches()]
        self.weights = self._weights(member(request, "weights", str))
        self.compiled = self.compiled and self._compiles()
        self.reset(self.dropout)

    # ------------------------------------------------------------ made once

    def _make_batches(self):
        seed_all(self.seed)
        first = self.own.new_batch(self.batch)
        count = own_trace.count_batches(sum(x.nbytes for x in named_arrays(first, "").values()))
        return [first] + [self.own.new_batch(self.batch) for _ in range(count - 1)]

    def _check_seeded(self):
        """That the other contenders will get the same batches."""
        seed_all(self.seed)
        first = self.own.new_batch(self.batch)
        seed_all(self.seed)
        again = named_arrays(self.own.new_batch(self.batch), "batch")
        if any(name not in again or not mx.array_equal(again[name], x, equal_nan=True)
               for name, x in named_arrays(first, "batch").items()):
            raise Failure("BAD_DATA", f"batch({self.batch}) of {self.own.named} to return the same "
                          "numbers after random, numpy.random and mlx.core.random are seeded",
                          "others", "draw them from these, or from a generator that the file "
                          "seeds, as numpy.random.default_rng(0) in batch(n)")

    def _place(self, x):
        x = x.astype(self.dtype) if x.dtype == mx.float32 else x
        mx.eval(x)
        return x if self.resident else np.array(x)

    def _weights(self, path):
        """The initial ones by name, which the first contender writes."""
        seed_all(self.seed)
        made = dict(tree_flatten(self.own.new_model().parameters()))
        if not os.path.exists(path):
            self._check_seeded()
            with open(path + ".new", "wb") as file:
                np.savez(file, **{name: np.asarray(x.astype(mx.float32) if x.dtype == mx.bfloat16
                                                   else x) for name, x in made.items()})
            os.replace(path + ".new", path)
        with open(path, "rb") as file, np.load(file) as found:
            weights = {name: found[name] for name in found.files}
        if {n: x.shape for n, x in weights.items()} != {n: x.shape for n, x in made.items()}:
            raise Failure("BAD_DATA", f"the same names and shapes of weights each time that "
                          f"{self.own.function}() of {self.own.named} is called", "others",
                          "build one model, or name the variants in files of their own")
        return weights

    def _compiles(self):
        """Whether MLX can compile the step: it cannot where the file reads a number of it."""
        self.reset(self.dropout)
        try:
            self.run_step()
            libraries.synchronize()
            return True
        except (RuntimeError, ValueError) as error:
            if "compile" not in str(error):
                raise
            self.warnings.append(f"MLX cannot compile the step of {self.own.named}, which is "
                                 f"measured as it is: {self.own.text_of(error)}")
            return False

    # ------------------------------------------------------------ the steps

    def reset(self, dropout, seed=None):
        """A new model with the prepared weights, a new optimizer, step 0."""
        seed_all(self.seed if seed is None else seed)
        self.model = self.own.new_model()
        if dropout == "counter":
            switch_dropout_off(self.model)
        self.model.update(tree_unflatten([(name, mx.array(x))
                                          for name, x in self.weights.items()]))
        self.model.set_dtype(self.dtype)
        self.model.train(self.training)
        self.parameter_count = sum(x.size for _, x in
                                   tree_flatten(self.model.trainable_parameters()))
        self.optimizer = self.own.new_optimizer(self.model) if self.training else None
        self.begin()

    def next_given(self):
        batch = self.batches[self.step % len(self.batches)]
        return batch if self.resident else map_arrays(batch, mx.array)

    def batch_of(self, given):
        positional, named, target = given
        return (positional, named), target

    def output_of(self, inputs):
        return self.model(*inputs[0], **inputs[1])

    def whole(self, inputs, targets):
        output = self.output_of(inputs)
        loss = self.own.loss(output, targets)
        self.own.check_loss(loss)
        return loss, output

    def shapes(self):
        """By what a workload of the ladder is known: its weights and its first input, as PyTorch
        has them."""
        first = next(iter(named_arrays(self.batches[0][0] or self.batches[0][1], "").values()))
        shape = list(first.shape)
        return {"weights": [{"name": p.name, "shape": list(p.shape)}
                            for p in mlx_weights.parameters(self.model) if p.trained],
                "input": [shape[0], shape[3], *shape[1:3]] if len(shape) == 4 else shape}

    # ------------------------------------------------------------ what others are held against

    def _first_loss(self, dropout, seed):
        """Of the first batch with the initial weights."""
        self.reset(dropout, seed)
        value = self.whole_step()[2].item()
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
        rounded = []
        for name, x in tree_flatten(self.model.trainable_parameters()):
            value = np.array(x)
            draw = rng.random(value.shape)
            rounded.append((name, mx.array(value * (1 + own_trace.ROUNDING * (2 * draw - 1)),
                                           self.dtype)))
        self.model.update(tree_unflatten(rounded))

    def trace(self, steps, rounding=None):
        """The tensors of docs/runner-protocol.md by name; leaves the session as prepared.

        With `rounding`, a generator, of weights that are a little off.
        """
        self.reset("counter")
        if rounding is not None:
            self._round_weights(rounding)
        tensors, losses = {}, []
        for t in range(steps):
            inputs, target, loss, output, gradients = self.whole_step()
            losses.append(loss.item())
            self.own.check_finite(losses[-1])
            if t == 0:
                given = inputs[0] if len(inputs[0]) != 1 else inputs[0][0]
                outputs = list(named_arrays(output, "output").items())[:4]
                tensors = {**named_arrays(inputs[1] or given, "input"),
                           **named_arrays(target, "target"),
                           **{name: x for name, x in outputs
                              if mx.issubdtype(x.dtype, mx.floating)}, "loss": loss,
                           **{"grad." + name: x for name, x in tree_flatten(gradients)}}
        tensors["losses"] = np.array(losses)
        self.reset(self.dropout)
        return {name: compared(value) for name, value in tensors.items()}


def compared(x):
    """A tensor as a trace has it: at most so many of its elements."""
    x = np.asarray(x)
    if x.size > own_trace.COMPARED_MOST or x.ndim > 4:
        x = x.reshape(-1)[::own_trace.stride(x.size)]
    return x.astype(np.float32 if x.dtype.kind == "f" else np.int64)
