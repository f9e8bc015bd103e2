"""What a `prepare` asks for, checked, and the files that it names: the same for every engine.

Owns the checks, and knows numpy alone.  An engine's session is a Job with data, model and optimizer
on a device.
"""
import contextlib
import math
import os
import platform
import subprocess

import numpy as np

import safetensors_io
from runner_protocol import Failure, member

CLASSES = 10
_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "OOM when allocat")


def load_images(path, workload, shape, needs_order):
    """The tensors of a data file, checked against the workload: (images, labels, order or None)."""
    tensors = safetensors_io.read(path)

    def tensor(name, dtype, dimensions):
        found = tensors.get(name)
        if found is None or found.dtype != dtype or found.ndim != dimensions or found.size == 0:
            what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise Failure("BAD_DATA", f"'{name}' as {np.dtype(dtype)} of {dimensions} dimensions, "
                          f"not empty, in {path}", what, "write the data file again")
        return found

    images, labels = tensor("images", np.uint8, 4), tensor("labels", np.int32, 1)
    if images.shape[1:] != shape or len(labels) != len(images):
        raise Failure("BAD_DATA", f"images [N, {', '.join(map(str, shape))}] and N labels for "
                      f"{workload} in {path}", f"{list(images.shape)} and {len(labels)} labels",
                      "use the data of this workload")
    limits = [("labels", labels, CLASSES)]
    order = tensor("order", np.int32, 1) if needs_order else None
    if needs_order:
        limits.append(("order", order, len(images)))
    for name, values, limit in limits:
        if values.min() < 0 or values.max() >= limit:
            raise Failure("BAD_DATA", f"'{name}' from 0 to {limit - 1} in {path}",
                          f"{values.min()} to {values.max()}", "write the data file again")
    return images, labels, order


def load_weights(path, expected):
    """The tensors of a weights file by name; `expected` has the shape of each."""
    tensors = safetensors_io.read(path)
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is None or found.dtype != np.float32 or found.shape != shape:
            what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise Failure("BAD_DATA", f"'{name}' as float32 {list(shape)} in {path}", what,
                          "use weights of this workload")
    unknown = [name for name in tensors if name not in expected]
    if unknown:
        raise Failure("BAD_DATA", f"the weights {', '.join(expected)} alone in {path}",
                      f"also '{unknown[0]}'", "use weights of this workload")
    return {name: tensors[name] for name in expected}


def read_optimizer(request):
    """The optimizer's name and settings, checked; `betas` and `epsilon` without sgd."""
    name = member(request, "name", str, choices=("sgd", "adam", "adamw"))
    found = {"name": name, "lr": member(request, "lr", float, least=0),
             "weight_decay": member(request, "weight_decay", float, 0.0, least=0)}
    if name == "sgd":
        found["momentum"] = member(request, "momentum", float, 0.0, least=0)
        return found
    found["betas"] = (member(request, "beta1", float, 0.9, least=0),
                      member(request, "beta2", float, 0.999, least=0))
    found["epsilon"] = member(request, "epsilon", float, 1e-8, least=0)
    if max(found["betas"]) >= 1:
        raise Failure("USAGE", "'beta1' and 'beta2' below 1", max(found["betas"]),
                      "correct the request")
    return found


class Job:
    """The members of a `prepare`, and the number of the next step."""

    def __init__(self, request, input_shapes):
        self.warnings = []
        self.workload = member(request, "workload", str)
        self.batch = member(request, "batch", int, least=1)
        self.training = member(request, "mode", str, "train", choices=("train", "infer")) == "train"
        self.seed = member(request, "seed", int, 0, least=0)
        if self.seed >= 1 << 64:
            raise Failure("USAGE", "'seed' below 2^64", self.seed, "use a smaller one")
        self.dropout = member(request, "dropout", str, "engine", choices=("engine", "counter"))
        self.precision = member(request, "precision", str, "fp32")
        if self.precision not in ("fp32", "tf32", "bf16"):
            raise Failure("UNAVAILABLE", "a precision fp32, tf32 or bf16", f"'{self.precision}'",
                          "use one of these")
        if self.workload not in input_shapes:
            raise Failure("UNAVAILABLE", f"a workload among {', '.join(input_shapes)}",
                          f"'{self.workload}'", "choose one that this runner has")
        channels, _, own_size = input_shapes[self.workload]
        self.width = member(request, "width", int, 1, least=1)
        self.size = member(request, "size", int, own_size, least=1)
        self.shape = (channels, self.size, self.size)
        self.optimizer_settings = None
        if self.training:
            self.optimizer_settings = read_optimizer(member(request, "optimizer", dict))
        self.on_host = member(request, "data_on", str, "device",
                              choices=("device", "host")) == "host"
        self.usable, self.step = 0, 0

    def read_data(self, request):
        """(images [N, C, H, W], labels, order); from here on `next_rows` knows the batches."""
        path = member(request, "data", str)
        self.folder = os.path.dirname(path)  # the conductor removes it with all that is in it
        images, labels, order = load_images(path, self.workload, self.shape, True)
        self.usable = len(order) - len(order) % self.batch
        if self.usable == 0:
            raise Failure("BAD_DATA", f"an order of at least one batch of {self.batch} in {path}",
                          f"{len(order)} images", "use a smaller batch")
        return images, labels, order

    def next_rows(self):
        """Which part of the order the next step trains on."""
        start = self.step * self.batch % self.usable
        return slice(start, start + self.batch)

    def read_normalization(self, request):
        """One a channel: what is subtracted from a pixel, and what it is multiplied by then."""
        normalize = member(request, "normalize", dict)
        values = {}
        for name in ("mean", "std"):
            listed = member(normalize, name, list)
            if len(listed) != self.shape[0]:
                raise Failure("USAGE", f"{self.shape[0]} values in 'normalize.{name}', one a "
                              "channel", len(listed), "correct the request")
            values[name] = [member({name: value}, name, float) for value in listed]
        if min(values["std"]) <= 0:
            raise Failure("USAGE", "'normalize.std' above 0", min(values["std"]),
                          "correct the request")
        return [255 * mean for mean in values["mean"]], [1 / (255 * std) for std in values["std"]]


def in_json(loss):
    """A loss as the protocol has it: null where it is no finite number."""
    return loss if loss is not None and math.isfinite(loss) else None


def failure_of(error, title, driver_signs):
    """What the conductor is told of an exception that no op of the engine `title` foresaw."""
    text = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _MEMORY_SIGNS):
        return Failure("NO_MEMORY", "the memory that this needs", f"too little ({text})",
                       "use a smaller batch, then prepare again")
    if any(sign in str(error) for sign in driver_signs):
        return Failure("DRIVER", "the device to work", f"an error of its driver ({text})",
                       "start the runner again, or update the driver")
    return Failure("FAILED", f"{title} to do this", text, "the runner's log has the place")


def cpu_name():
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_flags():
    """What the processor can do, in Linux's words; empty where the system does not tell."""
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            line = next((line for line in file if line.startswith(("flags", "Features"))), "")
        return set(line.partition(":")[2].split())
    return set()
