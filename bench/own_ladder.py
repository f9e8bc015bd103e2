#!/usr/bin/env python3
"""The ladder's networks written as a user's file against the same by name, on an idle machine.

Usage: bench/own_ladder.py [--build build] [--python python3] [--rounds 7] [--threads 1]
                           [--batch 256] [--limit 0.03] [WORKLOAD...]

The file does what a step of the ladder does: it gathers pictures of bytes by their numbers, makes
numbers of them, and trains with the same optimizer. The two are measured in turn, in another order
each round; prints the ratio of each round and exits with 0 if the median ratio of every network is
within the limit of 1, with 1 if one is not, and with 2 if something could not be measured. About a
minute a network.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import own_agreement

NETWORKS = ("mlp-mnist", "cnn-mnist", "cnn-cifar", "cnn-fashion", "cnn5-fashion")
# Large, so that a side does fewer steps than it takes momentum to become denormal, which is slow
# (docs/own-models.md): a file's training begins again before that, the ladder's does not.
BATCH = 256
PICTURES = 1000  # a data set that both have: generated ones
FILE = """
import sys
sys.path.insert(0, {runners!r})
import inspect
import torch
import torch_forms
import torch_workloads
from workload_fields import WORKLOADS

workload, fields = {workload!r}, WORKLOADS[{workload!r}]
shape = fields.fields(**fields.dimensions)["images"].shape
generator = torch.Generator().manual_seed(0)
pictures = torch.randint(256, ({pictures}, *shape), dtype=torch.uint8, generator=generator)
settings = {optimizer!r}


class Whole(torch.nn.Module):
    def __init__(self):
        super().__init__()
        kind = torch_workloads.WORKLOADS[workload]
        wanted = inspect.signature(kind).parameters
        self.net = kind(**{{name: value for name, value in fields.dimensions.items()
                           if name in wanted}})

    def numbers(self, bytes_):
        return bytes_.to(torch.get_default_dtype()).sub_(33.0).mul_(1 / 78.0)

    def forward(self, rows):
        return self.net(self.numbers(pictures.index_select(0, rows)))


def model():
    return Whole()


def batch(n):
    return torch.randint({pictures}, (n,)), torch.randint(10, (n,))


def optimizer(parameters):
    kind = {{"sgd": torch.optim.SGD, "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW}}[settings["name"]]
    common = {{"lr": settings["lr"], "weight_decay": settings["weight_decay"],
              **torch_forms.fused(kind, torch.device("cpu"))}}
    if settings["name"] == "sgd":
        return kind(parameters, momentum=settings["momentum"], **common)
    return kind(parameters, betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"],
                **common)
"""


def record_of(options, *words):
    command = [options.build / "breakeven", "bench", *words, "--engine", "torch", "--device", "cpu",
               "--batch", options.batch, "--threads", options.threads, "--no-store", "--max-time",
               own_agreement.MOST_S, "--time", own_agreement.MOST_S, "-f", "json"]
    done = subprocess.run([str(word) for word in command], check=True, text=True,
                          stdout=subprocess.PIPE,
                          env=dict(os.environ, **own_agreement.KEEPING,
                                   BREAKEVEN_PYTHON=str(options.python)))
    return json.loads(done.stdout)[0]


def compare(options, workload):
    """Whether the median of the rounds' ratios is within the limit."""
    named = [workload, "--synthetic", "--limit", PICTURES]
    settings = record_of(options, *named)["asked"]["optimizer"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written.py"
        path.write_text(FILE.format(runners=str(own_agreement.HERE.parent / "runners"),
                                    workload=workload, pictures=PICTURES, optimizer=settings))
        sides = {"by file": lambda: record_of(options, path)["step_s"]["median"],
                 "by name": lambda: record_of(options, *named)["step_s"]["median"]}
        return own_agreement.in_turns(options, workload, sides)


def main():
    options = own_agreement.parse(__doc__.splitlines()[0], "workloads", str, BATCH)
    try:
        return 0 if all([compare(options, name) for name in options.what or NETWORKS]) else 1
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        print(f"NOT MEASURED: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
