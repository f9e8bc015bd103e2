"""The loop of a good PyTorch user: what a timed block does, whatever the model and its batches are.

A step may not wait for the device, read a loss or print.  A subclass has the model and the batches:
`next_source`, `batch_of`, `send_ahead`, `forward`, `loss_of`, `whole`, `optimizer`, `device` and
`precision`.
"""
import contextlib

import torch

import torch_forms


class Loop:
    names_modules = False  # whether ops are told by the model's modules
    form = None            # of torch_forms.py
    group = None           # of torch_group.py: the workers that cut its batch
    turns = 1              # in which a batch is computed
    rates = None           # what changes the optimizer's learning rate after each step

    def take_form(self):
        """Called whenever the model or its dropout is another: the functions that a step computes
        with, each compiled when it is first called."""
        parts = (self.loss_of, self.forward, self.whole)
        if self.form in torch_forms.COMPILED:
            parts = torch_forms.compiled(parts)
        self.compute_loss, self.compute_output, self.compute_whole = parts
        if self.form == "graph" and self.training:
            torch_forms.make_capturable(self.optimizer)
        self.captured = None

    def autocast(self):
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def clip(self):
        """Between backward and optimizer; who clips gradients does it here."""

    def update(self):
        self.optimizer.step()
        if self.rates is not None:
            self.rates.step()

    def mean_of(self, losses):
        """Of the whole batch, where several workers cut it."""
        return losses if self.group is None else self.group.mean(losses)

    def next_batch(self):
        return self.batch_of(self.next_source())

    def update_on(self, inputs, targets):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward_on(inputs, targets)
        self.clip()
        self.update()
        return loss

    def parts_of(self, inputs, targets):
        """What each turn of a step computes: all of the batch, or an equal part of it."""
        if self.turns == 1:
            return [(inputs, targets)]
        return [[[value.chunk(self.turns)[turn] for value in values]
                 for values in (inputs, targets)] for turn in range(self.turns)]

    def turn_loss(self, inputs, targets):
        """Its part of the mean loss."""
        loss = self.compute_loss(inputs, targets)
        return loss if self.turns == 1 else loss / self.turns

    def _backward_on(self, inputs, targets):
        """The gradients, of all turns together, and the mean loss."""
        losses = []
        for part in self.parts_of(inputs, targets):
            loss = self.turn_loss(*part)
            loss.backward()
            losses.append(loss.detach())
        return losses[0] if self.turns == 1 else torch.stack(losses).sum()

    def _captured_step(self):
        if self.captured is None:
            self.captured = torch_forms.Captured(self)
        return self.captured.step()

    def train_step(self):
        loss = self._captured_step() if self.form == "graph" else self.update_on(*self.next_batch())
        self.send_ahead()
        return loss

    def run_step(self):
        return self.train_step() if self.training else self.infer_step()

    @torch.inference_mode()
    def infer_step(self):
        if self.form == "graph":
            self._captured_step()
        else:
            self.compute_output(self.next_batch()[0])
        self.send_ahead()
