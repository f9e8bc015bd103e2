#!/usr/bin/env python3
"""Times a training step of gpt2 or resnet50 by PyTorch's DistributedDataParallel, as its users
write it: bf16 by autocast, fused optimizers, pictures in channels-last, a batch that lies on the
GPU.

Usage: torchrun --nproc-per-node N bench/torch_ddp.py RUNNERS WORKLOAD BATCH [--compile]

RUNNERS is the folder of the runners, whose models these are; BATCH is of each GPU.  Rank 0 prints
one line of JSON: ranks, form, step_s (the median), samples_per_s of all ranks together.
"""
import argparse
import json
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist

WARM_UP, BLOCKS, STEPS = 10, 8, 5


class WithLoss(torch.nn.Module):
    """A model with its loss: compiled as one, and its gradients are DistributedDataParallel's."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs, targets):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            logits = self.model(inputs)
        return self.model.loss(logits.float(), targets)


def make(workload, batch, device):
    """Model, optimizer, inputs, targets and the norm to clip at."""
    import torch_workloads
    if workload == "gpt2":
        model = torch_workloads.WORKLOADS["gpt2"](12, 768, 12, 50257).to(device)
        tokens = torch.randint(50257, (batch, 1025), device=device)
        optimizer = torch.optim.AdamW(model.parameters(), 6e-4, (0.9, 0.95), weight_decay=0.1,
                                      fused=True)
        return model, optimizer, tokens[:, :-1], tokens[:, 1:], 1.0
    model = torch_workloads.WORKLOADS["resnet50"](1).to(device, memory_format=torch.channels_last)
    pictures = torch.randn(batch, 3, 224, 224, device=device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4, fused=True)
    return (model, optimizer, pictures.to(memory_format=torch.channels_last),
            torch.randint(1000, (batch,), device=device), None)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("runners")
    arguments.add_argument("workload", choices=["gpt2", "resnet50"])
    arguments.add_argument("batch", type=int)
    arguments.add_argument("--compile", action="store_true")
    given = arguments.parse_args()
    sys.path.insert(0, given.runners)
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    model, optimizer, inputs, targets, norm = make(given.workload, given.batch, device)
    compute = torch.nn.parallel.DistributedDataParallel(
        WithLoss(model), device_ids=[device.index], gradient_as_bucket_view=True)
    if given.compile:
        compute = torch.compile(compute, dynamic=False)

    def step():
        optimizer.zero_grad(set_to_none=True)
        compute(inputs, targets).backward()
        if norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), norm)
        optimizer.step()

    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(BLOCKS):
        torch.cuda.synchronize()
        dist.barrier()
        start = time.monotonic()
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()
        seconds.append((time.monotonic() - start) / STEPS)
    median = statistics.median(seconds)
    if rank == 0:
        print(json.dumps({"ranks": ranks, "form": "compile" if given.compile else "eager",
                          "step_s": median, "samples_per_s": ranks * given.batch / median}),
              flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
