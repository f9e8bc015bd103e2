"""PyTorch as an engine of the runner protocol: one training or inference, on one device.

Owns the data, the model and the optimizer between `prepare` and the end.  A timed block is what a
good user's loop does; it may not wait for the device, read a loss or print.
"""
import contextlib
import os
import time

import numpy as np
import torch

import runner_engine
import runner_job
import safetensors_io
import torch_feed
import torch_forms
import torch_group
import torch_libraries as libraries
import torch_operations
import torch_own
import torch_own_file
import torch_phases
import torch_workloads
from runner_job import in_json
from runner_protocol import Failure, SCHEMA, member, tried
from torch_loop import Loop

DRIVER_SIGNS = ("CUDA error", "cuDNN error", "CUDNN_", "CUBLAS_")


def place(values, device):
    """A field's samples on a device; windows over a text share its memory there too.

    Whole numbers are what PyTorch's losses and embeddings take fastest: of 64 bits.
    """
    if runner_job.overlaps(values):
        text, stride = runner_job.window_text(values)
        placed = torch.from_numpy(text.astype(np.int64)).to(device)
        return placed.unfold(0, values.shape[1], stride)
    placed = torch.from_numpy(values)
    return (placed.long() if placed.dtype == torch.int32 else placed).to(device)


class Session(Loop, runner_job.Job):
    """What `prepare` made: data and model on the device, and the number of the next step."""
    has_workers = has_turns = True

    def __init__(self, request, device, form):
        super().__init__(request, torch_workloads.WORKLOADS)
        self.device, self.form = device, form
        if self.workers > 1:
            self._check_workers()
        refused = torch_operations.refusal(self.workload, form, device)
        if refused is not None:
            raise Failure("UNAVAILABLE", *refused)
        libraries.set_precision(device, self.precision)
        self._place_data(request)
        self.normalization = {
            name: [torch.tensor(numbers, dtype=torch.float32, device=device).view(1, -1, 1, 1)
                   for numbers in both]
            for name, both in self.read_normalization(request).items()}
        model = self.new_model()
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        weights = runner_job.load_weights(member(request, "weights", str), shapes)
        self.weights = {name: torch.from_numpy(value) for name, value in weights.items()}
        self.parameters = sum(p.numel() for p in model.parameters())
        self.warnings += torch_forms.layout_warnings(self.form, model.parameters())
        self.reset(self.dropout)

    def _check_workers(self):
        torch_group.backend_for(self.device)
        if self.form == "graph" or self.workload in torch_operations.OPERATIONS:
            raise Failure("UNAVAILABLE", "a network with torch or torch-compile for several "
                          "workers", torch_forms.name_of(self.form) if self.form == "graph"
                          else self.workload, "use one of these")

    def join(self, address):
        """Become one of the workers, when each has what it needs."""
        self.group = torch_group.Member(self.rank, self.workers, self.device, address)
        self.reset(self.dropout)

    def _place_data(self, request):
        fields, order = self.read_data(request)
        taken = sum(values.nbytes for values in fields.values() if not runner_job.overlaps(values))
        fits = self.on_host or libraries.fits(self.device, taken)
        # A processor's data lies on the host whatever is asked for.
        self.resident = self.device.type == "cpu" or (fits and not self.on_host)
        where = self.device if self.resident else torch.device("cpu")
        if not fits:
            self.warnings.append(f"the {taken >> 20} MiB of data do not fit on the device: each "
                                 "batch is copied there from host memory")
        self.samples = {name: place(values, where) for name, values in fields.items()}
        self.order = torch.from_numpy(order).long().to(where)
        self.sent, self.sent_step = None, None
        if not self.resident:
            self.feed = torch_feed.HostFeed(list(self.samples.values()), self.part, self.device)

    def new_model(self):
        return torch_workloads.new_model(self)

    def reset(self, dropout):
        """The prepared weights, a new optimizer, step 0."""
        torch.manual_seed(self.seed + self.rank)  # each worker drops out for itself
        model = self.new_model()
        model.load_state_dict(self.weights)
        self.counted = []
        if dropout == "counter":
            self.counted = torch_workloads.use_counter_dropout(model, self.seed,
                                                               (self.rank, self.workers))
        self.model = torch_forms.lay_out(self.form, model.to(self.device)).train(self.training)
        self.net = self.model if self.group is None else self.group.wrap(self.model)
        self.optimizer = self._new_optimizer() if self.training else None
        self.rates = self._new_rates() if self.training else None
        self.step = 0
        self.take_form()

    def buffers(self):
        """What files of weights hold and nothing trains, by name."""
        trained = dict(self.model.named_parameters())
        return {name: value for name, value in self.model.state_dict().items()
                if name not in trained and not runner_job.is_counter(name)}

    def _new_optimizer(self):
        settings, parameters = self.optimizer_settings, list(self.model.parameters())
        if settings["name"] == "none":
            return torch_operations.NoUpdate(parameters)
        if settings["decay"] == "matrices":
            spared = {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}
            parameters = [{"params": [p for p in parameters if p.dim() >= 2]}, spared]
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        kind = kinds[settings["name"]]
        common = {"lr": settings["lr"], "weight_decay": settings["weight_decay"],
                  **torch_forms.fused(kind, self.device)}
        if settings["name"] == "sgd":
            return kind(parameters, **common, momentum=settings["momentum"])
        return kind(parameters, **common, betas=settings["betas"], eps=settings["epsilon"])

    def _new_rates(self):
        schedule = self.optimizer_settings["schedule"]
        if schedule is None:
            return None
        if self.form == "graph":
            raise Failure("UNAVAILABLE", "a constant learning rate for torch-graph, whose captured "
                          "step keeps that of its capture", f"the schedule '{schedule.kind}'",
                          "use torch or torch-compile")
        return torch.optim.lr_scheduler.LambdaLR(self.optimizer,
                                                 lambda step: schedule.factor(step))

    def clip(self):
        """Between backward and optimizer."""
        if self.optimizer_settings["max_gradient_norm"]:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(),
                                           self.optimizer_settings["max_gradient_norm"])

    def index(self):
        """The samples of the next step."""
        return self.order[self.next_rows()]

    def pass_step(self):
        for layer in self.counted:
            layer.step = self.step
        self.step += 1

    def send_ahead(self):
        """While the device computes: the next batch, if the data is not there."""
        if self.resident or self.sent_step == self.step:
            return
        self.sent = self.feed.send(self.feed.gather(self.index()))
        self.sent_step = self.step

    def next_source(self):
        """What the next step is made of: numbers of samples where these lie on the device, else
        the fields as they were sent there."""
        if self.resident:
            source = self.index()
        else:
            self.send_ahead()
            source = self.feed.take(self.sent)
            self.sent_step = None
        self.pass_step()
        return source

    def batch_of(self, source):
        if self.resident:
            source = [field.index_select(0, source) for field in self.samples.values()]
        return self.split(dict(zip(self.samples, source)))

    def split(self, samples):
        """What the model is given, and the targets; bytes become numbers."""
        for name, (mean, scale) in self.normalization.items():
            samples[name] = torch_forms.lay_out(
                self.form, samples[name].float().sub_(mean).mul_(scale))
        return [samples[name] for name in self.inputs], [samples[name] for name in self.targets]

    def forward(self, inputs):
        """The logits, in float32 also under autocast."""
        with self.autocast():
            return self.net(*inputs).float()

    def loss_of(self, inputs, targets):
        return self.whole(inputs, targets)[1]

    def whole(self, inputs, targets):
        """Logits and loss."""
        logits = self.forward(inputs)
        return logits, self.model.loss(logits, *targets)

    def whole_of(self, traced):
        """What was traced of the whole batch, where several workers cut it; all of them ask."""
        if self.group is None:
            return traced
        self.group.expect_same(self.model.parameters())
        # Without targets the samples are compared with one another: all have the same logits.
        batched = ("input", "target", *((self.output,) if self.targets else ()))
        return {name: self.group.mean(value) if name in ("loss", "losses") else
                self.group.join(value) if name.partition(".")[0] in batched else value
                for name, value in traced.items()}

    def sent_bytes(self):
        """That a step copies to the device."""
        if self.resident:
            return 0
        return sum(x.numel() * x.element_size() for x in self.feed.slots[0].host)


class Engine(runner_engine.Engine):
    """The ops of the protocol."""
    title, driver_signs, own_file = "PyTorch", DRIVER_SIGNS, torch_own_file.TorchFile

    def __init__(self, form=None):
        super().__init__()
        self.form = form
        self.chain = None
        self.others = None  # the workers that this one has started
        self.meetings = 0

    def hello(self, request):
        devices, unusable = libraries.devices(), []
        if member(request, "try", bool, False):
            devices, unusable = tried(devices, libraries.computes)
        forms = {}
        if self.form is None:
            for form in torch_forms.COMPILED:
                possible, others = torch_forms.sort_devices(form, devices)
                forms[torch_forms.name_of(form)] = {"devices": possible, "unusable_devices": others}
        devices, others = torch_forms.sort_devices(self.form, devices)
        return {"schema": SCHEMA, "engine": torch_forms.name_of(self.form),
                "version": str(torch.__version__), "libraries": libraries.versions(),
                "devices": devices, "unusable_devices": unusable + others, "forms": forms}

    def prepare(self, request):
        start = time.monotonic_ns()
        self._leave()
        self._start_others(request)
        device = libraries.find_device(member(request, "device", str))
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what an earlier session left
        torch_forms.start(self.form, device, os.path.dirname(member(request, "weights", str)))
        threads = member(request, "threads", int, torch.get_num_threads(), least=1)
        threads_warnings = libraries.set_threads(threads)
        with self._together(request, torch_group.of_rank):
            session = (torch_own.Session(request, device, self.own, self.form)
                       if self._takes_own(request) else Session(request, device, self.form))
        self._meet(session)
        libraries.synchronize(device)
        self.session = session
        return {**self._told(), "parameters": session.parameters,
                "device_name": libraries.device_name(device),
                "implementation": libraries.implementation(device) + torch_forms.words(self.form),
                "precision": session.precision, "threads": torch.get_num_threads(),
                "prepare_ns": time.monotonic_ns() - start,
                "warnings": session.warnings + threads_warnings + libraries.warnings(device)}

    def _leave(self):
        self.session = None
        torch_group.leave()

    @contextlib.contextmanager
    def _together(self, request, make=None):
        """What the workers that this one has started do at the same time."""
        if self.others is None:
            yield
            return
        try:
            self.others.send(request, make)
            yield
            self.others.take()
        except Exception as error:
            blamed = None if isinstance(error, Failure) else self.others.blame()
            self._end_others()
            self._leave()
            raise blamed or error

    def _start_others(self, request):
        workers, rank = member(request, "workers", int, 1, least=1), request.get("rank", 0)
        if self.others is not None and self.others.count != workers:
            self._end_others()
        if workers > 1 and "model" in request:
            raise Failure("UNAVAILABLE", "a workload of the ladder for several workers",
                          request["model"], "measure it with one")
        if workers > 1 and rank == 0 and self.others is None:
            self.others = torch_group.Others(workers)

    def _end_others(self):
        if self.others is not None:
            self.others.end()
            self.others = None

    def _meet(self, session):
        if self.others is not None:
            self.meetings += 1
            address = f"file://{session.folder}/workers-{os.getpid()}-{self.meetings}"
            with self._together({"op": "join", "address": address}):
                session.join(address)

    def join(self, request):
        """Of a worker that another has started: meet the others."""
        self._prepared().join(member(request, "address", str))
        return {}

    def _alone(self):
        session = self._prepared()
        if session.group is not None:
            raise Failure("UNAVAILABLE", "one worker", f"{session.workers}", "prepare one for it")
        return session

    def seed(self, seed):
        torch_own_file.seed_all(seed)

    def synchronize(self, session):
        libraries.synchronize(session.device)

    def kept(self, loss):
        return loss.clone()  # the next step of a CUDA graph overwrites it

    def read_losses(self, session, losses):
        return session.mean_of(torch.stack(losses)).tolist()

    def during(self, request, session):
        if self.own is not None:
            session.stay_early(member(request, "steps", int, least=1))
        return self._together(request)

    def _of_ladder(self):
        self._alone()
        return super()._of_ladder()

    def trace(self, session, steps):
        tensors, losses = {}, []
        for t in range(steps):
            inputs, targets = session.next_batch()
            with torch.set_grad_enabled(session.training):
                logits, loss = session.compute_whole(inputs, targets)
            if t == 0:
                batch = dict(zip(session.inputs + session.targets, inputs + targets))
                tensors = {**session.trace_of(batch), session.output: logits, "loss": loss}
                for name, p in session.model.named_parameters():
                    tensors["param." + name] = p.detach().clone()
            if session.training:
                session.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                session.clip()
                if t == 0:
                    for name, p in session.model.named_parameters():
                        tensors["grad." + name] = p.grad.clone()
                session.update()
            if t == 0:
                for name, value in session.buffers().items():
                    tensors["buffer." + name] = value.clone()
            losses.append(loss.detach())
        tensors["losses"] = torch.stack(losses)
        return {name: value.detach().cpu().numpy()
                for name, value in session.whole_of(tensors).items()}

    @torch.no_grad()
    def evaluate(self, request):
        session = self._of_ladder()
        data, _ = runner_job.load_fields(member(request, "data", str), session.workload,
                                         session.fields, needs_order=False)
        samples = {name: place(values, torch.device("cpu")) for name, values in data.items()}
        count = len(next(iter(samples.values())))
        right, losses = [], []
        session.model.eval()
        try:
            for first in range(0, count, session.batch):
                rows = slice(first, min(first + session.batch, count))
                inputs, targets = session.split(
                    {name: values[rows].to(session.device) for name, values in samples.items()})
                logits = session.forward(inputs)
                losses.append(session.model.loss(logits, *targets) * (rows.stop - rows.start))
                right.append(torch_workloads.count_right(logits, targets))
        finally:
            session.model.train(session.training)
        return {"count": count, "correct": sum(torch.stack(right).tolist()),
                "loss": in_json(sum(torch.stack(losses).tolist()) / count)}

    def export(self, request):
        state = self._of_ladder().model.state_dict()
        safetensors_io.write(member(request, "out", str),
                             {name: value.cpu().numpy() for name, value in state.items()
                              if not runner_job.is_counter(name)})
        return {}

    def phases(self, request):
        session, steps = self._alone(), member(request, "steps", int, least=1)
        answer = torch_phases.measure(session, steps)
        if self.own is not None:
            answer["flops"] = torch_phases.count_flops(session, steps)
            answer["notes"] = session.notes()
        return answer

    def reference(self, request):
        device = self._prepared().device
        if self.chain is None or self.chain.device != device:
            self.chain = torch_phases.ReferenceChain(device)
        return {"wall_ns": self.chain.run()}

    def failure_of(self, error):
        failure = torch_forms.failure_of(error) or runner_job.failure_of(error, self.title,
                                                                         self.driver_signs)
        if torch_group.leave():
            self.session = None
        return self._after(failure, error)
