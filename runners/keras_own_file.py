"""A user's own model of Keras (own_file.py): its model, batches, loss and optimizer, checked.

Owns the sentences on what is wrong with them; knows no device and no training.
"""
import collections.abc
import inspect
import re

import keras
import numpy as np
import tensorflow as tf

import own_file
from runner_protocol import Failure

_DEFAULT_LOSS = "compile the model with a loss, or define loss(output, target) in the file"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def map_arrays(value, change):
    """The same tuples, lists (as tuples) and dicts with `change` of each array or tensor."""
    if isinstance(value, (np.ndarray, np.generic)) or tf.is_tensor(value):
        return change(value)
    if isinstance(value, collections.abc.Mapping):
        return {key: map_arrays(item, change) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map_arrays(item, change) for item in value)
    return value


def named_arrays(value, name):
    """{name: array}: of several each has its key or its number behind a dot."""
    if isinstance(value, (np.ndarray, np.generic)) or tf.is_tensor(value):
        return {name: value}
    found = {}
    items = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, (tuple, list)) else ())
    for key, item in items:
        found.update(named_arrays(item, f"{name}.{key}"))
    return found


def is_whole(x):
    return tf.as_dtype(x.dtype).is_integer


def _makes_probabilities(model):
    """Whether its last layer is a softmax, so that cross-entropy is given no logits."""
    last = model.layers[-1] if model.layers else None
    return isinstance(last, keras.layers.Softmax) or (
        getattr(last, "activation", None) is keras.activations.softmax)


class KerasFile(own_file.OwnFile):
    """What a file of Keras defines, with what stands in for what it leaves out."""
    MODEL = "the keras.Model"

    def new_model(self):
        model = self.call(self.function)
        if not isinstance(model, keras.Model):
            raise Failure("BAD_DATA", f"{self.function}() of {self.named} to return a keras.Model",
                          type(model).__name__, "correct the file; a model of PyTorch is measured "
                          "with --engine torch")
        return model

    def new_batch(self, n):
        """(what the model is given, target) of batch(n), arrays of numpy."""
        value = self.call("batch", n)
        value = map_arrays(value, np.asarray)
        if isinstance(value, np.ndarray):
            value = (value,)
        if not isinstance(value, (tuple, dict)) or not value:
            raise Failure("BAD_DATA", f"batch({n}) of {self.named} to return an array, a tuple or "
                          "a dict of them", type(value).__name__, "correct the file")
        if isinstance(value, dict):
            names = list(value)
            inputs = {name: value[name] for name in (names[:-1] or names)}
            target = value[names[-1]] if len(names) > 1 else None
        else:
            inputs, target = (value[:-1], value[-1]) if len(value) > 1 else (value, None)
            inputs = inputs[0] if len(inputs) == 1 else inputs
        first = next(iter(named_arrays(inputs, "input").values()), None)
        found = "no array" if first is None else f"{list(first.shape)}"
        if first is None or first.ndim == 0 or first.shape[0] != n:
            raise Failure("BAD_DATA", f"batch({n}) of {self.named} to return inputs of {n} samples "
                          f"([{n}, ...])", found, "correct the file")
        return inputs, target

    def new_optimizer(self, model):
        """The file's, or that which the model was compiled with, or AdamW."""
        variables = model.trainable_variables
        if not variables:
            raise Failure("BAD_DATA", f"a model in {self.named} with weights to train", "none",
                          "use --infer")
        make = getattr(self.module, "optimizer", None)
        if make is not None:
            optimizer = make(variables)
        else:
            optimizer = getattr(model, "optimizer", None) or keras.optimizers.AdamW()
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise Failure("BAD_DATA", f"optimizer(variables) of {self.named} to return a "
                          "keras.optimizers.Optimizer", type(optimizer).__name__,
                          "correct the file")
        optimizer.build(variables)
        return optimizer

    def loss(self, model, output, target):
        """The file's, or that which the model was compiled with, or by the target: cross-entropy
        for whole numbers, mean squared error for real ones.  What layers add is part of it."""
        added = model.losses
        if hasattr(self.module, "loss"):
            found = self.module.loss(output, target)
        elif getattr(model, "compiled", False) and getattr(model, "loss", None) is not None:
            return model.compute_loss(y=target, y_pred=output)
        else:
            found = self._default_loss(model, output, target)
        return tf.add_n([found, *(tf.cast(each, found.dtype) for each in added)]) if added \
            else found

    def _default_loss(self, model, output, target):
        if target is None:
            return output
        if not tf.is_tensor(output) or not tf.is_tensor(target):
            raise Failure("BAD_DATA", "a tensor each as output and target of the default loss",
                          f"{type(output).__name__} and {type(target).__name__}", _DEFAULT_LOSS)
        shapes = f"an output {output.shape.as_list()} and a target {target.shape.as_list()}"
        if not is_whole(target):
            if output.shape != target.shape:
                raise Failure("BAD_DATA", "an output of the target's shape for the mean squared "
                              "error", shapes, _DEFAULT_LOSS)
            return tf.reduce_mean(tf.square(output - target))
        if output.shape[:-1] != target.shape:
            raise Failure("BAD_DATA", "an output [n, classes] for targets [n] of whole numbers",
                          shapes, _DEFAULT_LOSS)
        logits = not _makes_probabilities(model)
        return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(target, output,
                                                                           from_logits=logits))

    def check_loss(self, loss):
        if not tf.is_tensor(loss) or loss.shape.rank != 0:
            found = f"{loss.shape.as_list()}" if tf.is_tensor(loss) else type(loss).__name__
            raise Failure("BAD_DATA", f"the loss of {self.named} to be one number, a tensor "
                          "without a dimension", found, "take its mean, or " + _DEFAULT_LOSS)

    def check_finite(self, value):
        if not np.isfinite(value):
            raise Failure("NUMERIC", f"a finite loss in the first steps of {self.named}",
                          f"{value}", "check what batch(n) returns, the loss, and the learning "
                          "rate of the optimizer")

    def text_of(self, error):
        """Keras and TensorFlow tell first where it happened, and then what."""
        lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
        where = ("Exception encountered", "Graph execution error", "Detected at node", "<stack",
                 "in user code", "File \"")
        told = [line for line in lines if not line.startswith(where)]
        return (told or lines or [""])[0]


def takes_training(model):
    """Whether it wants to be told that it is trained."""
    parameters = inspect.signature(model.call).parameters.values()
    return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)
