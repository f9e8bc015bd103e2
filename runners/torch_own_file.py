"""A user's own model of PyTorch (own_file.py): its module, batches, loss and optimizer, checked.

Owns the sentences on what is wrong with them; knows no device and no training.
"""
import collections
import collections.abc
import random

import numpy as np
import torch
import torch.nn.functional as F

import own_file
import torch_forms
import torch_own_named
from runner_protocol import Failure

# parts: (inputs by position, inputs by name, target)
Batch = collections.namedtuple("Batch", "parts samples")
_DEFAULT_LOSS = "define loss(output, target) in the file"


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    torch.manual_seed(seed)


def map_tensors(value, change):
    """The same tuples, lists and dicts with `change` of each tensor; arrays become tensors."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, collections.abc.Mapping):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map_tensors(item, change) for item in value)
    return value


def named_tensors(value, name):
    """{name: tensor}: of several each has its key or its number behind a dot."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    found = {}
    items = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, (tuple, list)) else ())
    for key, item in items:
        found.update(named_tensors(item, f"{name}.{key}"))
    return found


def is_whole(tensor):
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def prediction_of(output):
    """The tensor that a default loss looks at: of Hugging Face's outputs the logits."""
    output = getattr(output, "logits", output)
    if not isinstance(output, torch.Tensor):
        raise Failure("BAD_DATA", "a tensor as the model's output for the default loss",
                      type(output).__name__, _DEFAULT_LOSS)
    return output


def _shapes(output, target):
    return f"an output {list(output.shape)} and a target {list(target.shape)}"


def default_loss(output, target):
    """Cross-entropy for whole numbers, mean squared error for real ones; the output itself where
    there is no target."""
    if target is None:
        return output
    output = prediction_of(output)
    if not isinstance(target, torch.Tensor):
        raise Failure("BAD_DATA", "a tensor as the target of the default loss",
                      type(target).__name__, _DEFAULT_LOSS)
    if target.dtype == torch.bool:
        raise Failure("BAD_DATA", "whole or real numbers as the target of the default loss",
                      "truth values", _DEFAULT_LOSS)
    if not is_whole(target):
        if output.shape != target.shape:
            raise Failure("BAD_DATA", "an output of the target's shape for the mean squared error",
                          _shapes(output, target), _DEFAULT_LOSS)
        return F.mse_loss(output, target)
    if output.dim() > 1 and output.shape[:1] + output.shape[2:] == target.shape:
        return F.cross_entropy(output, target)
    if output.shape[:-1] == target.shape:  # classes last, as language models have them
        return F.cross_entropy(output.flatten(0, -2), target.flatten())
    raise Failure("BAD_DATA", "an output [n, classes] for targets [n] of whole numbers",
                  _shapes(output, target), _DEFAULT_LOSS)


class TorchFile(own_file.OwnFile):
    """What a file of PyTorch defines, with what stands in for what it leaves out."""
    MODEL = "the torch.nn.Module"
    LIBRARIES = torch_own_named.LIBRARIES

    def __init__(self, named):
        super().__init__(named)
        self.loss = getattr(self.module, "loss", default_loss)

    def find_named(self):
        return torch_own_named.find(self.named)

    def new_model(self):
        model = self.call(self.function)
        if not isinstance(model, torch.nn.Module):
            raise Failure("BAD_DATA", f"{self.function}() of {self.named} to return a "
                          "torch.nn.Module", type(model).__name__, "correct the file")
        return model

    def new_batch(self, n):
        """(inputs by position, inputs by name, target) of batch(n)."""
        batch = self.take_batch(self.call("batch", n), f"batch({n})")
        if batch.samples != n:
            shape = list(next(iter(named_tensors(batch.parts[:2], "input").values())).shape)
            raise Failure("BAD_DATA", f"batch({n}) of {self.named} to return inputs of {n} samples "
                          f"([{n}, ...])", f"{shape}", "correct the file")
        return batch.parts

    def take_batch(self, value, what):
        """What the user's code returned, as a Batch: the target stands last."""
        value = map_tensors(value, lambda tensor: tensor)
        if isinstance(value, torch.Tensor):
            value = (value,)
        if not isinstance(value, (tuple, dict)) or not value:
            raise Failure("BAD_DATA", f"{what} of {self.named} to return a tensor, a tuple or "
                          "a dict of them", type(value).__name__, "correct the file")
        inputs, target = own_file.split_batch(value)
        first = next(iter(named_tensors(inputs, "input").values()), None)
        if first is None or first.dim() == 0:
            found = "no tensor" if first is None else f"{list(first.shape)}"
            raise Failure("BAD_DATA", f"{what} of {self.named} to return inputs whose first "
                          "dimension is of the samples", found, "correct the file")
        if self.loss is default_loss and isinstance(target, torch.Tensor) and is_whole(target):
            target = target.long()
        parts = ((), inputs, target) if isinstance(inputs, dict) else (inputs, {}, target)
        return Batch(parts, first.shape[0])

    def new_optimizer(self, model, device):
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            raise Failure("BAD_DATA", f"a model in {self.named} with parameters to train", "none",
                          "use --infer")
        make = getattr(self.module, "optimizer", None)
        if make is None:
            return torch.optim.AdamW(parameters,
                                     **torch_forms.fused(torch.optim.AdamW, device))
        optimizer = make(parameters)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise Failure("BAD_DATA", f"optimizer(parameters) of {self.named} to return a "
                          "torch.optim.Optimizer", type(optimizer).__name__, "correct the file")
        return optimizer

    def check_loss(self, loss):
        if not isinstance(loss, torch.Tensor) or loss.dim() != 0:
            found = (f"{list(loss.shape)}" if isinstance(loss, torch.Tensor)
                     else type(loss).__name__)
            what = "loss(output, target)" if self.loss is not default_loss else "the loss"
            raise Failure("BAD_DATA", f"{what} of {self.named} to be one number, a tensor without "
                          "a dimension", found, "take its mean, or " + _DEFAULT_LOSS)
        if not torch.isfinite(loss):
            raise Failure("NUMERIC", f"a finite loss in the first steps of {self.named}",
                          f"{loss.item()}", "check what batch(n) returns, the loss, and the "
                          "learning rate of optimizer(parameters)")
