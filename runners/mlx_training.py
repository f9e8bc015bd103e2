"""One training or inference of a workload by MLX, on one device.

Owns data, model and optimizer.
"""
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_map, tree_unflatten

import mlx_libraries as libraries
import mlx_workloads as workloads
import runner_job
from mlx_loop import Loop
from runner_protocol import Failure, member

# Members of `optimizer` that this file acts on.
OPTIMIZER = ("name", "lr", "momentum", "weight_decay", "beta1", "beta2", "epsilon",
             "max_gradient_norm", "decay", "schedule")


def check_optimizer(optimizer):
    """A training without what was asked for would be another one."""
    unknown = [name for name, value in optimizer.items() if name not in OPTIMIZER and value]
    if unknown:
        raise Failure("UNAVAILABLE", f"an optimizer of {', '.join(OPTIMIZER)} alone",
                      f"'{unknown[0]}'", "leave it out, or use another engine")


class Samples:
    """One field of the data, pictures of bytes [N, H, W, C] or whole numbers, which a batch is
    gathered from.  Windows over a text share its memory."""

    def __init__(self, values):
        self.stride, self.offsets = None, None
        self.is_picture = values.dtype == np.uint8
        if self.is_picture:
            values = np.ascontiguousarray(np.moveaxis(values, 1, -1))
        elif runner_job.overlaps(values):
            self.offsets = np.arange(values.shape[1], dtype=np.int32)
            values, self.stride = runner_job.window_text(values)
        self.values = values

    def place(self):
        """To the device; from here on that is where batches are gathered."""
        self.values = mx.array(self.values)
        if self.stride is not None:
            self.offsets = mx.array(self.offsets)

    def gather(self, values, rows):
        """The samples of these rows, of `values` wherever both lie."""
        if self.stride is not None:
            rows = rows[:, None] * self.stride + self.offsets
        return values[rows]


class Session(Loop, runner_job.Job):
    """What `prepare` made: data and model on the device, and the number of the next step."""

    def __init__(self, request, device):
        super().__init__(request, workloads.WORKLOADS)
        if self.training:
            check_optimizer(request["optimizer"])
        self.device = device
        libraries.check_precision(device, self.precision)
        fields, order = self.read_data(request)
        self.normalization = {name: [mx.array(numbers, mx.float32) for numbers in both]
                              for name, both in self.read_normalization(request).items()}
        self._place_data(fields, order[:self.usable])
        shapes = {p.name: p.shape for p in workloads.parameters(workloads.new_model(self))}
        self.weights = runner_job.load_weights(member(request, "weights", str), shapes)
        self.reset(self.dropout)
        self.parameter_count = sum(self.weights[p.name].size for p in self.parameters)

    def _place_data(self, fields, order):
        # A processor's data lies on the host whatever is asked for.
        self.resident = self.device == libraries.CPU or not self.on_host
        self.samples = {name: Samples(values) for name, values in fields.items()}
        self.rows = order.reshape(-1, self.batch)
        if self.resident:
            for samples in self.samples.values():
                samples.place()
            self.rows = mx.array(self.rows)
            mx.eval(self.rows, self._held())

    def _held(self):
        return [samples.values for samples in self.samples.values()]

    def reset(self, dropout):
        """A new model with the prepared weights, a new optimizer, step 0."""
        mx.random.seed(self.seed)
        self.model = workloads.new_model(self)
        self.counted = []
        if dropout == "counter":
            self.counted = workloads.use_counter_dropout(self.model, self.seed)
        found = workloads.parameters(self.model)
        self.parameters = [p for p in found if p.trained]
        self.buffers = [p for p in found if not p.trained]
        self.model.update(tree_unflatten([(p.name, p.from_file(self.weights[p.name]))
                                          for p in found]))
        self.model.train(self.training)
        self.optimizer = None
        if self.training:
            self.optimizer = self._new_optimizer()
            self.optimizer.init(self.model.trainable_parameters())
        self.step = 0
        if self.counted:
            # Nothing of it is computed: the layers see how large their masks are.
            self.output_of(self.batch_of(self._given())[0])
        self.begin()

    def _new_optimizer(self):
        settings = self.optimizer_settings
        if settings["name"] == "none":
            raise Failure("UNAVAILABLE", "an optimizer sgd, adam or adamw", "'none'",
                          "use another engine for operations alone")
        decay, schedule = settings["weight_decay"], settings["schedule"]
        rate = settings["lr"]
        if schedule is not None:
            last = schedule.last_step()
            table = mx.array([rate * schedule.factor(step) for step in range(last + 1)],
                             mx.float32)
            mx.eval(table)

            def rate(step):
                return table[mx.minimum(step, last)]

        def make(decay):
            if settings["name"] == "sgd":
                return optim.SGD(rate, settings["momentum"], decay)
            common = {"betas": settings["betas"], "eps": settings["epsilon"],
                      "bias_correction": True}
            if settings["name"] == "adam":  # its decay is part of the gradient: change()
                return optim.Adam(rate, **common)
            return optim.AdamW(rate, weight_decay=decay, **common)

        self.least_decayed = 2 if settings["decay"] == "matrices" else 0
        if self.least_decayed and decay and settings["name"] != "adam":
            return optim.MultiOptimizer([make(decay), make(0.0)],
                                        [lambda _, gradient: gradient.ndim >= 2])
        return make(decay)

    # ------------------------------------------------------------ what a step is made of

    def _given(self):
        """The numbers of the next samples and all of them; those themselves, where they do not lie
        on the device."""
        rows = self.rows[self.step % len(self.rows)]
        if self.resident:
            return [rows, *self._held()]
        return [mx.array(samples.gather(samples.values, rows))
                for samples in self.samples.values()]

    def next_given(self):
        for layer in self.counted:
            layer.set_step(self.step)
        return self._given()

    def batch_of(self, given):
        """Bytes become numbers."""
        if self.resident:
            rows, *held = given
            given = [samples.gather(values, rows)
                     for samples, values in zip(self.samples.values(), held)]
        return self._split(dict(zip(self.samples, given)))

    def _split(self, samples):
        """What the model is given, and the targets."""
        for name, (mean, scale) in self.normalization.items():
            samples[name] = (samples[name].astype(mx.float32) - mean) * scale
        return [samples[name] for name in self.inputs], [samples[name] for name in self.targets]

    def output_of(self, inputs):
        return self.model(*inputs)

    def whole(self, inputs, targets):
        """The mean over all targets, of which a sample of a text has many."""
        logits = self.output_of(inputs)
        return nn.losses.cross_entropy(logits, *targets, reduction="mean"), logits

    def change(self, gradients):
        """Clipped, where that was asked for."""
        settings = self.optimizer_settings
        if settings["max_gradient_norm"]:
            gradients, _ = optim.clip_grad_norm(gradients, settings["max_gradient_norm"])
        return gradients

    def update(self, gradients):
        settings = self.optimizer_settings
        decay, least = settings["weight_decay"], self.least_decayed
        if settings["name"] == "adam" and decay:
            gradients = tree_map(lambda g, p: g + decay * p if p.ndim >= least else g,
                                 gradients, self.model.trainable_parameters())
        super().update(gradients)

    # ------------------------------------------------------------ over samples of a file

    def evaluate(self, fields):
        """(the sum over the samples of their losses, how many targets are right)"""
        samples, loss, right = {n: Samples(v) for n, v in fields.items()}, 0.0, 0
        count = len(next(iter(fields.values())))
        self.model.eval()
        try:
            for first in range(0, count, self.batch):
                rows = np.arange(first, min(first + self.batch, count))
                inputs, targets = self._split({name: mx.array(each.gather(each.values, rows))
                                               for name, each in samples.items()})
                part, logits = self.whole(inputs, targets)
                loss += part.item() * len(rows)
                right += (logits.argmax(-1) == targets[0]).sum().item()
        finally:
            self.model.train(self.training)
        return loss, right
