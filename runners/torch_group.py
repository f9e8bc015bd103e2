"""Several workers that train one network by PyTorch's DistributedDataParallel, on one machine.

The runner that is asked for them is rank 0: it starts the others, which are runners too, hands on
what they have to do with it, and answers for all (docs/runner-protocol.md).  Owns those processes
and the process group; knows no model.
"""
import contextlib
import datetime
import json
import os
import select
import subprocess
import sys
import time
import zlib

import torch
import torch.distributed as dist

from runner_protocol import Failure

LIMIT_S = 60  # for all of them to come together
END_S = 2     # for the last words of one that ends


def backend_for(device):
    """gloo or nccl; a Failure where this PyTorch has none for the device."""
    name = "nccl" if device.type == "cuda" else "gloo"
    if not dist.is_available():
        raise Failure("UNAVAILABLE", "a PyTorch with torch.distributed for several workers",
                      f"{torch.__version__} without it", "install one from pytorch.org")
    if device.type not in ("cpu", "cuda") or not getattr(dist, f"is_{name}_available")():
        raise Failure("UNAVAILABLE", f"a PyTorch with {name} for workers on {device.type}",
                      f"{torch.__version__} without it",
                      "install one from pytorch.org, or use another device")
    return name


def of_rank(request, rank):
    """What rank `rank` is asked for: on a GPU of its own."""
    kind, _, index = request["device"].partition(":")
    device = f"cuda:{int(index or 0) + rank}" if kind == "cuda" else request["device"]
    return {**request, "rank": rank, "device": device}


class Others:
    """The processes of all ranks but 0; each does what rank 0 does at the same time."""

    def __init__(self, count):
        program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "torch_runner.py")
        command = [sys.executable, program, *sys.argv[1:]]
        self.count = count
        self.ranks = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       bufsize=0) for _ in range(count - 1)]

    def send(self, request, make=None):
        for rank, process in enumerate(self.ranks, 1):
            line = json.dumps(make(request, rank) if make else request).encode() + b"\n"
            with contextlib.suppress(OSError):  # it has ended, which its answer tells
                process.stdin.write(line)

    def take(self):
        """Wait for all answers; the Failure of the first that fails."""
        for rank, process in enumerate(self.ranks, 1):
            self._judge(rank, process, process.stdout.readline())

    def _judge(self, rank, process, line):
        if line.endswith(b"\n"):
            answer = json.loads(line)
            if answer["ok"]:
                return
            raise Failure(answer["status"], f"rank {rank} of {self.count} to do its part",
                          f"that it cannot ({answer['error']})", "see what it says")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        code = process.poll()
        how = "gone" if code is None else f"ended by signal {-code}" if code < 0 else f"exit {code}"
        raise Failure("FAILED", f"rank {rank} of {self.count} to do its part", f"it {how}",
                      "look for its last words in the log, or for what killed it")

    def blame(self):
        """The Failure of the rank for whose sake another's work has failed; None: of none."""
        until = time.monotonic() + END_S
        pipes = {process.stdout: (rank, process) for rank, process in enumerate(self.ranks, 1)}
        while pipes and time.monotonic() < until:
            for pipe in select.select(list(pipes), [], [], until - time.monotonic())[0]:
                try:
                    self._judge(*pipes.pop(pipe), pipe.readline())
                except Failure as failure:
                    return failure
        return None

    def end(self):
        for process in self.ranks:
            process.kill()
        for process in self.ranks:
            process.wait()
            process.stdin.close()
            process.stdout.close()


class Member:
    """A session's place among the ranks."""

    def __init__(self, rank, count, device, address):
        self.rank, self.count, self.device = rank, count, device
        if sys.platform == "linux":  # all are here, whatever the name of the host leads to
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        leave()
        dist.init_process_group(backend_for(device), init_method=address, rank=rank,
                                world_size=count, timeout=datetime.timedelta(seconds=LIMIT_S))

    def wrap(self, model):
        model.gather = self.gather
        on = [self.device.index] if self.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(model, device_ids=on,
                                                         gradient_as_bucket_view=True)

    def gather(self, features):
        """Those of all ranks, for a loss that compares the samples of a batch with one another."""
        return Gathered.apply(features, self)

    def mean(self, values):
        """Over the ranks; each has the same part of the batch."""
        values = values.detach().to(self.device, torch.float32, copy=True)
        dist.all_reduce(values)
        return values / self.count

    def join(self, part):
        """The parts of all ranks, one after another."""
        parts = [torch.empty_like(part) for _ in range(self.count)]
        dist.all_gather(parts, part.detach().contiguous())
        return torch.cat(parts)

    def expect_same(self, tensors):
        """A Failure if the ranks have other bits."""
        check = 0
        for value in tensors:
            check = zlib.crc32(value.detach().cpu().numpy().tobytes(), check)
        found = self.join(torch.tensor([check], dtype=torch.int64, device=self.device)).tolist()
        if len(set(found)) > 1:
            raise Failure("NUMERIC", "the same weights on all ranks", "others",
                          "this PyTorch's DistributedDataParallel does not work here")


class Gathered(torch.autograd.Function):
    """All ranks make the same loss of what they gather, so nothing is sent back; DDP takes the mean
    of what they find for the weights behind it, of which the sum is wanted.  The function for it in
    torch.distributed.nn has no way back by gloo in PyTorch 1.13."""

    @staticmethod
    def forward(context, features, member):
        context.member, context.rows = member, len(features)
        return member.join(features)

    @staticmethod
    def backward(context, gradient):
        member, rows = context.member, context.rows
        first = member.rank * rows
        return gradient[first:first + rows] * member.count, None


def leave():
    """Out of the group, if there is one: whoever waits in it for this rank hears of its end."""
    there = dist.is_available() and dist.is_initialized()
    if there:
        dist.destroy_process_group()
    return there
