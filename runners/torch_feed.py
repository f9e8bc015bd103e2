"""Batches of a data set that stays in the memory of the host, as a good user's loader brings them.

The next batch is gathered and on its way while the device computes the one before: on CUDA from one
of two pinned buffers, on a stream of its own.  Owns the buffers; knows no model.
"""
import contextlib

import torch


class Slot:
    """A batch's buffers on the host, and its copy on the device."""

    def __init__(self, fields, batch, cuda):
        self.host = [torch.empty((batch,) + values.shape[1:], dtype=values.dtype, pin_memory=cuda)
                     for values in fields]
        self.on_device = None
        self.copied = torch.cuda.Event() if cuda else None


class HostFeed:
    def __init__(self, fields, batch, device):
        """`fields`: of each one all its samples, on the host."""
        cuda = device.type == "cuda"
        self.data, self.device = fields, device
        self.slots = [Slot(fields, batch, cuda) for _ in range(2)]
        self.stream = torch.cuda.Stream(device) if cuda else None
        self.turn = 0

    def gather(self, index):
        """Fill the buffers that are next; returns their slot."""
        slot = self.slots[self.turn]
        self.turn = 1 - self.turn
        if slot.copied is not None:
            slot.copied.synchronize()  # the device may not have taken yet what lies there
        for values, buffer in zip(self.data, slot.host):
            torch.index_select(values, 0, index, out=buffer)
        return slot

    def send(self, slot):
        """Start the copy to the device."""
        beside = torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext()
        with beside:
            slot.on_device = tuple(x.to(self.device, non_blocking=True) for x in slot.host)
            if self.stream:
                slot.copied.record(self.stream)
        return slot

    def take(self, slot):
        """The batch on the device: what is computed from now on waits for its copy."""
        batch, slot.on_device = slot.on_device, None
        if self.stream:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(slot.copied)
            for x in batch:
                x.record_stream(current)  # its memory is not given away before that work is done
        return batch
