"""What MLX stands on: devices, versions, threads, precision.

Owns every difference between the processor, an Apple GPU and NVIDIA's.
"""
import collections
import importlib.metadata
import os
import platform
import re
import shutil

import mlx.core as mx
import numpy as np

from runner_job import cpu_name
from runner_protocol import Failure

# `id` is the protocol's, `device` is MLX's.
Device = collections.namedtuple("Device", "id device")
CPU = Device("cpu", mx.Device(mx.cpu, 0))
APPLE = platform.system() == "Darwin"


def _gpus():
    """The Apple GPU goes by PyTorch's name for it, so that both engines can be compared there."""
    if not mx.is_available(mx.gpu):
        return []
    if APPLE:
        return [Device("mps", mx.Device(mx.gpu, 0))]
    return [Device(f"cuda:{i}", mx.Device(mx.gpu, i)) for i in range(mx.device_count(mx.gpu))]


def find_device(name):
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,4})?", name):
        raise Failure("UNAVAILABLE", "a device cpu, mps, cuda or cuda:N", f"'{name}'",
                      "MLX runs on no other here")
    if name == "cpu":
        return CPU
    wanted = "cuda:0" if name == "cuda" else name
    found = next((gpu for gpu in _gpus() if gpu.id == wanted), None)
    if found is None:
        raise Failure("UNAVAILABLE", f"the device '{name}'",
                      f"{', '.join(gpu.id for gpu in _gpus()) or 'no GPU'} in MLX {version()}",
                      "use an Apple silicon Mac ('pip install mlx'), an NVIDIA GPU with CUDA ('pip "
                      "install mlx[cuda13]'), or another device")
    return found


def use(device):
    """From here on arrays are computed there."""
    mx.set_default_device(device.device)


def computes(name):
    """Whether a small product, from numpy's arrays and back, comes out right on this device."""
    values = np.array([[1, 2], [3, 4]], dtype=np.float32)
    with mx.stream(find_device(name).device):
        there = mx.array(values)
        return bool((np.asarray(there @ there) == values @ values).all())


def synchronize():
    """Wait until the device has done all its work."""
    mx.synchronize()


def device_name(device):
    if device == CPU:
        return cpu_name()
    return str(mx.device_info(device.device).get("device_name", "GPU"))


def devices():
    return [{"id": device.id, "name": device_name(device)} for device in (CPU, *_gpus())]


def version():
    return importlib.metadata.version("mlx")


def blas():
    """What the processor multiplies with: PyPI's MLX for Linux brings the reference BLAS."""
    if APPLE:
        return "Accelerate"
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            names = set(re.findall(r"/lib(openblas|mkl_rt|blis|blas)\b[^/\n]*\n", file.read()))
    except OSError:
        names = set()
    if names == {"blas"}:
        return "reference BLAS"
    return "/".join(sorted(names - {"blas"})) or "unknown"


def versions():
    return {"python": platform.python_version(), "numpy": np.__version__, "blas": blas()}


def implementation(device):
    """The libraries that a step on this device runs on."""
    where = blas() if device == CPU else "Metal" if APPLE else "CUDA"
    return f"MLX {version()}, {where}"


def threads(asked):
    """That the processor computes with, as far as that is known."""
    return 1 if blas() == "reference BLAS" else asked


def warnings(device, asked):
    found = []
    if device != CPU:
        return found
    if blas() == "reference BLAS":
        found.append("MLX multiplies with the reference BLAS here, which is slow and has one "
                     "thread: on processors of other makers than Apple it is for trying things out")
    elif asked > 1:
        found.append(f"MLX cannot be told how many threads to take: {blas()} decides")
    if not shutil.which("g++"):
        found.append("MLX finds no g++, with which it compiles loops for the processor: its steps "
                     "are not fused, and slower; install g++")
    if os.environ.get("MLX_DISABLE_COMPILE"):
        found.append("MLX_DISABLE_COMPILE keeps MLX from fusing loops: unset it")
    return found


def check_precision(device, precision):
    """MLX has no autocast: in another type its users train another model."""
    for wanted, what in (("tf32", "which has no TF32"), ("bf16", "which has no autocast that "
                                                             "would compute bfloat16")):
        if precision == wanted:
            raise Failure("UNAVAILABLE", f"an engine with precision '{precision}'",
                          f"MLX on {device_name(device)} ({device.id}), {what}", "use fp32")
