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
import workload_fields
from runner_protocol import Failure, member

_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "OOM when allocat",
                 "nable to allocate")


def _windows(tensors, name, path, field):
    """A field whose samples overlap: a view of its one dimension."""
    values, stride = tensors[name], int(tensors[name + ".stride"])
    each = int(np.prod(field.shape))
    if values.ndim != 1 or stride < 1 or len(values) < each or (len(values) - each) % stride:
        raise Failure("BAD_DATA", f"'{name}' of one dimension that windows of {each} elements, "
                      f"{stride} apart, cover exactly in {path}", f"{list(values.shape)}",
                      "write the data file again")
    if stride == each:
        return values.reshape(-1, each)
    return np.lib.stride_tricks.sliding_window_view(values, each)[::stride]


def overlaps(values):
    """Whether the samples of a field are windows over one row of numbers."""
    return values.ndim == 2 and values.strides[0] != values.shape[1] * values.itemsize


def window_text(values):
    """(the numbers that overlapping windows lie over, from one window to the next)."""
    stride = values.strides[0] // values.itemsize
    count = (len(values) - 1) * stride + values.shape[1]
    return np.lib.stride_tricks.as_strided(values, (count,), (values.itemsize,)), stride


def load_fields(path, workload, fields, needs_order):
    """The fields of a data file, checked against the workload, and its order (or None).

    Samples that overlap in the file overlap here too.
    """
    tensors = safetensors_io.read(path)

    def tensor(name, dtype, dimensions):
        found = tensors.get(name)
        if found is None or found.dtype != dtype or found.ndim != dimensions or found.size == 0:
            what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise Failure("BAD_DATA", f"'{name}' as {np.dtype(dtype)} of {dimensions} dimensions, "
                          f"not empty, in {path}", what, "write the data file again")
        return found

    def check_range(name, array, least, below):
        if array.min() < least or array.max() >= below:
            raise Failure("BAD_DATA", f"'{name}' from {least} to {below - 1} in {path}",
                          f"{array.min()} to {array.max()}", "write the data file again")

    def samples(name, field):
        if name + ".stride" in tensors:
            tensor(name, field.dtype, 1)
            return _windows(tensors, name, path, field)
        return tensor(name, field.dtype, 1 + len(field.shape))

    values = {name: samples(name, field) for name, field in fields.items()}
    count = len(next(iter(values.values()))) if values else 1 << 31
    for name, field in fields.items():
        if values[name].shape != (count, *field.shape):
            raise Failure("BAD_DATA", f"'{name}' {[count, *field.shape]} for {workload} in {path}",
                          f"{list(values[name].shape)}", "use the data of this workload")
        if field.below is not None:
            check_range(name, values[name], field.least, field.below)
    if not needs_order:
        return values, None
    order = tensor("order", np.int32, 1)
    check_range("order", order, 0, count)
    return values, order


def is_counter(name):
    """Batch norm's number of steps in PyTorch, which has no meaning where it has a momentum."""
    return name.endswith(".num_batches_tracked")


def load_weights(path, expected):
    """The tensors of a weights file by name; `expected` has the shape of each."""
    tensors = safetensors_io.read(path)
    expected = {name: shape for name, shape in expected.items() if not is_counter(name)}
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is not None and shape == () and found.shape == (1,):
            found = tensors[name] = found.reshape(())  # the native engine knows no number alone
        if found is None or found.dtype != np.float32 or found.shape != shape:
            what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise Failure("BAD_DATA", f"'{name}' as float32 {list(shape)} in {path}", what,
                          "use weights of this workload")
    unknown = [name for name in tensors if name not in expected and not is_counter(name)]
    if unknown:
        raise Failure("BAD_DATA", f"the weights {', '.join(expected)} alone in {path}",
                      f"also '{unknown[0]}'", "use weights of this workload")
    return {name: tensors[name] for name in expected}


class Schedule:
    """How the learning rate goes over the steps (be_schedule in include/breakeven/graph.h)."""

    def __init__(self, request):
        self.kind = member(request, "kind", str, choices=("constant", "cosine", "linear"))
        self.warmup = member(request, "warmup_steps", int, 0, least=0)
        self.total = member(request, "total_steps", int, 0, least=0)
        self.final = member(request, "final_factor", float, 0.0, least=0)
        if self.kind != "constant" and self.total <= self.warmup:
            raise Failure("USAGE", f"'total_steps' above the {self.warmup} of the warm-up",
                          self.total, "correct the request")
        if self.final > 1:
            raise Failure("USAGE", "'final_factor' at most 1", self.final, "correct the request")

    def factor(self, step):
        """What the rate of a step, counted from 0, is multiplied by."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.kind == "constant":
            return 1.0
        done = min((step - self.warmup) / (self.total - self.warmup), 1.0)
        left = 1 - done if self.kind == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.final + (1 - self.final) * left

    def last_step(self):
        """From here on the rate stays."""
        return self.warmup if self.kind == "constant" else self.total


def read_optimizer(request):
    """The optimizer's name and settings, checked; `betas` and `epsilon` without sgd; `schedule` is
    None where the rate is constant."""
    name = member(request, "name", str, choices=("sgd", "adam", "adamw", "none"))
    if name == "none":
        return {"name": name, "max_gradient_norm": 0.0, "schedule": None}
    schedule = member(request, "schedule", dict, None)
    found = {"name": name, "lr": member(request, "lr", float, least=0),
             "weight_decay": member(request, "weight_decay", float, 0.0, least=0),
             "max_gradient_norm": member(request, "max_gradient_norm", float, 0.0, least=0),
             "decay": member(request, "decay", str, "all", choices=("all", "matrices")),
             "schedule": None if schedule is None else Schedule(schedule)}
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
    has_workers = False  # whether the engine trains with several
    has_turns = False  # whether it computes a batch in several turns

    def __init__(self, request, names):
        """`names`: of the workloads that the engine has."""
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
        if self.workload not in names:
            raise Failure("UNAVAILABLE", f"a workload among {', '.join(names)}",
                          f"'{self.workload}'", "choose one that this runner has")
        self._read_variant(request)
        self.optimizer_settings = None
        if self.training:
            self.optimizer_settings = read_optimizer(member(request, "optimizer", dict))
        self._read_workers(request)
        self._read_turns(request)
        self.on_host = member(request, "data_on", str, "device",
                              choices=("device", "host")) == "host"
        self.usable, self.step = 0, 0

    def _read_workers(self, request):
        """Of `workers` that cut each batch this is number `rank`; it computes on `part` samples."""
        self.workers = member(request, "workers", int, 1, least=1)
        self.rank = member(request, "rank", int, 0, least=0)
        self.part = self.batch // self.workers
        if self.workers > 1 and not (self.has_workers and self.training):
            raise Failure("UNAVAILABLE", "one worker, or a training by PyTorch",
                          f"'workers' {self.workers}", "leave 'workers' out")
        if self.rank >= self.workers or self.part * self.workers != self.batch:
            raise Failure("USAGE", f"a batch that {self.workers} workers can cut into equal parts, "
                          "and a rank below their number", f"{self.batch}, rank {self.rank}",
                          "correct the request")

    def _read_turns(self, request):
        """In so many turns a batch is computed, of an equal part of it each."""
        self.turns = member(request, "accumulate", int, 1, least=1)
        if self.turns > 1 and not (self.has_turns and self.training and self.workers == 1):
            raise Failure("UNAVAILABLE", "a batch in one turn, or a training by one worker of "
                          "PyTorch", f"'accumulate' {self.turns}", "leave 'accumulate' out")
        if self.batch % self.turns:
            raise Failure("USAGE", f"a batch that {self.turns} turns can cut into equal parts",
                          self.batch, "correct the request")

    def _read_variant(self, request):
        """The dimensions of the model, and what it reads of the data."""
        own, fields, self.targets = workload_fields.WORKLOADS[self.workload]
        unknown = [name for name in workload_fields.DIMENSIONS
                   if name in request and name not in own]
        if unknown:
            raise Failure("USAGE", f"of {self.workload} one of {', '.join(own)}",
                          f"'{unknown[0]}'", "leave it out")
        self.dimensions = {name: member(request, name, int, value, least=1)
                           for name, value in own.items()}
        self.fields = fields(**self.dimensions)
        self.inputs = tuple(name for name in self.fields if name not in self.targets)
        self.output = "logits" if self.fields else "output"

    def read_data(self, request):
        """(fields by name, order); from here on `next_rows` knows the batches."""
        path = member(request, "data", str)
        self.folder = os.path.dirname(path)  # the conductor removes it with all that is in it
        values, order = load_fields(path, self.workload, self.fields, True)
        self.usable = len(order) - len(order) % self.batch
        if self.usable == 0:
            raise Failure("BAD_DATA", f"an order of at least one batch of {self.batch} in {path}",
                          f"{len(order)} samples", "use a smaller batch")
        return values, order

    def next_rows(self):
        """Which part of the order the next step trains on."""
        start = self.step * self.batch % self.usable + self.rank * self.part
        return slice(start, start + self.part)

    def read_normalization(self, request):
        """Of each field of bytes, one per channel: what is subtracted, and then multiplied by."""
        return {name: self._normalization_of(request, name)
                for name, field in self.fields.items() if field.dtype == np.uint8}

    def _normalization_of(self, request, field):
        normalize = member(member(request, "normalize", dict), field, dict)
        channels, values = self.fields[field].shape[0], {}
        for name in ("mean", "std"):
            listed = member(normalize, name, list)
            if len(listed) != channels:
                raise Failure("USAGE", f"{channels} values in 'normalize.{field}.{name}', one a "
                              "channel", len(listed), "correct the request")
            values[name] = [member({name: value}, name, float) for value in listed]
        if min(values["std"]) <= 0:
            raise Failure("USAGE", f"'normalize.{field}.std' above 0", min(values["std"]),
                          "correct the request")
        return [255 * mean for mean in values["mean"]], [1 / (255 * std) for std in values["std"]]

    def trace_of(self, batch):
        """What engines are compared by, by its name: the inputs and the targets of a batch."""
        named = {}
        for kind, names in (("input", self.inputs), ("target", self.targets)):
            for name in names:
                named[kind if len(names) == 1 else f"{kind}.{name}"] = batch[name]
        return named


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
