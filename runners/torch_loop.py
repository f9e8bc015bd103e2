"""The loop of a good PyTorch user: what a timed block does, whatever the model and its batches are.

A step may not wait for the device, read a loss or print.  A subclass has the model and the batches:
`next_batch`, `send_ahead`, `forward`, `loss_of`, `optimizer`, `device` and `precision`.
"""
import contextlib

import torch


class Loop:
    names_modules = False  # whether ops are told by the model's modules

    def autocast(self):
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def clip(self):
        """Between backward and optimizer; who clips gradients does it here."""

    def train_step(self):
        inputs, targets = self.next_batch()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(inputs, targets)
        loss.backward()
        self.clip()
        self.optimizer.step()
        self.send_ahead()
        return loss.detach()

    @torch.inference_mode()
    def infer_step(self):
        inputs, _ = self.next_batch()
        self.forward(inputs)
        self.send_ahead()
