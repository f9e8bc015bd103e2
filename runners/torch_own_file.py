"""A user's own model as a file or module: what it defines, found, called and checked.

It is the user's code, and runs as they do: it sees the folder of the file, not the modules of this
program.  Owns the sentences on what is wrong with it; knows no device and no training.
"""
import collections
import collections.abc
import importlib
import importlib.util
import linecache
import os
import random
import sys
import traceback

import numpy as np
import torch
import torch.nn.functional as F

import torch_forms
import torch_own_named
from runner_protocol import Failure

HERE = os.path.dirname(os.path.realpath(__file__))
# parts: (inputs by position, inputs by name, target)
Batch = collections.namedtuple("Batch", "parts samples")
_DEFAULT_LOSS = "define loss(output, target) in the file"


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    torch.manual_seed(seed)


def give_way():
    """From here on the names of our modules are free for those of the user."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and name != "__main__" and os.path.dirname(os.path.realpath(path)) == HERE:
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != HERE]


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


def _is_count(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < float("inf")


def is_whole(tensor):
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def prediction_of(output):
    """The tensor that a default loss looks at: of Hugging Face's outputs the logits."""
    output = getattr(output, "logits", output)
    if not isinstance(output, torch.Tensor):
        raise Failure("BAD_DATA", "a tensor as the model's output for the default loss",
                      type(output).__name__, _DEFAULT_LOSS)
    return output


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
    shapes = f"an output {list(output.shape)} and a target {list(target.shape)}"
    if not is_whole(target):
        if output.shape != target.shape:
            raise Failure("BAD_DATA", "an output of the target's shape for the mean squared error",
                          shapes, _DEFAULT_LOSS)
        return F.mse_loss(output, target)
    if output.dim() > 1 and output.shape[:1] + output.shape[2:] == target.shape:
        return F.cross_entropy(output, target)
    if output.shape[:-1] == target.shape:  # classes last, as language models have them
        return F.cross_entropy(output.flatten(0, -2), target.flatten())
    raise Failure("BAD_DATA", "an output [n, classes] for targets [n] of whole numbers", shapes,
                  _DEFAULT_LOSS)


class OwnFile:
    """What the file defines, with what stands in for what it leaves out."""

    def __init__(self, named):
        """`named`: the path of a file, or module:function."""
        self.asked, self.named, self.function = named, named, "model"
        self.path = os.path.realpath(named)
        self.folder = os.path.dirname(self.path)
        is_file = named.endswith(".py")
        if is_file and not os.path.isfile(self.path):
            raise Failure("IO", f"the file {named}", "none", "check its path")
        self.named_model = named.partition(":")[0] in torch_own_named.LIBRARIES
        give_way()
        if not is_file:
            self.folder = os.getcwd()
        if not is_file and not self.named_model:
            self.named, _, self.function = named.partition(":")
        if self.folder in sys.path:
            sys.path.remove(self.folder)
        sys.path.insert(0, self.folder)
        try:
            self.module = self._import(is_file)
        except Failure:
            raise
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            raise self.failure(error, "to be imported") from None
        for name in (self.function, "batch"):
            self._check_function(name, needed=True)
        for name in ("loss", "optimizer", "flops", "batches"):
            self._check_function(name, needed=False)
        self.loss = getattr(self.module, "loss", default_loss)

    def _import(self, is_file):
        if self.named_model:
            return torch_own_named.find(self.named)
        return self._import_file() if is_file else importlib.import_module(self.named)

    def _import_file(self):
        name = os.path.basename(self.path)[:-len(".py")]
        if name in sys.modules:  # torch.py is a name that users give, too
            name = "own_" + name
        spec = importlib.util.spec_from_file_location(name, self.path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def _check_function(self, name, needed):
        found = getattr(self.module, name, None)
        if needed and found is None:
            what = {"batch": "batch(n), which returns a batch of n samples"}.get(
                name, f"{name}(), which returns the torch.nn.Module")
            raise Failure("BAD_DATA", f"{self.named} to define {what}", f"no '{name}'", "add it")
        if found is not None and not callable(found):
            raise Failure("BAD_DATA", f"'{name}' in {self.named} to be a function",
                          type(found).__name__, "correct it")

    def is_of_user(self, path):
        """Whether a file lies in the user's folder, as code of their own."""
        path = os.path.realpath(path)
        apart = (HERE + os.sep, os.path.realpath(sys.prefix) + os.sep)
        return (path.startswith(self.folder + os.sep) and not path.startswith(apart)
                and os.sep + "site-packages" + os.sep not in path)

    def place_of(self, error):
        """The last line of the user's own that led to an error: " (mymodel.py, line 3: …)"."""
        if isinstance(error, SyntaxError) and error.filename:
            return (f" ({os.path.basename(error.filename)}, line {error.lineno}: "
                    f"{(error.text or '').strip()})")
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = os.path.realpath(frame.filename)
            if self.is_of_user(path):
                line = linecache.getline(frame.filename, frame.lineno).strip()
                return f" ({os.path.relpath(path, self.folder)}, line {frame.lineno}: {line})"
        return ""

    def failure(self, error, wanted="to run"):
        """What went wrong in the user's code, in one sentence."""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        text = (f"{type(error).__name__}: {message}".splitlines() or [""])[0]
        return Failure("BAD_DATA", f"{self.named} {wanted}", text + self.place_of(error),
                       "correct the file")

    def new_model(self):
        model = getattr(self.module, self.function)()
        if not isinstance(model, torch.nn.Module):
            raise Failure("BAD_DATA", f"{self.function}() of {self.named} to return a "
                          "torch.nn.Module", type(model).__name__, "correct the file")
        return model

    def new_batch(self, n):
        """(inputs by position, inputs by name, target) of batch(n)."""
        batch = self.take_batch(self.module.batch(n), f"batch({n})")
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
        inputs, target = value, None
        if isinstance(value, dict):
            names = list(value)
            inputs = {name: value[name] for name in (names[:-1] or names)}
            target = value[names[-1]] if len(names) > 1 else None
        elif len(value) > 1:
            inputs, target = value[:-1], value[-1]
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

    def unit(self):
        """What its rates count, as the file tells: `unit` = "token", or ("token", 512) of which a
        sample has so many; empty where it does not."""
        told = getattr(self.module, "unit", None)
        if told is None:
            return {}
        name, count = told if isinstance(told, tuple) and len(told) == 2 else (told, 1)
        if not isinstance(name, str) or not name or not _is_count(count):
            raise Failure("BAD_DATA", f"'unit' in {self.named} to be a word, or a word and how "
                          'many a sample has, as ("token", 512)', repr(told), "correct it")
        return {"unit": name, "units_a_sample": count}

    def flops(self, n):
        """The arithmetic of a step as the file tells it; None where it does not."""
        tell = getattr(self.module, "flops", None)
        return None if tell is None else float(tell(n))
