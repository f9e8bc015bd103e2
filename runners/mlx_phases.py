"""Where the time of a step goes, by the host's clock.

MLX has no profiler to ask.  The parts of a step are computed one after the other, each waited for:
what is lazy makes that possible, as the forward pass is what the loss needs and the backward pass
what the gradients need beside it.  The step is not compiled as a whole for that.
"""
import time

import mlx.core as mx

import mlx_libraries as libraries

PHASES = ("data", "upload", "forward", "backward", "optimizer", "loss_read", "idle_host",
          "idle_other")


class Laps:
    """The clock between the parts."""

    def __init__(self):
        self.spent = dict.fromkeys(PHASES, 0)
        self.start_ns = self.last_ns = time.monotonic_ns()

    def __call__(self, phase):
        now_ns = time.monotonic_ns()
        self.spent[phase] += now_ns - self.last_ns
        self.last_ns = now_ns


def _do_step(session, lap):
    """`idle_host`: the device has nothing to do while the host says what is to be computed."""
    given = session.next_given()
    session.step += 1
    inputs, targets = session.batch_of(given)
    lap("idle_host")
    mx.eval(inputs, targets)
    lap("data")
    if not session.training:
        output = session.output_of(inputs)
        lap("idle_host")
        mx.eval(output, session.model.state)
        return lap("forward")
    loss, _, gradients = session.gradients(inputs, targets)
    lap("idle_host")
    mx.eval(loss, session.model.state)  # batch norms change what they keep
    lap("forward")
    mx.eval(gradients)
    lap("backward")
    session.update(gradients)
    lap("idle_host")
    mx.eval(session.state)
    lap("optimizer")
    loss.item()
    return lap("loss_read")


def measure(session, steps):
    """The answer to `phases`.  An Apple GPU has the memory of the host: nothing is copied."""
    kept = session.keep()
    try:
        libraries.synchronize()
        lap = Laps()
        for _ in range(steps):
            _do_step(session, lap)
        lap("idle_other")
    finally:
        session.put_back(kept)
    copied = None if session.device.id.startswith("cuda") else 0
    return {"steps": steps, "wall_ns": lap.last_ns - lap.start_ns, "phases": lap.spent,
            "launches": None, "synchronisations": 0 if session.device == libraries.CPU else None,
            "upload_bytes": copied, "download_bytes": copied, "work": {}, "ops": []}
