"""The ops of the protocol that every engine answers in the same way.

Knows numpy alone: an Engine is subclassed by what knows a library, whose sessions have `training`,
`run_step`, and of the ladder `reset` and `dropout`.
"""
import contextlib
import time

import own_trace
import runner_job
import safetensors_io
from runner_job import in_json
from runner_protocol import Failure, member


class Engine:
    """Owns the session between `prepare` and the end."""
    title = None         # what people call it
    driver_signs = ()    # in the text of an exception that its driver is the cause of
    own_file = None      # the class of a user's file

    def __init__(self):
        self.session = None
        self.own = None  # the user's file, once it was asked for

    # What an engine has to say.

    def synchronize(self, session):
        """Wait until the device has done all its work."""
        raise NotImplementedError

    def read_losses(self, session, losses):
        """As numbers."""
        return [float(loss) for loss in losses]

    def trace(self, session, steps):
        """What `parity` writes of a session at step 0, as arrays of numpy."""
        raise NotImplementedError

    def seed(self, seed):
        """Before a user's file is imported."""
        raise NotImplementedError

    def kept(self, loss):
        """A loss that the next step leaves alone."""
        return loss

    def during(self, _request, _session):
        """A context in which steps are done."""
        return contextlib.nullcontext()

    # The ops.

    def _takes_own(self, request):
        """Whether a user's model is asked for, which is `self.own` then."""
        named = member(request, "model", str, None)
        if named is None:
            self.own = None
            return False
        if self.own is None or self.own.asked != named:
            self.own = None
            self.seed(member(request, "seed", int, 0, least=0))
            self.own = self.own_file(named)
        self.own.take_dimensions(request)
        return True

    def _told(self):
        """What a user's file says of itself."""
        return {**self.own.unit(), **self.own.title()} if self.own is not None else {}

    def _prepared(self):
        if self.session is None:
            raise Failure("USAGE", "a prepared workload", "none", "send 'prepare' first")
        return self.session

    def _of_ladder(self):
        session = self._prepared()
        if self.own is not None:
            raise Failure("UNAVAILABLE", "a workload of the ladder", f"the file {self.own.named}",
                          "its answers are not judged here")
        return session

    def run(self, request):
        session = self._prepared()
        steps = member(request, "steps", int, least=1)
        wants_losses = member(request, "losses", bool, False)
        keeps, losses, last = wants_losses and session.training, [], None
        with self.during(request, session):
            self.synchronize(session)
            start = time.monotonic_ns()
            for _ in range(steps):
                last = session.run_step()
                if keeps:
                    losses.append(self.kept(last))
            self.synchronize(session)
            wall_ns = time.monotonic_ns() - start
            if session.training:
                losses = self.read_losses(session, losses or [last])
            else:
                losses = [None] * steps  # inference has logits, no loss
        answer = {"steps": steps, "wall_ns": wall_ns, "loss": in_json(losses[-1])}
        if wants_losses:
            answer["losses"] = [in_json(loss) for loss in losses]
        return answer

    def sync(self, _request):
        session = self._prepared()
        start = time.monotonic_ns()
        self.synchronize(session)
        return {"wall_ns": time.monotonic_ns() - start}

    def parity(self, request):
        """Always with the counter's dropout; leaves the session as `prepare` did."""
        session = self._prepared()
        steps, out = member(request, "steps", int, least=1), member(request, "out", str)
        if self.own is not None:
            return self._own_parity(request, steps, out)
        with self.during(request, session):
            session.reset("counter")
            tensors = self.trace(session, steps)
            if session.rank == 0:
                safetensors_io.write(out, tensors)
            session.reset(session.dropout)
        return {"steps": steps}

    def _own_parity(self, request, steps, out):
        session, judges = self.session, member(request, "judge", bool, False)
        answer = {"steps": steps, "draws": session.draws()} if judges else {"steps": steps}
        found = session.trace(steps)
        if judges:
            found = own_trace.without_rounding(found)
            answer["moved"] = session.moved(steps, found)
            answer.update(session.shapes())
        safetensors_io.write(out, found)
        return answer

    def _own_phases(self, steps):
        """What `phases` says of a user's file alone."""
        if self.own is None:
            return {}
        flops = self.own.flops(self.session.batch)
        return {"flops": None if flops is None else flops * steps, "notes": []}

    def failure_of(self, error):
        return self._after(runner_job.failure_of(error, self.title, self.driver_signs), error)

    def _after(self, failure, error):
        """What is told of an exception: a session that may be broken goes."""
        if failure.status != "FAILED":
            self.session = None
        elif self.own is not None:
            return self.own.failure(error)
        return failure
