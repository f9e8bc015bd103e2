"""Where the time of a step goes, by TensorFlow's own profiler, in the very loop that `run` times.

Every operation that the processor executes is an event with its name, whose first scope is the
phase (tensorflow_training.py).  While several run at a time, they share the time between them.  On
a GPU the profiler's events have no phase: there it proves what ran on the device, no more.
"""
import collections
import glob
import os
import re
import time

import tensorflow as tf

import runner_protocol
import tensorflow_libraries as libraries
import tensorflow_weights

PHASES = ("data", "upload", "forward", "backward", "optimizer", "loss_read", "idle_host",
          "idle_other")
LOOP = "breakeven loop"
_OPERATION = re.compile(r"([^: ]+):([A-Za-z_]\w*)")
# A gradient has the scope of its operation behind it: the first word decides.
_SCOPE = re.compile(r"(?:^|/)(gradient_tape|optimizer|forward|data)/")

Event = collections.namedtuple("Event", "name start_ps end_ps line")


def record(work, place):
    """Do the work under the profiler, which writes to `place`: planes, name → list of events."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2
    with runner_protocol.temporary_folder(place) as folder:
        tf.profiler.experimental.start(folder)
        try:
            work()
        finally:
            tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        for path in glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True):
            with open(path, "rb") as file:
                space.MergeFromString(file.read())
    planes = collections.defaultdict(list)
    for plane in space.planes:
        for line in plane.lines:
            for e in line.events:
                start = line.timestamp_ns * 1000 + e.offset_ps
                planes[plane.name].append(Event(plane.event_metadata[e.metadata_id].name, start,
                                                start + e.duration_ps, line.name))
    return planes


def operations(events):
    """(event, type of the operation, phase or None) of those that are operations."""
    found = []
    for event in events:
        match = _OPERATION.fullmatch(event.name)
        if match:
            scope = _SCOPE.search(match.group(1))
            phase = scope and {"gradient_tape": "backward"}.get(scope.group(1), scope.group(1))
            found.append((event, match.group(2), phase))
    return found


def share(spans):
    """{key: ps} of spans (key, start, end): where n overlap, each gets an n-th of the time."""
    edges = sorted([(start, 1, key) for key, start, end in spans if end > start]
                   + [(end, -1, key) for key, start, end in spans if end > start],
                   key=lambda edge: edge[:2])
    spent, running, count, mark = collections.Counter(), collections.Counter(), 0, 0
    for at, change, key in edges:
        if count:
            for each, times in running.items():
                spent[each] += (at - mark) * times / count
        mark, count = at, count + change
        running[key] += change
    return spent


def layer_of(operation, names):
    """The layer of `names` in whose scope an operation stands, or "".

    A scope that is entered again has a number behind its name.
    """
    for scope in reversed(operation.split("/")[:-1]):
        for name in (scope, re.sub(r"_\d+$", "", scope)):
            if name in names:
                return name.rstrip("_")
    return ""


def _listed(found, names):
    """What the host executed, by kind and layer in the order of their first start, summed."""
    rows = {}
    for event, kind, phase in sorted(found, key=lambda item: item[0].start_ps):
        if phase is None:
            continue
        layer = layer_of(event.name, names)
        row = rows.setdefault((kind, layer, phase), {
            "op": kind, "name": layer, "phase": phase,
            "implementation": "oneDNN" if kind.startswith("_Mkl") else "Eigen", "launches": 0,
            "ns": 0, "flops": None, "bytes": None})
        row["launches"] += 1
        row["ns"] += (event.end_ps - event.start_ps) // 1000
    return list(rows.values())


def _on_cpu(answer, planes, names):
    """Phases, operations and what the processor did, of the host's events within the loop."""
    events = [event for name, found in planes.items() if name.startswith("/host")
              for event in found]
    loop = next((event for event in events if event.name.startswith(LOOP)), None)
    if loop is None:
        return
    found = [item for item in operations(events)
             if item[0].start_ps >= loop.start_ps and item[0].end_ps <= loop.end_ps]
    spent = share([(phase, event.start_ps, event.end_ps) for event, _, phase in found])
    busy = sum(spent.values())
    answer["phases"] = {name: round(spent[name] / 1000) for name in PHASES}
    # What has no scope carries arguments and results in and out of the step.
    answer["phases"]["idle_other"] = round(spent[None] / 1000)
    # By the profiler's clock, as the phases: another one need not run at its rate.
    answer["wall_ns"] = (loop.end_ps - loop.start_ps) // 1000
    answer["phases"]["idle_host"] = 0
    answer["phases"]["idle_host"] = answer["wall_ns"] - sum(answer["phases"].values())
    answer["ops"] = _listed(found, names)
    answer["launches"], answer["synchronisations"] = len(found), 0
    answer["upload_bytes"] = answer["download_bytes"] = 0
    answer["work"] = {"cpu": {"launches": len(found), "busy_ns": round(busy / 1000)}}


def _on_gpu(answer, planes, device):
    """What ran on the device; which of it belongs to which phase cannot be told."""
    kernels = [event for name, found in planes.items() if name.startswith("/device:GPU")
               for event in found if event.line.startswith("Stream")]
    if kernels:
        busy = sum(share([("", e.start_ps, e.end_ps) for e in kernels]).values())
        answer["launches"] = len(kernels)
        answer["work"] = {device.id: {"launches": len(kernels), "busy_ns": round(busy / 1000)}}


def measure(session, steps):
    """The answer to `phases`: the loop of `run` under the profiler."""
    answer = {"steps": steps, "phases": dict.fromkeys(PHASES), "launches": None,
              "synchronisations": None, "upload_bytes": None, "download_bytes": None, "work": {},
              "ops": []}

    def work():
        with session.on_device():
            libraries.synchronize()
            start = time.monotonic_ns()
            with tf.profiler.experimental.Trace(LOOP):
                for _ in range(steps):
                    session.run_step()
                libraries.synchronize()
            answer["wall_ns"] = time.monotonic_ns() - start

    kept = session.keep()
    try:
        planes = record(work, session.folder)
    finally:
        session.put_back(kept)
    if session.device == libraries.CPU:
        _on_cpu(answer, planes, session.layer_names())
        if session.form == "xla":  # one operation, whose parts have no names
            answer.update(phases=dict.fromkeys(PHASES), ops=[])
    else:
        _on_gpu(answer, planes, session.device)
    return answer
