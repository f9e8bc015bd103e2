"""What PyTorch stands on: devices, versions, the BLAS that is really loaded, threads, precision.

Owns every difference between PyTorch 1.13 and 2.x and between cpu, cuda, xpu and mps.
"""
import ctypes
import os
import platform
import re

import numpy as np
import torch

from runner_job import cpu_flags, cpu_name
from runner_protocol import Failure

_CONFIG = torch.__config__.show()
_PTHREAD = 1  # of openblas_get_parallel: threads of its own
_BLAS_FILE = re.compile(r"/lib(openblas|blas|blis|atlas|f77blas|mkl_|nvpl_blas|armpl)")


def mps_available():
    return hasattr(torch.backends, "mps") and torch.backends.mps.is_available()


def xpu_count():
    """Intel's GPUs, which PyTorch 2.5 and later have."""
    return torch.xpu.device_count() if hasattr(torch, "xpu") and torch.xpu.is_available() else 0


def synchronize(device):
    """Wait until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "xpu":
        torch.xpu.synchronize(device)
    elif device.type == "mps":
        if hasattr(torch, "mps"):
            torch.mps.synchronize()
        else:
            torch.zeros(1, device=device).item()  # 1.13: a read waits for the one queue


def profiled(device):
    """What PyTorch's profiler can watch for this device: a list, empty where it sees nothing."""
    activity = torch.profiler.ProfilerActivity
    if device.type == "cpu":
        return [activity.CPU]
    # Without kineto, as in Debian's 1.13, no kernel of a GPU is seen.
    if device.type == "cuda" and torch.autograd.kineto_available():
        return [activity.CPU, activity.CUDA]
    return []


def random_states(device):
    """The states of all generators that a step on this device draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "xpu":
        states["xpu"] = torch.xpu.get_rng_state(device)
    elif device.type == "mps" and hasattr(torch, "mps"):
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(device, states):
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if "xpu" in states:
        torch.xpu.set_rng_state(states["xpu"], device)
    if "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def find_device(name):
    if not re.fullmatch(r"cpu|mps|(cuda|xpu)(:\d{1,4})?", name):
        raise Failure("UNAVAILABLE", "a device cpu, cuda, cuda:N, xpu:N or mps", f"'{name}'",
                      "PyTorch runs on no other here")
    kind, _, index = name.partition(":")
    if kind == "mps" and not mps_available():
        raise Failure("UNAVAILABLE", "an Apple GPU", f"none in PyTorch {torch.__version__}",
                      "use macOS 12.3 or later on Apple silicon, or another device")
    if kind == "mps" and os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK", "0") == "1":
        raise Failure("UNAVAILABLE", "mps to compute all", "PYTORCH_ENABLE_MPS_FALLBACK=1, which "
                      "lets PyTorch run operations on the CPU unseen", "unset it")
    if kind == "cuda":
        if not torch.backends.cuda.is_built():
            raise Failure("UNAVAILABLE", "a PyTorch with CUDA", f"{torch.__version__} without",
                          "install one from pytorch.org")
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise Failure("UNAVAILABLE", f"the device '{name}'", f"{count} CUDA devices",
                          "check the driver and CUDA_VISIBLE_DEVICES")
        torch.cuda.set_device(int(index or 0))
        return torch.device("cuda", int(index or 0))
    if kind == "xpu":
        if int(index or 0) >= xpu_count():
            raise Failure("UNAVAILABLE", f"the device '{name}'", f"{xpu_count()} GPUs of Intel in "
                          f"PyTorch {torch.__version__}", "install a PyTorch for XPU from "
                          "pytorch.org, and Intel's driver")
        torch.xpu.set_device(int(index or 0))
        return torch.device("xpu", int(index or 0))
    return torch.device(kind)


def device_name(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xpu":
        return torch.xpu.get_device_name(device)
    return cpu_name() + (" GPU" if device.type == "mps" else "")


def devices():
    found = [torch.device("cpu")]
    if torch.backends.cuda.is_built():
        found += [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    found += [torch.device("xpu", i) for i in range(xpu_count())]
    if mps_available():
        found.append(torch.device("mps"))
    return [{"id": str(device), "name": device_name(device)} for device in found]


def computes(name):
    """Whether a small product, from numpy's arrays and back, comes out right on this device."""
    values = np.array([[1, 2], [3, 4]], dtype=np.float32)
    there = torch.from_numpy(values).to(torch.device(name))
    return bool(((there @ there).cpu().numpy() == values @ values).all())


def fits(device, size_bytes):
    """Whether the device holds `size_bytes` of data and leaves half of its free memory."""
    if device.type == "cuda":
        return size_bytes <= torch.cuda.mem_get_info(device)[0] // 2
    if device.type == "xpu" and hasattr(torch.xpu, "mem_get_info"):
        return size_bytes <= torch.xpu.mem_get_info(device)[0] // 2
    if device.type == "mps" and hasattr(getattr(torch, "mps", None), "recommended_max_memory"):
        return size_bytes <= torch.mps.recommended_max_memory() // 2
    return True


def _mapped_blas():
    """Paths of the BLAS libraries mapped into this process, without those of numpy and scipy."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = {line.split(maxsplit=5)[5].rstrip("\n") for line in file if line.count("/")}
    except OSError:
        return []
    return sorted(path for path in paths if _BLAS_FILE.search(path)
                  and not re.search(r"/(numpy|scipy)\.libs/", path))


def _symbol(path, name):
    try:
        return getattr(ctypes.CDLL(path), name)
    except (OSError, AttributeError):
        return None


def _openblas_text(path):
    config = _symbol(path, "openblas_get_config")
    if config is None:
        return None
    config.restype = ctypes.c_char_p
    words = config().decode(errors="replace").split()
    parallel = _symbol(path, "openblas_get_parallel")
    kinds = {0: "sequential", _PTHREAD: "pthread", 2: "OpenMP"}
    kind = kinds.get(parallel() if parallel else None, "threads unknown")
    core = _symbol(path, "openblas_get_corename")
    if core is not None:
        core.restype = ctypes.c_char_p
    return " ".join(words[:2]) + f" {kind}" + (f" {core().decode()}" if core else "")


def blas():
    """Which BLAS PyTorch's matrix products run on: (text, whether it is the slow reference)."""
    mkl = re.search(r"(?:Math Kernel Library|oneMKL)\D*([\d.]+)", _CONFIG)
    if torch.backends.mkl.is_available():
        return f"MKL {mkl.group(1) if mkl else '(version unknown)'}", False
    paths = _mapped_blas()
    for path in paths:
        text = _openblas_text(path)
        if text:
            return f"{text} ({path})", False
    for path in paths:
        for sign, name in (("blis", "BLIS"), ("atlas", "ATLAS"), ("mkl", "MKL"), ("nvpl", "NVPL"),
                           ("armpl", "Arm Performance Libraries")):
            if sign in path:
                return f"{name} ({path})", False
    if paths:
        return f"reference BLAS ({paths[0]})", True
    built = re.search(r"BLAS_INFO=(\w+)", _CONFIG)
    return (f"{built.group(1)} (built in)" if built else "unknown"), False


def _has_own_threads(path):
    parallel = _symbol(path, "openblas_get_parallel")
    return parallel is not None and parallel() == _PTHREAD


def _blas_threads(path, threads):
    """Of an OpenBLAS: as many as PyTorch's loops have; but one with threads of its own obeys its
    variable, as it does in any other program."""
    text = os.environ.get("OPENBLAS_NUM_THREADS")
    if not text or not _has_own_threads(path):
        return threads
    if not text.isdecimal() or int(text) < 1:
        raise Failure("USAGE", "a number of threads in OPENBLAS_NUM_THREADS", repr(text),
                      "correct or unset it")
    return int(text)


def set_threads(threads):
    """Threads of PyTorch's own loops and of an OpenBLAS with threads of its own; warnings."""
    torch.set_num_threads(threads)
    for path in _mapped_blas():
        setter = _symbol(path, "openblas_set_num_threads")
        getter = _symbol(path, "openblas_get_num_threads")
        if setter is not None and getter is not None:
            wanted = _blas_threads(path, threads)
            setter(wanted)
            if getter() != wanted:
                return [f"asked for {wanted} threads, OpenBLAS uses {getter()}"]
    return []


def _waits_beside():
    """Whether an OpenBLAS has threads of its own, and nobody has chosen how many."""
    return (not os.environ.get("OPENBLAS_NUM_THREADS")
            and any(_has_own_threads(path) for path in _mapped_blas()))


def _blas_apart():
    """" on 1 thread" where OpenBLAS has another number of threads than PyTorch's loops."""
    for path in _mapped_blas():
        getter = _symbol(path, "openblas_get_num_threads")
        if getter is not None and getter() != torch.get_num_threads():
            return f" on {getter()} thread" + ("s" if getter() > 1 else "")
    return ""


def _onednn():
    found = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", _CONFIG)
    if not torch.backends.mkldnn.is_available():
        return None
    return found.group(1) if found else "version unknown"


def _cudnn():
    if not torch.backends.cudnn.is_available():
        return None
    number = torch.backends.cudnn.version()
    major, rest = divmod(number, 10000 if number >= 90000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def versions():
    openmp = re.search(r"OpenMP (\d+)(?: \(a\.k\.a\. OpenMP ([\d.]+)\))?", _CONFIG)
    capability = re.search(r"CPU capability usage: (\S+)", _CONFIG)
    found = {"python": platform.python_version(), "numpy": np.__version__, "blas": blas()[0],
             "onednn": _onednn(), "openmp": openmp and (openmp.group(2) or openmp.group(1)),
             "cpu_capability": capability.group(1) if capability else None,
             "cuda": torch.version.cuda, "cudnn": _cudnn(), "hip": torch.version.hip}
    return {name: version for name, version in found.items() if version}


def implementation(device):
    """The libraries that a step on this device runs on."""
    parts = [f"PyTorch {torch.__version__}"]
    if device.type == "cuda" and torch.version.hip:
        parts += [f"ROCm {torch.version.hip}", "MIOpen"]
    elif device.type == "cuda":
        parts += [f"CUDA {torch.version.cuda}", f"cuDNN {_cudnn() or 'none'}"]
    elif device.type == "xpu":
        parts.append(f"oneDNN {_onednn() or 'none'} on SYCL")
    elif device.type == "mps":
        parts.append("Metal")
    else:
        parts += [f"oneDNN {_onednn() or 'none'}", re.sub(r" \(/.*", "", blas()[0]) + _blas_apart()]
    return ", ".join(parts)


def warnings(device):
    found = []
    if device.type == "cpu" and blas()[1]:
        found.append(f"PyTorch runs on the {blas()[0]}, which is slow: comparisons against it are "
                     "refused; install libopenblas0-pthread (Debian)")
    if device.type == "cpu" and torch.get_num_threads() > 1 and _waits_beside():
        found.append("OpenBLAS waits for work on the cores of PyTorch's loops: "
                     "OPENBLAS_NUM_THREADS=1 may be faster, 'breakeven sweep' tries both")
    if os.environ.get("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "0") == "1" and device.type == "cuda":
        found.append("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 turns TF32 on: unset it")
    return found


def set_precision(device, precision):
    """fp32 without TF32, tf32 (cuda) or bf16 (autocast); a Failure where the device lacks it."""
    def refuse(why):
        raise Failure("UNAVAILABLE", f"a device with precision '{precision}'", why, "use fp32")

    cuda = device.type == "cuda"
    recent = cuda and torch.cuda.get_device_capability(device) >= (8, 0)
    if precision == "tf32" and not recent:
        refuse(f"{device_name(device)} ({device.type}), " +
               ("where it is not asked for" if device.type == "xpu" else "which has no TF32"))
    if precision == "bf16" and not (recent if cuda else _computes_bf16(device)):
        refuse(f"{device_name(device)} ({device.type}), on which this PyTorch computes no bfloat16")
    if cuda:
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True  # the shapes do not change from step to step


def _computes_bf16(device):
    """Whether autocast really computes in bfloat16, and on the CPU with a library, not emulated."""
    if device.type == "cpu" and not _cpu_bf16():
        return False
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            ones = torch.ones(8, 8, device=device)
            return (ones @ ones).dtype == torch.bfloat16
    except (RuntimeError, TypeError, ValueError):
        return False


def _cpu_bf16():
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if asked is not None:
        return bool(asked())
    return {"avx512bw", "avx512vl", "avx512dq"} <= cpu_flags()  # what oneDNN's bfloat16 needs
