"""The forms of PyTorch beside what it does by itself ("eager"): "compile", the model with its loss
compiled as one by torch.compile; "graph", the whole compiled step captured as a CUDA graph;
"channels-last", eager with the channels of pictures and of their weights innermost in memory; and
"pageable", eager with host memory that is not pinned, for the operations that copy from or to it.

Owns which form is possible where, what is compiled, and what is captured; knows no model.
"""
import inspect
import os
import shutil
import sys
import tempfile

import torch

from runner_protocol import Failure

COMPILED = ("compile", "graph")
_folder = None  # where this process keeps what it compiled
_WARM_UPS = 2  # steps before the capture: they load kernels and make the optimizer's state


def name_of(form):
    """Of the engine: "torch", "torch-compile"."""
    return "torch" if form is None else f"torch-{form}"


def words(form):
    """What the form adds to the libraries that a step runs on."""
    return {None: "", "compile": ", torch.compile", "graph": ", torch.compile, CUDA graph",
            "channels-last": ", channels last", "pageable": ", pageable memory"}[form]


def _missing_compiler(device):
    """(what is expected, found, and to do) where no compiler for the device is here; else None."""
    if device.type == "cpu":
        default = "clang++" if sys.platform == "darwin" else "g++"
        name = (os.environ.get("CXX") or default).split()[0]
        if shutil.which(name) is None:
            return (f"a C++ compiler ({name}), which torch.compile makes the CPU's code with",
                    "none", "install one ('apt-get install g++'), or name it in CXX")
    if device.type == "cuda":
        try:
            import triton  # noqa: F401
        except ImportError:
            return ("Triton, which torch.compile makes a GPU's kernels with", "none",
                    "install a PyTorch from PyPI, which brings it, or 'pip install triton'")
        if torch.cuda.get_device_capability(device) < (7, 0) and torch.version.hip is None:
            return ("a GPU of compute capability 7.0 or later for torch.compile",
                    "%d.%d" % torch.cuda.get_device_capability(device), "use --engine torch")
    return None


def refusal(form, device):
    """The Failure of a form on a device, or None."""
    def refuse(expected, found, advice):
        return Failure("UNAVAILABLE", expected, found, advice)

    if form not in COMPILED:
        return None
    if form == "graph" and device.type != "cuda":
        return refuse("a CUDA device for torch-graph", str(device),
                      "CUDA graphs are for these alone; use torch-compile here")
    if not hasattr(torch, "compile"):
        return refuse("PyTorch 2.0 or later for torch.compile", str(torch.__version__),
                      "install one ('pip install torch'), and name its Python in BREAKEVEN_PYTHON")
    missing = _missing_compiler(device)
    return None if missing is None else refuse(*missing)


def sort_devices(form, devices):
    """(those of `devices`, as hello lists them, on which the form is possible; the others with
    their reason)."""
    usable, unusable = [], []
    for device in devices:
        refused = refusal(form, torch.device(device["id"]))
        if refused is None:
            usable.append(device)
        else:
            unusable.append({**device, "reason": str(refused)})
    return usable, unusable


def start(form, device, place):
    """Called by each `prepare`; a Failure where the form is not possible.

    What is compiled lies in a folder of this process in `place`, so that the first step compiles
    whatever was compiled before on this machine.
    """
    refused = refusal(form, device)
    if refused is not None:
        raise refused
    if form not in COMPILED:
        return
    global _folder
    if _folder is None or not os.path.isdir(_folder):
        _folder = tempfile.mkdtemp(prefix="compiled-", dir=place)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = _folder


def lay_out(form, value):
    """A model, or a tensor of a batch, as the form has it in memory."""
    if form != "channels-last" or (isinstance(value, torch.Tensor) and value.dim() != 4):
        return value
    return value.to(memory_format=torch.channels_last)


def layout_warnings(form, parameters):
    """Of a form that changes nothing for this model."""
    if form != "channels-last" or any(p.dim() == 4 for p in parameters):
        return []
    return ["no weight of the model has four dimensions: channels last is the same as torch"]


def compiled(functions):
    """Each with all that it calls; anew, for the models of now."""
    torch._dynamo.reset()
    return [torch.compile(function, dynamic=False) for function in functions]


def failure_of(error):
    """What is told of an exception of torch.compile, or None where it is none."""
    if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return None
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return Failure("FAILED", "torch.compile to compile the step", text,
                   "use --engine torch, or mend what the runner's log tells")


def eager_only(function):
    """What torch.compile leaves alone, in every version."""
    disable = getattr(getattr(torch, "compiler", None), "disable", None)
    return function if disable is None else disable(function)


def fused(kind, device):
    """{"fused": True} where PyTorch has this optimizer as one kernel on the device."""
    if "fused" not in inspect.signature(kind).parameters:
        return {}
    p = torch.nn.Parameter(torch.zeros(1, device=device))
    p.grad = torch.zeros_like(p)
    try:
        kind([p], lr=1e-3, fused=True).step()
    except RuntimeError:  # not on this device
        return {}
    return {"fused": True}


def make_capturable(optimizer):
    """Its number of steps is kept on the device; a Failure where it would stay what it was."""
    for group in getattr(optimizer, "param_groups", []):  # of an operation alone: none
        if "capturable" in group:
            group["capturable"] = True
        elif not isinstance(optimizer, torch.optim.SGD):
            raise Failure("UNAVAILABLE", "an optimizer that a CUDA graph can capture (SGD, or one "
                          "with 'capturable')", type(optimizer).__name__, "use torch-compile")


def _map(value, change):
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _map(item, change) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_map(item, change) for item in value)
    return value


def _copy(to, source):
    """Into the same tensors of tuples, lists and dicts."""
    if isinstance(to, torch.Tensor):
        to.copy_(source, non_blocking=True)
    elif isinstance(to, dict):
        for name, item in to.items():
            _copy(item, source[name])
    elif isinstance(to, tuple):
        for item, other in zip(to, source):
            _copy(item, other)


class Captured:
    """A session's step as a CUDA graph; its batches come through tensors that stay where they are.

    The first steps are done on the stream of the capture; they are steps like all others.
    """

    def __init__(self, session):
        self.session, self.done, self.graph = session, 0, None
        self.stream = torch.cuda.Stream(session.device)
        self.source = self.result = None

    def _compute(self):
        session = self.session
        batch = session.batch_of(self.source)
        if session.training:
            return session.update_on(*batch)
        return session.compute_output(batch[0])

    def _aside(self):
        current = torch.cuda.current_stream(self.session.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = self._compute()
        current.wait_stream(self.stream)
        return result

    def step(self):
        """The loss, or what inference computed, which the next step overwrites."""
        source = self.session.next_source()
        if self.source is None:
            self.source = _map(source, torch.clone)
        else:
            _copy(self.source, source)
        if self.done < _WARM_UPS:
            self.done += 1
            return self._aside()
        if self.graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                self.result = self._compute()
            self.graph = graph
        self.graph.replay()
        return self.result
