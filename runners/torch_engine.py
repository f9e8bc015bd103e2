"""PyTorch as an engine of the runner protocol: one training or inference, on one device.

Owns the data, the model and the optimizer between `prepare` and the end.  A timed block is what a
good user's loop does; it may not wait for the device, read a loss or print.
"""
import contextlib
import math
import time

import numpy as np
import torch
from torch import nn

import safetensors_io
import torch_feed
import torch_libraries as libraries
import torch_phases
import torch_workloads
from runner_protocol import Failure, SCHEMA, member


def load_images(path, workload, shape, needs_order):
    """The tensors of a data file, checked against the workload: (images, labels, order or None)."""
    tensors = safetensors_io.read(path)

    def tensor(name, dtype, dimensions):
        found = tensors.get(name)
        if found is None or found.dtype != dtype or found.ndim != dimensions or found.size == 0:
            what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise Failure("BAD_DATA", f"'{name}' as {np.dtype(dtype)} of {dimensions} dimensions, "
                          f"not empty, in {path}", what, "write the data file again")
        return found

    images, labels = tensor("images", np.uint8, 4), tensor("labels", np.int32, 1)
    if images.shape[1:] != shape or len(labels) != len(images):
        raise Failure("BAD_DATA", f"images [N, {', '.join(map(str, shape))}] and N labels for "
                      f"{workload} in {path}", f"{list(images.shape)} and {len(labels)} labels",
                      "use the data of this workload")
    limits = [("labels", labels, torch_workloads.CLASSES)]
    order = tensor("order", np.int32, 1) if needs_order else None
    if needs_order:
        limits.append(("order", order, len(images)))
    for name, values, limit in limits:
        if values.min() < 0 or values.max() >= limit:
            raise Failure("BAD_DATA", f"'{name}' from 0 to {limit - 1} in {path}",
                          f"{values.min()} to {values.max()}", "write the data file again")
    return images, labels, order


def load_weights(path, model):
    """The file's tensors as a state_dict of the model."""
    tensors = safetensors_io.read(path)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is None or found.dtype != np.float32 or found.shape != shape:
            what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise Failure("BAD_DATA", f"'{name}' as float32 {list(shape)} in {path}", what,
                          "use weights of this workload")
    unknown = [name for name in tensors if name not in expected]
    if unknown:
        raise Failure("BAD_DATA", f"the weights {', '.join(expected)} alone in {path}",
                      f"also '{unknown[0]}'", "use weights of this workload")
    return {name: torch.from_numpy(tensors[name]) for name in expected}


class Session:
    """What `prepare` made: data and model on the device, and the number of the next step."""

    def __init__(self, request, device):
        self.warnings = []
        self.device = device
        self.workload = member(request, "workload", str)
        self.batch = member(request, "batch", int, least=1)
        self.training = member(request, "mode", str, "train", choices=("train", "infer")) == "train"
        self.seed = member(request, "seed", int, 0, least=0)
        if self.seed >= 1 << 64:
            raise Failure("USAGE", "'seed' below 2^64", self.seed, "use a smaller one")
        self.dropout = member(request, "dropout", str, "engine", choices=("engine", "counter"))
        self.precision = member(request, "precision", str, "fp32")
        libraries.set_precision(device, self.precision)
        if self.workload not in torch_workloads.WORKLOADS:
            raise Failure("UNAVAILABLE", f"a workload among {', '.join(torch_workloads.WORKLOADS)}",
                          f"'{self.workload}'", "choose one that this runner has")
        self.optimizer_request = member(request, "optimizer", dict) if self.training else None
        channels, _, own_size = torch_workloads.WORKLOADS[self.workload].input_shape
        self.width = member(request, "width", int, 1, least=1)
        self.size = member(request, "size", int, own_size, least=1)
        self.shape = (channels, self.size, self.size)
        self._place_data(request)
        self._read_normalization(request)
        model = self.new_model()
        self.weights = load_weights(member(request, "weights", str), model)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.loss = nn.CrossEntropyLoss()
        self.reset(self.dropout)

    def _place_data(self, request):
        path = member(request, "data", str)
        images, labels, order = load_images(path, self.workload, self.shape, needs_order=True)
        self.usable = len(order) - len(order) % self.batch
        if self.usable == 0:
            raise Failure("BAD_DATA", f"an order of at least one batch of {self.batch} in {path}",
                          f"{len(order)} images", "use a smaller batch")
        on_host = member(request, "data_on", str, "device", choices=("device", "host")) == "host"
        fits = on_host or libraries.fits(self.device, images.nbytes)
        # A processor's data lies on the host whatever is asked for.
        self.resident = self.device.type == "cpu" or (fits and not on_host)
        where = self.device if self.resident else torch.device("cpu")
        if not fits:
            self.warnings.append(f"the {images.nbytes >> 20} MiB of images do not fit on the "
                                 "device: each batch is copied there from host memory")
        self.images = torch.from_numpy(images).to(where)
        self.labels = torch.from_numpy(labels).long().to(where)
        self.order = torch.from_numpy(order).long().to(where)
        self.sent, self.sent_step = None, None
        if not self.resident:
            self.feed = torch_feed.HostFeed(self.images, self.labels, self.batch, self.device)

    def _read_normalization(self, request):
        channels = self.images.shape[1]
        normalize = member(request, "normalize", dict)
        values = {}
        for name in ("mean", "std"):
            listed = member(normalize, name, list)
            if len(listed) != channels:
                raise Failure("USAGE", f"{channels} values in 'normalize.{name}', one a channel",
                              len(listed), "correct the request")
            values[name] = [member({name: value}, name, float) for value in listed]
        if min(values["std"]) <= 0:
            raise Failure("USAGE", "'normalize.std' above 0", min(values["std"]),
                          "correct the request")

        def per_channel(numbers):
            return torch.tensor(numbers, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)

        self.mean = per_channel([255 * mean for mean in values["mean"]])
        self.scale = per_channel([1 / (255 * std) for std in values["std"]])

    def new_model(self):
        return torch_workloads.WORKLOADS[self.workload](self.width, self.size)

    def reset(self, dropout):
        """The prepared weights, a new optimizer, step 0."""
        torch.manual_seed(self.seed)
        model = self.new_model()
        model.load_state_dict(self.weights)
        self.counted = []
        if dropout == "counter":
            self.counted = torch_workloads.use_counter_dropout(model, self.seed)
        self.model = model.to(self.device).train(self.training)
        self.optimizer = self._new_optimizer() if self.training else None
        self.step = 0

    def _new_optimizer(self):
        request, parameters = self.optimizer_request, self.model.parameters()
        name = member(request, "name", str, choices=("sgd", "adam", "adamw"))
        common = {"lr": member(request, "lr", float, least=0),
                  "weight_decay": member(request, "weight_decay", float, 0.0, least=0)}
        if name == "sgd":
            return torch.optim.SGD(parameters, **common,
                                   momentum=member(request, "momentum", float, 0.0, least=0))
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        betas = (member(request, "beta1", float, 0.9, least=0),
                 member(request, "beta2", float, 0.999, least=0))
        if max(betas) >= 1:
            raise Failure("USAGE", "'beta1' and 'beta2' below 1", max(betas), "correct the request")
        return kind(parameters, **common, betas=betas,
                    eps=member(request, "epsilon", float, 1e-8, least=0))

    def autocast(self):
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def index(self):
        """The images of the next step."""
        start = self.step * self.batch % self.usable
        return self.order[start:start + self.batch]

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

    def next_pixels(self):
        """The pixels and labels of the next step, on the device."""
        if self.resident:
            index = self.index()
            pixels, labels = self.images.index_select(0, index), self.labels.index_select(0, index)
        else:
            self.send_ahead()
            pixels, labels = self.feed.take(self.sent)
            self.sent_step = None
        self.pass_step()
        return pixels, labels

    def normalize(self, pixels):
        return pixels.float().sub_(self.mean).mul_(self.scale)

    def next_batch(self):
        pixels, labels = self.next_pixels()
        return self.normalize(pixels), labels

    def forward(self, x):
        """The logits, in float32 also under autocast."""
        with self.autocast():
            return self.model(x).float()

    def train_step(self):
        x, target = self.next_batch()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.forward(x), target)
        loss.backward()
        self.optimizer.step()
        self.send_ahead()
        return loss.detach()

    @torch.inference_mode()
    def infer_step(self):
        x, _ = self.next_batch()
        self.forward(x)
        self.send_ahead()


def in_json(loss):
    """A loss as the protocol has it: null where it is no finite number."""
    return loss if loss is not None and math.isfinite(loss) else None


class Engine:
    """The ops of the protocol."""

    def __init__(self):
        self.session = None
        self.chain = None

    def hello(self, request):
        return {"schema": SCHEMA, "engine": "torch", "version": str(torch.__version__),
                "libraries": libraries.versions(), "devices": libraries.devices()}

    def prepare(self, request):
        start = time.monotonic_ns()
        self.session = None
        device = libraries.find_device(member(request, "device", str))
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what an earlier session left
        threads = member(request, "threads", int, torch.get_num_threads(), least=1)
        threads_warnings = libraries.set_threads(threads)
        session = Session(request, device)
        libraries.synchronize(device)
        self.session = session
        return {"parameters": session.parameters, "device_name": libraries.device_name(device),
                "implementation": libraries.implementation(device),
                "precision": session.precision, "threads": torch.get_num_threads(),
                "prepare_ns": time.monotonic_ns() - start,
                "warnings": session.warnings + threads_warnings + libraries.warnings(device)}

    def _prepared(self):
        if self.session is None:
            raise Failure("USAGE", "a prepared workload", "none", "send 'prepare' first")
        return self.session

    def run(self, request):
        session = self._prepared()
        steps = member(request, "steps", int, least=1)
        wants_losses = member(request, "losses", bool, False)
        losses, loss = [], None
        step = session.train_step if session.training else session.infer_step
        libraries.synchronize(session.device)
        start = time.monotonic_ns()
        for _ in range(steps):
            loss = step()
            if wants_losses:
                losses.append(loss)
        libraries.synchronize(session.device)
        wall_ns = time.monotonic_ns() - start
        if session.training:
            losses = torch.stack(losses or [loss]).tolist()
        else:
            losses = [None] * steps  # inference has logits, no loss
        answer = {"steps": steps, "wall_ns": wall_ns, "loss": in_json(losses[-1])}
        if wants_losses:
            answer["losses"] = [in_json(loss) for loss in losses]
        return answer

    def sync(self, request):
        device = self._prepared().device
        start = time.monotonic_ns()
        libraries.synchronize(device)
        return {"wall_ns": time.monotonic_ns() - start}

    def parity(self, request):
        """Always with the counter's dropout; leaves the session as `prepare` did."""
        session = self._prepared()
        steps, out = member(request, "steps", int, least=1), member(request, "out", str)
        session.reset("counter")
        tensors, losses = {}, []
        for t in range(steps):
            x, target = session.next_batch()
            with torch.set_grad_enabled(session.training):
                logits = session.forward(x)
                loss = session.loss(logits, target)
            if t == 0:
                tensors = {"input": x, "target": target, "logits": logits, "loss": loss}
                for name, p in session.model.named_parameters():
                    tensors["param." + name] = p.detach().clone()
            if session.training:
                session.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if t == 0:
                    for name, p in session.model.named_parameters():
                        tensors["grad." + name] = p.grad.clone()
                session.optimizer.step()
            losses.append(loss.detach())
        tensors["losses"] = torch.stack(losses)
        safetensors_io.write(out, {k: v.detach().cpu().numpy() for k, v in tensors.items()})
        session.reset(session.dropout)
        return {"steps": steps}

    @torch.no_grad()
    def evaluate(self, request):
        session = self._prepared()
        data = load_images(member(request, "data", str), session.workload, session.shape,
                           needs_order=False)
        images, labels = torch.from_numpy(data[0]), torch.from_numpy(data[1]).long()
        correct, losses = [], []
        session.model.eval()
        try:
            for pixels, target in zip(images.split(session.batch), labels.split(session.batch)):
                target = target.to(session.device)
                logits = session.forward(session.normalize(pixels.to(session.device)))
                losses.append(nn.functional.cross_entropy(logits, target, reduction="sum"))
                correct.append((logits.argmax(1) == target).sum())
        finally:
            session.model.train(session.training)
        loss = sum(torch.stack(losses).tolist()) / len(images)
        return {"count": len(images), "correct": sum(torch.stack(correct).tolist()),
                "loss": in_json(loss)}

    def export(self, request):
        state = self._prepared().model.state_dict()
        safetensors_io.write(member(request, "out", str),
                             {name: value.cpu().numpy() for name, value in state.items()})
        return {}

    def phases(self, request):
        session = self._prepared()
        return torch_phases.measure(session, member(request, "steps", int, least=1))

    def reference(self, request):
        device = self._prepared().device
        if self.chain is None or self.chain.device != device:
            self.chain = torch_phases.ReferenceChain(device)
        return {"wall_ns": self.chain.run()}

    def failure_of(self, error):
        """What the conductor is told of an exception that no op foresaw."""
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        if isinstance(error, MemoryError) or any(
                sign in str(error) for sign in ("out of memory", "can't allocate memory",
                                                "not enough memory")):
            self.session = None
            return Failure("NO_MEMORY", "the memory that this needs", f"too little ({text})",
                           "use a smaller batch, then prepare again")
        if any(sign in str(error) for sign in ("CUDA error", "cuDNN error", "CUDNN_", "CUBLAS_")):
            self.session = None
            return Failure("DRIVER", "the device to work", f"an error of its driver ({text})",
                           "start the runner again, or update the driver")
        return Failure("FAILED", "PyTorch to do this", text, "the runner's log has the place")
