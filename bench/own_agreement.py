#!/usr/bin/env python3
"""`breakeven bench` on a user's own model against the same training timed by hand, with
torch.utils.benchmark, on an idle machine.

Usage: bench/own_agreement.py [--build build] [--python python3] [--rounds 7] [--threads 1]
                              [--limit 0.03] [FILE...]

The two work in turn, one after the other in another order each round, with the same file, batch
and number of threads (FILE: those of bench/own_agreement). Prints the ratio of each round and exits
with 0 if the median ratio of every file is within the limit of 1, with 1 if one is not, and with 2
if something could not be measured. About two minutes a file.

Both sides have glibc's malloc keep what it was given back (KEEPING). By its own rule it returns
memory to the system in each step of some processes and in none of others, as their first
allocations happen to lie: of ResNet-18 at 64x64 between 0 and 13,800 page faults a step were
counted in processes that did the same by hand, of about 2 us each in a step of 200 ms.

Both sides time early steps of a training, and begin again after some hundred (docs/own-models.md):
on few batches units of the MLP die, and what is left of their momentum is denormal after some 700
steps, from which on a step takes 2.5 times as long. What a timing gives that goes on and on depends
on how long it does.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MOST_S = 3
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}
# A hand's timing of the step that docs/own-models.md describes.
BY_HAND = """
import importlib.util, statistics, sys
import torch
import torch.utils.benchmark
path, batch, threads, seconds = sys.argv[1], *map(int, sys.argv[2:])
spec = importlib.util.spec_from_file_location("measured", path)
file = importlib.util.module_from_spec(spec)
spec.loader.exec_module(file)
torch.manual_seed(42)
torch.set_num_threads(threads)
model = file.model().train()
weights = {name: value.clone() for name, value in model.state_dict().items()}
batches = [file.batch(batch) for _ in range(8)]
turn = 0

def new_optimizer():
    try:
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        probe = torch.nn.Parameter(torch.zeros(1))
        probe.grad = torch.zeros(1)
        torch.optim.AdamW([probe], fused=True).step()
        return optimizer
    except (RuntimeError, TypeError):
        return torch.optim.AdamW(model.parameters())

optimizer = new_optimizer()

def stay_early():
    global optimizer, turn
    if turn + steps > 400:
        model.load_state_dict(weights)
        optimizer, turn = new_optimizer(), 0
        step()

def step():
    global turn
    given = batches[turn % len(batches)]
    turn += 1
    optimizer.zero_grad(set_to_none=True)
    if isinstance(given, dict):
        *names, last = given
        output, target = model(**{name: given[name] for name in names}), given[last]
    else:
        output, target = model(*given[:-1]), given[-1]
    output = getattr(output, "logits", output)
    if output.shape[:-1] == target.shape and output.dim() > 2:
        output, target = output.flatten(0, -2), target.flatten()
    torch.nn.functional.cross_entropy(output, target).backward()
    optimizer.step()

timer = torch.utils.benchmark.Timer("step()", setup="stay_early()", num_threads=threads,
                                    globals={"step": step, "stay_early": stay_early})
steps = 10
steps = max(1, min(300, int(0.1 / timer.timeit(steps).median)))
times = []
while steps * sum(times) < seconds:
    times.append(timer.timeit(steps).median)
print(statistics.median(times))
"""


def by_hand(options, path):
    environment = dict(os.environ, **KEEPING, OMP_NUM_THREADS=str(options.threads))
    command = [options.python, "-c", BY_HAND, path, options.batch, options.threads, MOST_S]
    done = subprocess.run([str(part) for part in command], check=True, text=True,
                          stdout=subprocess.PIPE, env=environment)
    return float(done.stdout.split()[-1])


def by_us(options, path):
    command = [options.build / "breakeven", "bench", path, "--engine", "torch", "--device", "cpu",
               "--batch", options.batch, "--threads", options.threads, "--max-time", MOST_S,
               "--time", MOST_S, "--no-store", "-f", "json"]
    done = subprocess.run([str(part) for part in command], check=True, text=True,
                          stdout=subprocess.PIPE,
                          env=dict(os.environ, **KEEPING, BREAKEVEN_PYTHON=str(options.python)))
    return json.loads(done.stdout)[0]["step_s"]["median"]


def in_turns(options, name, sides):
    """Whether the median ratio of two ways of measuring is within the limit: by the name of each a
    function that gives its seconds."""
    ratios = []
    for turn in range(options.rounds):
        times = {}
        for side in sorted(sides, reverse=turn % 2 == 1):
            times[side] = sides[side]()
        first, second = sides
        ratios.append(times[first] / times[second])
        print(f"{name}: {first} {1e3 * times[first]:.4g} ms, {second} "
              f"{1e3 * times[second]:.4g} ms, ratio {ratios[-1]:.3f}", flush=True)
    middle = statistics.median(ratios)
    good = abs(middle - 1) <= options.limit
    print(f"{name}: {'PASS' if good else 'FAIL'}: median ratio {middle:.3f} of "
          f"{options.rounds} rounds, from {min(ratios):.3f} to {max(ratios):.3f}; the limit is "
          f"{100 * options.limit:g} %", flush=True)
    return good


def compare(options, path):
    return in_turns(options, path.stem, {"breakeven": lambda: by_us(options, path),
                                         "by hand": lambda: by_hand(options, path)})


def parse(description, metavar, kind, batch):
    """Options; `what` is what is to be measured."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("what", metavar=metavar, nargs="*", type=kind)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--python", default=shutil.which("python3"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--limit", type=float, default=0.03)
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def main():
    options = parse(__doc__.splitlines()[0], "FILE", Path, 16)
    files = options.what or sorted((HERE / "own_agreement").glob("*.py"))
    try:
        return 0 if all([compare(options, path) for path in files]) else 1
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        print(f"NOT MEASURED: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
