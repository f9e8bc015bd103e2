"""What the program keeps of a device's limits, put in its place by hand.

Measuring the processor's takes a second of both cores, and beside other programs, as tests run, is
kept by none: each bench of a test would measure them again.  The tests of run/machine and those of
`devices --measure` measure."""
import json
import os
import re
import socket
import subprocess
import time

NUMBERS = ("flops_fp32", "flops_tf32", "flops_bf16", "memory_bytes_per_s", "cache_bytes_per_s",
           "launch_s", "round_trip_s")
# Beyond any processor, so that nothing measured is taken for impossible.
GENEROUS = {"flops_fp32": 1e14, "flops_tf32": None, "flops_bf16": None, "memory_bytes_per_s": 1e13,
            "cache_bytes_per_s": 1e14, "launch_s": 1e-8, "round_trip_s": 1e-8}
THREADS = (1, 2)


def machine_id():
    try:
        with open("/etc/machine-id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return socket.gethostname()


def keep(program, cache, threads, device="cpu", env=None, **numbers):
    """The processor's, with so many threads, or another device's, with 0: the path of the file,
    named by all that it is of."""
    def told(*words, **more):
        return subprocess.run([program, *words], stdout=subprocess.PIPE, check=True, text=True,
                              env=env, **more).stdout
    def found(name):
        hello = json.dumps({"op": "hello", "schema": 2, "device": name}) + "\n"
        return json.loads(told("runner", input=hello))["devices"][0]
    build = re.search(r"^breakeven (\S+) \((\S+)\)\nbuilt by .*?, (\w+)(?:, sanitizers (\S+))?\n",
                      told("--version"))
    cpu, one = found("cpu"), found(device)
    key = {"machine": machine_id(), "cpu": cpu["name"], "device": device,
           "device_name": one["name"], "threads": threads, "driver": one.get("driver", ""),
           "version": build[1], "commit": build[2],
           "build": f"{build[3]} {build[4] or 'none'}", "runner": ["runner"]}
    limits = {"device": device, "device_name": one["name"], "threads": threads, "transfers": [],
              "unix_s": int(time.time()), **GENEROUS, **numbers}
    place = 0xcbf29ce484222325
    for byte in json.dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode():
        place = (place ^ byte) * 0x100000001b3 % (1 << 64)
    named = f"{device.replace(':', '-')}-{place:016x}.json"
    path = os.path.join(cache, "breakeven", "machine", named)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    own = f"{path}.{os.getpid()}"
    with open(own, "w", encoding="utf-8") as file:
        json.dump({"schema": 1, "key": key, "limits": limits}, file)
    os.replace(own, path)
    return path


def keep_for_tests():
    """In the cache that meson names, and never in the user's."""
    program, cache = os.environ.get("BREAKEVEN_PROGRAM"), os.environ.get("XDG_CACHE_HOME")
    for threads in THREADS if program and cache else ():
        keep(program, cache, threads)


def keep_fake_gpu(folder):
    """Of the device in tests/fake_cuda, whose figures the program does not believe, nor keep."""
    program, cache = os.environ.get("BREAKEVEN_PROGRAM"), os.environ.get("XDG_CACHE_HOME")
    if program and cache and folder:
        keep(program, cache, 0, "cuda:0", {**os.environ, "BREAKEVEN_CUDA_LIB_DIR": folder})
