"""Where the time of PyTorch's step goes, and fixed work to compare a machine with itself.

Times a session's own loop; owns no model and no data, and leaves the training as it was.
"""
import bisect
import copy
import time
import warnings

import torch

import torch_forms
import torch_libraries as libraries

PHASES = ("data", "upload", "forward", "backward", "optimizer", "loss_read", "idle_host",
          "idle_other")
_MARK = "breakeven.mark"
_MODULE = "breakeven.module "
_COMPILED = ("Torch-Compiled Region", "CompiledFunction", "## Call CompiledFxGraph", "triton_")
_COMPILED_TITLE = "compiled"  # of all but Triton's kernels, whose names tell what they compute
_PROFILED_STEPS = 8
_OPS_MOST = 40

# Side of the matrices, products: some ms on a few cores, on a large GPU, on an Apple GPU.
_REFERENCE = {"cpu": (256, 16), "cuda": (2048, 6), "mps": (1024, 6), "xpu": (1024, 6)}


class ReferenceChain:
    """A chain of products, each of the one before, so that nothing of it can be left out."""

    def __init__(self, device):
        self.device = device
        side, self.products = _REFERENCE[device.type]
        generator = torch.Generator().manual_seed(1)  # the training's own is not touched
        made = [torch.randn(side, side, generator=generator) / side ** 0.5 for _ in range(2)]
        self.x, self.w = [m.to(device) for m in made]
        self.run()  # what a library does at its first call

    @torch.no_grad()
    def run(self):
        libraries.synchronize(self.device)
        start = time.monotonic_ns()
        y = self.x
        for _ in range(self.products):
            y = y @ self.w
        libraries.synchronize(self.device)
        return time.monotonic_ns() - start


class Kept:
    """A session's weights, optimizer, generators and step, to be put back."""

    def __init__(self, session):
        self.session, self.step = session, session.step
        self.model = {name: value.clone() for name, value in session.model.state_dict().items()}
        self.optimizer = copy.deepcopy(session.optimizer.state_dict()) if session.training else None
        rates = session.rates
        self.rates = None if rates is None else copy.deepcopy(rates.state_dict())
        self.random = libraries.random_states(session.device)

    def restore(self):
        session = self.session
        session.model.load_state_dict(self.model)
        if self.optimizer is not None:
            session.optimizer.load_state_dict(self.optimizer)
        if self.rates is not None:
            session.rates.load_state_dict(self.rates)
        libraries.set_random_states(session.device, self.random)
        session.step, session.sent_step = self.step, None
        session.captured = None  # with an optimizer's state that is no longer its


def do_steps(session, steps, mark):
    """The loop of Session.train_step or infer_step; `mark(phase)` ends each part of it."""
    loss = None
    for _ in range(steps):
        if not session.resident:
            session.send_ahead()
            mark("upload")
        inputs, targets = session.batch_of(session.next_source())
        mark("data")
        if session.training:
            session.optimizer.zero_grad(set_to_none=True)
            mark("optimizer")
            for part in session.parts_of(inputs, targets):
                loss = session.turn_loss(*part)
                mark("forward")
                loss.backward()
                mark("backward")
            session.clip()
            session.update()
            mark("optimizer")
        else:
            with torch.inference_mode():
                session.compute_output(inputs)
            mark("forward")
        if not session.resident:
            session.send_ahead()
            mark("upload")
    return loss


def do_captured(session, steps):
    """Steps of a CUDA graph, which has no parts for the host.  The profile is that of the same
    kernels, launched one by one."""
    step = session.train_step if session.training else session.infer_step
    loss = None
    for _ in range(steps):
        loss = step()
    return loss


class HostLaps:
    """The host's clock between the parts; a device that is not the host is waited for."""

    def __init__(self, device):
        self.device, self.spent = device, dict.fromkeys(PHASES, 0)
        self.last_ns = time.monotonic_ns()

    def __call__(self, phase):
        libraries.synchronize(self.device)
        now_ns = time.monotonic_ns()
        self.spent[phase] += now_ns - self.last_ns
        self.last_ns = now_ns

    def totals(self):
        return self.spent


class EventLaps:
    """Events in the device's queue between the parts: nothing is waited for."""

    def __init__(self):
        self.marks = []
        self("")

    def __call__(self, phase):
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append((phase, event))

    def totals(self):
        spent = dict.fromkeys(PHASES, 0)
        for (_, before), (phase, event) in zip(self.marks, self.marks[1:]):
            spent[phase] += int(before.elapsed_time(event) * 1e6)
        return spent


class NoLaps:
    """No clock at all: what is outside tells."""

    def __call__(self, phase):
        pass

    def totals(self):
        return dict.fromkeys(PHASES, 0)


def _laps(device):
    if device.type != "cuda":
        return HostLaps(device)
    # An event takes the host some microseconds; a profile of other steps takes these nothing.
    return NoLaps() if libraries.profiled(device) else EventLaps()


def time_steps(session, steps):
    """(wall ns, processor's ns, phase -> ns), with one reading of the loss at the end."""
    device = session.device
    libraries.synchronize(device)
    start_ns, start_cpu_ns = time.monotonic_ns(), time.process_time_ns()
    if session.form == "graph":
        laps, loss = NoLaps(), do_captured(session, steps)
    else:
        laps = _laps(device)
        loss = do_steps(session, steps, laps)
    libraries.synchronize(device)
    read_ns = time.monotonic_ns()
    if loss is not None:
        loss.item()
    end_ns = time.monotonic_ns()
    cpu_ns = time.process_time_ns() - start_cpu_ns
    spent = laps.totals()
    if loss is not None:
        spent["loss_read"] = end_ns - read_ns
    spent["idle_other"] = max(0, end_ns - start_ns - sum(spent.values()))
    return end_ns - start_ns, cpu_ns, spent


class NamedModules:
    """The names of a model's modules around what they compute, while it is watched."""

    def __init__(self, model):
        self.hooks, self.open = [], []
        for name, module in model.named_modules():
            if not name or isinstance(module, torch.jit.ScriptModule):
                continue
            self.hooks += [module.register_forward_pre_hook(self._begin(name)),
                           module.register_forward_hook(self._end)]

    def _begin(self, name):
        def begin(_module, _inputs):
            record = torch.profiler.record_function(_MODULE + name)
            record.__enter__()
            self.open.append(record)
        return begin

    def _end(self, _module, _inputs, _output):
        self.open.pop().__exit__(None, None, None)

    def remove(self):
        for hook in self.hooks:
            hook.remove()


def _ancestors(event):
    while event is not None:
        yield event
        event = event.cpu_parent


def module_of(event):
    """The innermost module that the op of the forward pass belongs to, or ""."""
    names = (e.name for e in _ancestors(event) if e.name.startswith(_MODULE))
    return next(names, _MODULE)[len(_MODULE):]


class Profile:
    """What PyTorch's profiler tells of some steps, scaled to `steps`: ops and kernels by phase.

    Being watched makes the host slower, so what ops take there is scaled to `wall_ns`, which the
    same number of steps took when nobody watched.  Kernels of a device have their own clock.
    """

    def __init__(self, session, steps, wall_ns):
        self.on_cuda = session.device.type == "cuda"
        self.phases, self.modules = [], {}
        # A hook would have the model compiled anew.
        named = (session.names_modules and session.form not in torch_forms.COMPILED
                 and NamedModules(session.model))
        count = min(steps, _PROFILED_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it keeps one cycle, which is all there is
            with torch.profiler.profile(activities=libraries.profiled(session.device)) as profile:
                start_ns = time.monotonic_ns()
                do_steps(session, count, self._mark)
                libraries.synchronize(session.device)
                watched_ns = time.monotonic_ns() - start_ns
        if named:
            named.remove()
        self.scale = steps / count
        self.clock = 1 if self.on_cuda else wall_ns / (watched_ns * self.scale)
        self.ops, self.launches, self.busy_ns = {}, {}, dict.fromkeys(PHASES, 0)
        self._read(profile.events())

    def _mark(self, phase):
        self.phases.append(phase)
        with torch.profiler.record_function(_MARK):
            pass

    def _read(self, events):
        """Each op belongs to the part that the next mark ends."""
        self._find_modules(events)
        marks = sorted(e.time_range.start for e in events
                       if e.name == _MARK and e.device_type == torch.autograd.DeviceType.CPU)
        for event in events:
            # Without "::" it is compiled code, or a part of the program or of the profiler.
            known = "::" in event.name or event.name.startswith(_COMPILED)
            if not known or event.device_type != torch.autograd.DeviceType.CPU:
                continue
            at = bisect.bisect_left(marks, event.time_range.start)
            if at == len(self.phases):
                continue  # the wait at the end
            if self.on_cuda:
                for kernel in event.kernels:
                    self._add(self.phases[at], event, f"cuda:{kernel.device}", kernel.duration)
            else:
                # Where its parts seem longer than it is, it took nothing itself.
                self._add(self.phases[at], event, "cpu", max(0, event.self_cpu_time_total))

    def _find_modules(self, events):
        """A backward op has the number of the op of the forward pass that it is the gradient of."""
        for event in events:
            module = module_of(event) if "::" in event.name else ""
            if module and event.sequence_nr >= 0:
                self.modules.setdefault(event.sequence_nr, module)

    def _module(self, event, phase):
        if phase != "backward":
            return module_of(event)
        numbers = (e.sequence_nr for e in _ancestors(event) if e.sequence_nr in self.modules)
        return self.modules.get(next(numbers, None), "")

    def _add(self, phase, event, device, us):
        ns = us * 1e3 * self.scale * self.clock
        name = _COMPILED_TITLE if event.name.startswith(_COMPILED[:-1]) else event.name
        op = self.ops.setdefault((phase, name, self._module(event, phase)), [0, 0])
        op[0] += self.scale
        op[1] += ns
        self.launches[device] = self.launches.get(device, 0) + self.scale
        self.busy_ns[phase] += ns

    def in_order(self):
        """The ops in the order of what they take."""
        ops = sorted(self.ops.items(), key=lambda item: -item[1][1])[:_OPS_MOST]
        return [{"op": name, "name": module, "phase": phase, "implementation": "PyTorch",
                 "launches": round(launches), "ns": round(ns), "flops": None, "bytes": None}
                for (phase, name, module), (launches, ns) in ops]


def share_out(wall_ns, spent, busy_ns):
    """Phases are what the device worked; the rest of the wall time it waited for the host."""
    for phase, ns in busy_ns.items():
        spent[phase] += round(ns)
    spent["idle_other"] = 0
    rest_ns = wall_ns - sum(spent.values())
    # More work than time: copies ran beside kernels, and those that are hidden cost nothing.
    hidden_ns = min(max(0, -rest_ns), spent["upload"])
    spent["upload"] -= hidden_ns
    spent["idle_host"] = max(0, rest_ns)


def _work(session, profile, cpu_ns):
    if session.device.type == "cpu":
        busy_ns = {"cpu": cpu_ns}
    else:
        busy_ns = {str(session.device): round(sum(profile.busy_ns.values()))}
    return {device: {"launches": round(count), "busy_ns": busy_ns.get(device)}
            for device, count in profile.launches.items()}


def count_flops(session, steps):
    """The arithmetic of that many steps of a user's own model, or None."""
    kept = Kept(session)
    try:
        flops = session.flops()
    finally:
        kept.restore()
    return None if flops is None else flops * steps


def measure(session, steps):
    """The members of the answer to `phases`."""
    kept = Kept(session)
    try:
        wall_ns, cpu_ns, spent = time_steps(session, steps)
        profile = None
        if libraries.profiled(session.device):
            profile = Profile(session, steps, wall_ns)
    finally:
        kept.restore()
    kind = session.device.type
    if kind == "cuda" and profile:
        share_out(wall_ns, spent, profile.busy_ns)
    elif kind != "cpu":
        spent["idle_host"] = None
    reads = 1 if session.training else 0
    # Of its own loop: the end, the loss, and on CUDA the copy of the batch before the last.
    waits = {"cpu": 0, "cuda": 1 + reads + (0 if session.resident else steps)}.get(kind)
    return {"steps": steps, "wall_ns": wall_ns, "phases": spent,
            "launches": round(sum(profile.launches.values())) if profile else None,
            "synchronisations": waits, "upload_bytes": session.sent_bytes() * steps,
            "download_bytes": 0 if kind == "cpu" else 4 * reads,
            "work": _work(session, profile, cpu_ns) if profile else {},
            "ops": profile.in_order() if profile else []}
