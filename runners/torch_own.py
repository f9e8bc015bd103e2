"""A user's own model in training or inference on one device: the session of a TorchFile
(torch_own_file.py).

Batches are made before the clock runs, from a seed, the same for every contender; the first one
saves the initial weights, and all load them.  What is compared between contenders has dropout
switched off: no two devices draw alike.
"""
import os

import torch
import torch.nn.functional as F

import own_trace
import torch_forms
import torch_libraries as libraries
import torch_own_watch
import torch_phases
from runner_protocol import Failure, member
from torch_loop import Loop
from torch_own_file import map_tensors, named_tensors, seed_all

# Steps from the prepared weights that are timed, of a training on the processor: on few batches
# that come round and round units of the model die, and what is left of their momentum becomes
# denormal after some 700 steps (0.9^700), which is slow: of an MLP 2.5 times as slow.
EARLY_STEPS = 400
_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
             "feature_alpha_dropout")
_whole = {name: getattr(F, name) for name in (*_DROPOUTS, "scaled_dot_product_attention")
          if hasattr(F, name)}


def _pass(x, *_arguments, **_named):
    return x


def _attend(query, key, value, attn_mask=None, dropout_p=0.0, *rest, **named):
    return _whole["scaled_dot_product_attention"](query, key, value, attn_mask, 0.0, *rest,
                                                  **named)


def switch_dropout(on):
    """PyTorch's own functions of dropout, for the whole process."""
    for name, function in _whole.items():
        without = _attend if name == "scaled_dot_product_attention" else _pass
        setattr(F, name, function if on else without)


def _bytes_of(batch):
    return sum(x.numel() * x.element_size() for x in named_tensors(batch, "").values())


class Session(Loop):
    names_modules = True

    def __init__(self, request, device, own, form):
        self.own, self.device, self.form, self.warnings = own, device, form, []
        self.batch = member(request, "batch", int, least=1)
        self.training = member(request, "mode", str, "train", choices=("train", "infer")) == "train"
        self.seed = member(request, "seed", int, 0, least=0)
        self.precision = member(request, "precision", str, "fp32",
                                choices=("fp32", "tf32", "bf16", "fp64"))
        self.dropout = member(request, "dropout", str, "engine", choices=("engine", "counter"))
        self.on_host = member(request, "data_on", str, "device",
                              choices=("device", "host")) == "host"
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32
        libraries.set_precision(device, "fp32" if self.precision == "fp64" else self.precision)
        torch.set_default_dtype(torch.float32)
        self.batches = self._make_batches()
        self._make_model(member(request, "weights", str))
        torch.set_default_dtype(self.dtype)  # of what the model makes while it computes
        self.resident = device.type == "cpu" or not self.on_host
        self.batches = [map_tensors(batch, self._place) for batch in self.batches]
        self.told = None
        self.reset(self.dropout)

    # ------------------------------------------------------------ made once

    def _make_batches(self):
        seed_all(self.seed)
        first = self.own.new_batch(self.batch)
        count = own_trace.count_batches(_bytes_of(first))
        return [first] + [self.own.new_batch(self.batch) for _ in range(count - 1)]

    def _check_seeded(self):
        """That the other contenders will get the same batches."""
        seed_all(self.seed)
        again = named_tensors(self.own.new_batch(self.batch), "batch")
        first = named_tensors(self.batches[0], "batch")
        if any(name not in again or not torch.equal(again[name].nan_to_num(), x.nan_to_num())
               for name, x in first.items()):
            raise Failure("BAD_DATA", f"batch({self.batch}) of {self.own.named} to return the same "
                          "numbers after random, numpy.random and torch are seeded", "others",
                          "draw them from these, or from a generator that the file seeds, as "
                          "torch.Generator().manual_seed(0) in batch(n)")

    def _make_model(self, path):
        """With the initial weights, which the first contender writes."""
        seed_all(self.seed)
        self.model = self.own.new_model()
        if not os.path.exists(path):
            self._check_seeded()
            torch.save(self.model.state_dict(), path + ".new")
            os.replace(path + ".new", path)
        self.weights = path
        try:
            self._load_weights()
        except RuntimeError:
            raise Failure("BAD_DATA", f"the same names and shapes of weights each time that "
                          f"{self.own.function}() of {self.own.named} is called", "others",
                          "build one model, or name the variants in files of their own") from None
        self.parameters = sum(p.numel() for p in self.model.parameters())
        torch_forms.lay_out(self.form, self.model.to(self.device, self.dtype)).train(self.training)
        self.warnings += torch_forms.layout_warnings(self.form, self.model.parameters())

    def _load_weights(self):
        """From the file each time: a copy kept beside the model would count as its memory."""
        with open(self.weights, "rb") as file:  # whatever its name says that it is
            self.model.load_state_dict(torch.load(file, map_location="cpu"))

    def _place(self, x):
        if x.is_floating_point() and x.dtype == torch.float32:
            x = torch_forms.lay_out(self.form, x.to(self.dtype))
        if self.resident:
            return x.to(self.device)
        return x.pin_memory() if self.device.type == "cuda" else x

    # ------------------------------------------------------------ the loop

    def reset(self, dropout):
        """The prepared weights, a new optimizer, step 0."""
        switch_dropout(dropout == "engine")
        for module in self.model.modules():
            if isinstance(module, torch.nn.RNNBase) and dropout == "counter":
                module.dropout = 0.0
        self._load_weights()
        self.model.zero_grad(set_to_none=True)
        self.optimizer = None
        if self.training:
            self.optimizer = self.own.new_optimizer(self.model, self.device)
        seed_all(self.seed)
        self.step, self.sent, self.sent_step = 0, None, None
        self.take_form()

    def stay_early(self, steps):
        """Before the clock runs: from the prepared weights again, if the next `steps` would leave
        the early ones.  What is compiled stays, as tensors of the model do."""
        if (not self.training or self.device.type != "cpu" or self.step <= 1
                or self.step + steps <= EARLY_STEPS):
            return
        self.optimizer = None
        self.model.zero_grad(set_to_none=True)
        self._load_weights()
        self.optimizer = self.own.new_optimizer(self.model, self.device)
        self.step = 0
        self.run_step()  # makes the optimizer's state

    def sent_bytes(self):
        """That a step copies to the device."""
        return 0 if self.resident else _bytes_of(self.batches[0])

    def send_ahead(self):
        """While the device computes: the next batch, if it is not there."""
        if self.resident or self.sent_step == self.step:
            return
        self.sent = map_tensors(self.batches[self.step % len(self.batches)],
                                lambda x: x.to(self.device, non_blocking=True))
        self.sent_step = self.step

    def next_source(self):
        if self.resident:
            batch = self.batches[self.step % len(self.batches)]
        else:
            self.send_ahead()
            batch, self.sent_step = self.sent, None
        self.step += 1
        return batch

    @staticmethod
    def batch_of(source):
        positional, named, target = source
        return (positional, named), target

    def forward(self, inputs):
        with self.autocast():
            return self.model(*inputs[0], **inputs[1])

    def loss_of(self, inputs, targets):
        return self.whole(inputs, targets)[1]

    def whole(self, inputs, targets):
        """Output and loss."""
        with self.autocast():
            output = self.model(*inputs[0], **inputs[1])
            return output, self.own.loss(output, targets)

    # ------------------------------------------------------------ what others are held against

    def _first_loss(self, dropout, seed):
        """Of the first batch with the initial weights."""
        self.reset(dropout)
        seed_all(seed)
        inputs, targets = self.next_batch()
        with torch.no_grad():
            loss = self.loss_of(inputs, targets)
        self.own.check_loss(loss)
        return loss.item()

    def draws(self):
        """What of a step is random: `none`, `dropout`, or the `model` itself."""
        def differs(dropout):
            first, second = (self._first_loss(dropout, self.seed + k) for k in range(2))
            return first != second
        return "model" if differs("counter") else "dropout" if differs("engine") else "none"

    def moved(self, steps, right):
        """How far a rounding of the weights moves the gradients and losses of trace `right`."""
        return own_trace.moved(right, (
            self.trace(steps, torch.Generator().manual_seed(self.seed + k)) for k in range(2)))

    @torch.no_grad()
    def _round_weights(self, generator):
        for p in self.model.parameters():
            draw = torch.rand(p.shape, generator=generator, dtype=self.dtype).to(self.device)
            p.mul_(1 + own_trace.ROUNDING * (2 * draw - 1))

    def trace(self, steps, rounding=None):
        """The tensors of docs/runner-protocol.md by name; leaves the session as prepared.

        With `rounding`, a generator, of weights that are a little off.
        """
        self.reset("counter")
        if rounding is not None:
            self._round_weights(rounding)
        tensors, losses = {}, []
        for t in range(steps):
            inputs, targets = self.next_batch()
            with torch.set_grad_enabled(self.training):
                output, loss = self.compute_whole(inputs, targets)
            self.own.check_loss(loss)
            if t == 0:
                given = inputs[0] if len(inputs[0]) != 1 else inputs[0][0]
                tensors = {**named_tensors(inputs[1] or given, "input"),
                           **named_tensors(targets, "target"),
                           **self._outputs(output), "loss": loss}
            if self.training:
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if t == 0:
                    tensors.update(self._gradients())
                self.optimizer.step()
            losses.append(loss.detach())
        tensors["losses"] = torch.stack(losses)
        self.reset(self.dropout)
        return {name: compared(value) for name, value in tensors.items()}

    def _outputs(self, output):
        found = named_tensors(getattr(output, "logits", output), "output")
        return {name: x for name, x in list(found.items())[:4] if x.is_floating_point()}

    def _gradients(self):
        return {"grad." + name: p.grad.clone() for name, p in self.model.named_parameters()
                if p.grad is not None and not p.grad.is_sparse}

    def shapes(self):
        """By what a workload of the ladder is known: its weights and its first input."""
        positional, named, _ = self.batches[0]
        first = next(iter(named_tensors(positional or named, "input").values()))
        return {"weights": [{"name": name, "shape": list(p.shape)}
                            for name, p in self.model.named_parameters()],
                "input": list(first.shape)}

    # ------------------------------------------------------------ arithmetic

    def flops(self):
        """Of a step: as the file tells, or as PyTorch counts; None where neither can."""
        told = self.own.flops(self.batch)
        if told is not None:
            return told
        try:
            from torch.utils.flop_counter import FlopCounterMode
        except ImportError:  # before PyTorch 2.1
            return None
        with FlopCounterMode(display=False) as counter:
            inputs, targets = self.next_batch()
            if self.training:
                self.loss_of(inputs, targets).backward()
            else:
                with torch.no_grad():
                    self.forward(inputs)
        return float(counter.get_total_flops()) or None

    def notes(self):
        """What its user may want to know of a step: looked for once."""
        if self.told is None and self.form not in torch_forms.COMPILED:
            kept = torch_phases.Kept(self)
            try:
                self.told = torch_own_watch.notes(self)
            finally:
                kept.restore()
        return self.told or []


def compared(x):
    """A tensor as a trace has it: on the host, at most that many of its elements."""
    x = x.detach()
    if x.numel() > own_trace.COMPARED_MOST or x.dim() > 4:
        x = x.flatten()[::own_trace.stride(x.numel())]
    return (x.float() if x.is_floating_point() else x.long()).cpu().numpy()
