"""What a user's own model does that its times alone do not show: lines that make the host wait for
the device, and how much of a real step waits for its data.

Trains a session for some steps, and leaves putting it back to who calls.  Tells sentences.
"""
import contextlib
import linecache
import os
import time
import traceback

import torch

import torch_libraries as libraries
from runner_protocol import Failure
from torch_own_file import map_tensors

# On a device each of these ends in a copy to the host, which waits for all work before it.
_READS = ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__",
          "__index__")
_LINES_MOST = 5
_TORCH = os.path.dirname(os.path.realpath(torch.__file__)) + os.sep
_DATA_S = 0.5         # of batches() with their steps, or …
_DATA_STEPS = 64      # … this many
_WARM_UPS = 2
_KEPT_MOST = 8        # of its batches, which the steps without a wait go round
_WAIT_LEAST = 0.02    # of a step: less is not told apart


def _goes_to_host(arguments, named):
    wanted = [*arguments, *named.values()]
    return any(str(value) == "cpu" for value in wanted if isinstance(value, (str, torch.device)))


@contextlib.contextmanager
def _watched(seen):
    """While it is open `seen` is called whenever a tensor is read on the host."""
    def watching(name):
        real = getattr(torch.Tensor, name)

        def read(tensor, *arguments, **named):
            if name != "to" or _goes_to_host(arguments, named):
                seen()
            return real(tensor, *arguments, **named)
        return read

    before = {name: vars(torch.Tensor).get(name) for name in (*_READS, "to")}
    for name in before:
        setattr(torch.Tensor, name, watching(name))
    try:
        yield
    finally:
        for name, own in before.items():
            if own is None:
                delattr(torch.Tensor, name)
            else:
                setattr(torch.Tensor, name, own)


def _place(own):
    """(file, line) of the user's that is at work; where none is, of the library that they call."""
    frames = [frame for frame in traceback.extract_stack()
              if os.path.realpath(frame.filename) != os.path.realpath(__file__)]
    for frame in reversed(frames):
        if own.is_of_user(frame.filename):
            return frame.filename, frame.lineno
    for frame in reversed(frames):
        if not os.path.realpath(frame.filename).startswith(_TORCH):
            return frame.filename, frame.lineno
    return None


def reading_lines(session):
    """{(file, line): how often in a step}, of the forward pass with the loss and the backward
    pass."""
    found = {}

    def seen():
        place = _place(session.own)
        if place is not None:
            found[place] = found.get(place, 0) + 1

    inputs, targets = session.next_batch()
    with torch.set_grad_enabled(session.training), _watched(seen):
        if session.training:
            session.loss_of(inputs, targets).backward()
        else:
            session.forward(inputs)
    return found


def _sentence_on(own, place, times):
    path, number = place
    name = os.path.basename(path)
    if own.is_of_user(path):
        name = os.path.relpath(os.path.realpath(path), own.folder)
    line = linecache.getline(path, number).strip()
    often = "once" if times == 1 else f"{times} times"
    return (f"{name}, line {number} ({line}) reads a tensor on the host {often} a step: on a "
            "device the host waits there until all work before it is done; leave it out of the "
            "step, or read every few steps")


class _RealSteps:
    """Steps on what the file's batches() gives: the time of each, and of waiting for its batch."""

    def __init__(self, session):
        self.session, self.kept, self.sizes = session, [], set()
        self.iterator = iter(session.own.call("batches"))
        self.count, self.wall_ns = 0, 0

    def _next(self):
        batch = self.session.own.take_batch(next(self.iterator), "an item of batches()")
        self.sizes.add(batch.samples)
        return map_tensors(batch.parts, lambda x: x.to(self.session.device))

    def _step(self, batch):
        self.session.update_on(*self.session.batch_of(batch))

    def run(self):
        libraries.synchronize(self.session.device)
        start_ns = time.monotonic_ns()
        for done in range(_WARM_UPS + _DATA_STEPS):
            if done == _WARM_UPS:
                libraries.synchronize(self.session.device)
                start_ns = time.monotonic_ns()
            elif done > _WARM_UPS and time.monotonic_ns() - start_ns > _DATA_S * 1e9:
                break
            try:
                batch = self._next()
            except StopIteration:
                break
            self._step(batch)
            self.count = max(0, done + 1 - _WARM_UPS)
            if len(self.kept) < _KEPT_MOST:
                self.kept.append(batch)
        libraries.synchronize(self.session.device)
        self.wall_ns = time.monotonic_ns() - start_ns
        return self

    def without_wait_ns(self):
        """The same number of steps on batches that are there."""
        start_ns = time.monotonic_ns()
        for k in range(self.count):
            self._step(self.kept[k % len(self.kept)])
        libraries.synchronize(self.session.device)
        return time.monotonic_ns() - start_ns


def _sentence_on_data(session):
    """How much of a step waits for batches()."""
    name = session.own.named
    real = _RealSteps(session).run()
    if real.count == 0:
        return (f"batches() of {name} ended after {len(real.kept)} batches: too few to tell how "
                "much of a step waits for data")
    wall_ns, ready_ns = real.wall_ns, real.without_wait_ns()
    share = max(0.0, 1 - ready_ns / wall_ns)
    waits = "none that could be told" if share < _WAIT_LEAST else f"{100 * share:.0f} %"
    sizes = " or ".join(str(size) for size in sorted(real.sizes))
    return (f"with batches() of {name} a step of {sizes} samples takes "
            f"{wall_ns / real.count / 1e6:.3g} ms, of which {waits} waits for data "
            f"({real.count} steps; with the batches at hand {ready_ns / real.count / 1e6:.3g} ms)")


def notes(session):
    """Sentences; of a step that is trained for it."""
    lines = sorted(reading_lines(session).items(), key=lambda item: -item[1])
    told = [_sentence_on(session.own, place, times) for place, times in lines[:_LINES_MOST]]
    if len(lines) > _LINES_MOST:
        told.append(f"{len(lines) - _LINES_MOST} more lines read tensors on the host")
    if session.training and hasattr(session.own.module, "batches"):
        try:
            told.append(_sentence_on_data(session))
        except Failure as failure:
            told.append(f"batches(): {failure}")
        except Exception as error:  # the user's own code
            told.append(f"batches(): {session.own.failure(error)}")
    return told
