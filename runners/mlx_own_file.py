"""A user's own model of MLX (own_file.py): its module, batches, loss and optimizer, checked.

Owns the sentences on what is wrong with them; knows no device and no training.
"""
import collections.abc
import random

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

import own_file
from runner_protocol import Failure

_DEFAULT_LOSS = "define loss(output, target) in the file"


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    mx.random.seed(seed)


def is_array(value):
    return isinstance(value, (mx.array, np.ndarray, np.generic))


def map_arrays(value, change):
    """The same tuples, lists (as tuples) and dicts with `change` of each array."""
    if is_array(value):
        return change(value)
    if isinstance(value, collections.abc.Mapping):
        return {key: map_arrays(item, change) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map_arrays(item, change) for item in value)
    return value


def named_arrays(value, name):
    """{name: array}: of several each has its key or its number behind a dot."""
    if is_array(value):
        return {name: value}
    found = {}
    items = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, (tuple, list)) else ())
    for key, item in items:
        found.update(named_arrays(item, f"{name}.{key}"))
    return found


def is_whole(x):
    return mx.issubdtype(x.dtype, mx.integer)


def to_mlx(x):
    """Real numbers of 64 bits, which numpy draws, are float32 to MLX."""
    x = mx.array(x)
    return x.astype(mx.float32) if x.dtype == mx.float64 else x


def default_loss(output, target):
    """Cross-entropy for whole numbers, mean squared error for real ones; the output itself where
    there is no target."""
    if target is None:
        return output
    if not isinstance(output, mx.array) or not isinstance(target, mx.array):
        raise Failure("BAD_DATA", "an array each as output and target of the default loss",
                      f"{type(output).__name__} and {type(target).__name__}", _DEFAULT_LOSS)
    shapes = f"an output {list(output.shape)} and a target {list(target.shape)}"
    if not is_whole(target):
        if output.shape != target.shape:
            raise Failure("BAD_DATA", "an output of the target's shape for the mean squared error",
                          shapes, _DEFAULT_LOSS)
        return nn.losses.mse_loss(output, target)
    if output.shape[:-1] != target.shape:
        raise Failure("BAD_DATA", "an output [n, classes] for targets [n] of whole numbers", shapes,
                      _DEFAULT_LOSS)
    return nn.losses.cross_entropy(output, target, reduction="mean")


class MlxFile(own_file.OwnFile):
    """What a file of MLX defines, with what stands in for what it leaves out."""
    MODEL = "the mlx.nn.Module"

    def __init__(self, named):
        super().__init__(named)
        self.loss = getattr(self.module, "loss", default_loss)

    def new_model(self):
        model = self.call(self.function)
        if not isinstance(model, nn.Module):
            raise Failure("BAD_DATA", f"{self.function}() of {self.named} to return a "
                          "mlx.nn.Module", type(model).__name__, "correct the file; a model of "
                          "PyTorch is measured with --engine torch")
        return model

    def new_batch(self, n):
        """(inputs by position, inputs by name, target) of batch(n), arrays of MLX."""
        value = map_arrays(self.call("batch", n), to_mlx)
        if isinstance(value, mx.array):
            value = (value,)
        if not isinstance(value, (tuple, dict)) or not value:
            raise Failure("BAD_DATA", f"batch({n}) of {self.named} to return an array, a tuple or "
                          "a dict of them", type(value).__name__, "correct the file")
        inputs, target = own_file.split_batch(value)
        first = next(iter(named_arrays(inputs, "input").values()), None)
        found = "no array" if first is None else f"{list(first.shape)}"
        if first is None or first.ndim == 0 or first.shape[0] != n:
            raise Failure("BAD_DATA", f"batch({n}) of {self.named} to return inputs of {n} samples "
                          f"([{n}, ...])", found, "correct the file")
        return ((), inputs, target) if isinstance(inputs, dict) else (inputs, {}, target)

    def new_optimizer(self, model):
        parameters = model.trainable_parameters()
        if not named_arrays(parameters, ""):
            raise Failure("BAD_DATA", f"a model in {self.named} with parameters to train", "none",
                          "use --infer")
        make = getattr(self.module, "optimizer", None)
        optimizer = make(parameters) if make is not None else optim.AdamW(1e-3)
        if not isinstance(optimizer, optim.Optimizer):
            raise Failure("BAD_DATA", f"optimizer(parameters) of {self.named} to return an "
                          "mlx.optimizers.Optimizer", type(optimizer).__name__, "correct the file")
        optimizer.init(parameters)
        return optimizer

    def check_loss(self, loss):
        if not isinstance(loss, mx.array) or loss.ndim != 0:
            found = f"{list(loss.shape)}" if isinstance(loss, mx.array) else type(loss).__name__
            what = "loss(output, target)" if self.loss is not default_loss else "the loss"
            raise Failure("BAD_DATA", f"{what} of {self.named} to be one number, an array without "
                          "a dimension", found, "take its mean, or " + _DEFAULT_LOSS)

    def check_finite(self, value):
        if not np.isfinite(value):
            raise Failure("NUMERIC", f"a finite loss in the first steps of {self.named}",
                          f"{value}", "check what batch(n) returns, the loss, and the learning "
                          "rate of the optimizer")
