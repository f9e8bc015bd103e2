"""What TensorFlow stands on: devices, versions, threads, precision.

Owns what can be set once in a process alone: the device that TensorFlow starts, its threads.
"""
import collections
import contextlib
import glob
import os
import platform
import re

import keras
import numpy as np
import tensorflow as tf

from runner_job import cpu_flags, cpu_name
from runner_protocol import Failure

# `id` is the protocol's, `path` is TensorFlow's once the device is the only one of its kind.
Device = collections.namedtuple("Device", "id path")
CPU = Device("cpu", "/CPU:0")

_settled = None


def _gpus():
    return tf.config.list_physical_devices("GPU")


def _no_gpu():
    """Why TensorFlow has no GPU here: (expected, found, what to do)."""
    advice = ("make one with 'tools/tensorflow-venv.sh cuda', or install tensorflow[and-cuda] into "
              "a Python that BREAKEVEN_TENSORFLOW_PYTHON names")
    if not tf.test.is_built_with_cuda():
        return "a TensorFlow with CUDA", f"{tf.__version__} without", advice
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and not re.match(r"\s*(\d|GPU|MIG)", hidden):
        return ("a GPU for TensorFlow", f"that CUDA_VISIBLE_DEVICES={hidden} hides every NVIDIA "
                "GPU", "unset it")
    if not glob.glob("/dev/nvidia[0-9]*") and not os.path.exists("/proc/driver/nvidia/version"):
        return "an NVIDIA GPU", "no NVIDIA driver", "install the driver, or use another device"
    return ("a GPU for TensorFlow", "that it cannot load what it needs (its log names the "
            "libraries)", advice)


def find_device(name):
    if not re.fullmatch(r"cpu|cuda(:\d{1,4})?", name):
        raise Failure("UNAVAILABLE", "a device cpu, cuda or cuda:N", f"'{name}'",
                      "TensorFlow runs on no other here")
    if name == "cpu":
        return CPU
    index, count = int(name.partition(":")[2] or 0), len(_gpus())
    if count == 0:
        raise Failure("UNAVAILABLE", *_no_gpu())
    if index >= count:
        raise Failure("UNAVAILABLE", f"the device '{name}'", f"{count} CUDA devices",
                      "check the driver and CUDA_VISIBLE_DEVICES")
    return Device(f"cuda:{index}", "/GPU:0")


def _gpu_of(device):
    return _gpus()[int(device.id.partition(":")[2])]


def settle(device, threads):
    """Start no other device than this one, with that many threads: once per process."""
    global _settled
    if _settled is None:
        gpus = [] if device == CPU else [_gpu_of(device)]
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        # As TensorFlow does it by itself on a processor with that many cores.
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.set_soft_device_placement(False)
        _settled = (device.id, threads)
    if _settled != (device.id, threads):
        raise Failure("UNAVAILABLE", f"{_settled[0]} with {_settled[1]} threads, with which "
                      "TensorFlow has started", f"{device.id} with {threads}",
                      "start another runner: a process sets them once")


def start_all():
    """All devices, as TensorFlow has them by itself; for a process that prepares nothing."""
    global _settled
    if _settled is None:
        for gpu in _gpus():
            tf.config.experimental.set_memory_growth(gpu, True)
        _settled = ("every device", "its own")


def computes(name):
    """Whether a small product, from numpy's arrays and back, comes out right on this device."""
    values = np.array([[1, 2], [3, 4]], dtype=np.float32)
    kind, _, index = name.partition(":")
    with tf.device("/CPU:0" if kind == "cpu" else f"/GPU:{index}"):
        there = tf.constant(values)
        return bool((tf.matmul(there, there).numpy() == values @ values).all())


def synchronize():
    """Wait until the device has done all its work."""
    tf.test.experimental.sync_devices()


def _gpu_name(gpu):
    return tf.config.experimental.get_device_details(gpu).get("device_name", "NVIDIA GPU")


def device_name(device):
    return cpu_name() if device == CPU else _gpu_name(_gpu_of(device))


def devices():
    found = [{"id": "cpu", "name": cpu_name()}]
    return found + [{"id": f"cuda:{i}", "name": _gpu_name(gpu)} for i, gpu in enumerate(_gpus())]


def unusable_devices():
    if _gpus():
        return []
    return [{"id": "cuda", "name": "NVIDIA GPUs", "reason": str(Failure("UNAVAILABLE",
                                                                         *_no_gpu()))}]


def _has_onednn():
    try:
        from tensorflow.python.util import _pywrap_util_port
        return bool(_pywrap_util_port.IsMklEnabled())
    except (ImportError, AttributeError):
        return False


def _onednn():
    """oneDNN's version, as its header beside the library has it; None where it is not used."""
    if not _has_onednn():
        return None
    path = "external/onednn/include/oneapi/dnnl/dnnl_version.h"
    with contextlib.suppress(OSError):
        with open(os.path.join(tf.sysconfig.get_include(), path), encoding="utf-8") as file:
            numbers = re.findall(r"DNNL_VERSION_(?:MAJOR|MINOR|PATCH)\s+(\d+)", file.read())
        if len(numbers) == 3:
            return ".".join(numbers)
    return "version unknown"


def blas():
    onednn = _onednn()
    return f"oneDNN {onednn} and Eigen (built in)" if onednn else "Eigen (built in)"


def versions():
    build = tf.sysconfig.get_build_info()
    found = {"python": platform.python_version(), "numpy": np.__version__,
             "keras": keras.__version__, "blas": blas(), "onednn": _onednn(),
             "cuda": build.get("cuda_version"), "cudnn": build.get("cudnn_version")}
    return {name: str(version) for name, version in found.items() if version}


def implementation(device):
    """The libraries that a step on this device runs on."""
    parts = [f"TensorFlow {tf.__version__}", f"Keras {keras.__version__}", "tf.function"]
    if device == CPU:
        parts.append(f"oneDNN {_onednn()}" if _has_onednn() else "Eigen")
    else:
        build = tf.sysconfig.get_build_info()
        parts += [f"CUDA {build.get('cuda_version')}", f"cuDNN {build.get('cudnn_version')}"]
    return ", ".join(parts)


def warnings(device):
    found = []
    if device == CPU and not _has_onednn():
        found.append("TensorFlow runs without oneDNN, slower than its users have it on x86: unset "
                     "TF_ENABLE_ONEDNN_OPTS" if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" else
                     "this TensorFlow has no oneDNN for this processor")
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "1" and device != CPU:
        found.append("NVIDIA_TF32_OVERRIDE=1 turns TF32 on: unset it")
    return found


def set_precision(device, precision):
    """fp32 without TF32, tf32 (cuda) or bf16 (Keras's mixed precision); a Failure otherwise."""
    capability = (0, 0)
    if device != CPU:
        details = tf.config.experimental.get_device_details(_gpu_of(device))
        capability = details.get("compute_capability", capability)
    recent = capability >= (8, 0)
    # A processor without these would compute it in float32 and round.
    if device == CPU and _has_onednn():
        computes_bf16 = bool({"avx512_bf16", "amx_bf16"} & cpu_flags())
    else:
        computes_bf16 = recent
    for wanted, has, what in (("tf32", recent, "which has no TF32"),
                              ("bf16", computes_bf16, "which computes no bfloat16")):
        if precision == wanted and not has:
            raise Failure("UNAVAILABLE", f"a device with precision '{precision}'",
                          f"{device_name(device)} ({device.id}), {what}", "use fp32")
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bf16" else "float32")
