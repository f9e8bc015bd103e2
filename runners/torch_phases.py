"""Where the time of PyTorch's step goes, and fixed work to compare a machine with itself.

Times a session's own loop; owns no model and no data, and leaves the training as it was.
"""
import time

import torch

import torch_libraries as libraries

# Side of the matrices, products: about 2 ms on one core, on a large GPU, on an Apple GPU.
_REFERENCE = {"cpu": (256, 4), "cuda": (2048, 6), "mps": (1024, 6)}


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
