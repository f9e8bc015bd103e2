#!/usr/bin/env python3
"""The project's promises on the CPU, measured: native against PyTorch in one interleaved run.

Usage: bench/targets.py [--program build/breakeven] [--accuracy] [--max-time S]

Prints one table in Markdown for bench/RESULTS.md and exits with 1 if a promise is broken. Speed
and memory take about two minutes; --accuracy trains cnn-fashion and cnn-mnist on the real data,
natively and with PyTorch from the same weights and batches, which takes a quarter of an hour.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# workload, how many times faster than PyTorch on the same cores: promised, aimed for
SPEED = [("cnn-fashion", 4.5, 7.0), ("cnn-cifar", 2.2, 4.0), ("cnn-mnist", 2.0, 2.6),
         ("cnn5-fashion", 1.3, 1.8)]
# workload, epochs, promised accuracy of the test pictures
ACCURACY = [("cnn-fashion", 10, 0.895), ("cnn-mnist", 3, 0.988)]
ACCURACY_BAND = 0.003  # between the engines
START_S = 0.5
MEMORY_BYTES = 250e6
BATCH, THREADS = 100, 2


def run(program, *arguments):
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{program} {' '.join(arguments)}: exit code {done.returncode}; see above")
    return done.stdout


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def speed(program, max_time):
    """One row a workload; True if every promise holds."""
    good = True
    print("| workload | PyTorch | native | faster | promised | aim | |")
    print("|---|---|---|---|---|---|---|")
    for workload, promised, aim in SPEED:
        rows = records(run(program, "bench", workload, "--engine", "native,torch", "--batch",
                           str(BATCH), "--threads", str(THREADS), "--max-time", str(max_time),
                           "--format", "jsonl"))
        native = next(row for row in rows if row["engine"] == "native")
        torch = next(row for row in rows if row["engine"] == "torch")
        versus = torch["versus"]
        ratio = versus["ratio"]
        holds = ratio >= promised
        good &= holds
        print(f"| {workload} | {torch['step_s']['median'] * 1e3:.2f} ms "
              f"| {native['step_s']['median'] * 1e3:.2f} ms "
              f"| {ratio:.2f}× ({versus['low']:.2f}–{versus['high']:.2f}) | {promised}× | {aim}× "
              f"| {'aim reached' if ratio >= aim else 'kept' if holds else 'BROKEN'} |", flush=True)
        for warning in sorted({w for row in rows for w in row["warnings"]}):
            print(f"{workload}: {warning}", file=sys.stderr)
    return good


def start_and_memory(program):
    """Start to first step and peak memory of a training on all pictures."""
    began = time.perf_counter()
    run(program, "train", "cnn-fashion", "--steps", "1", "--quiet")
    whole_s = time.perf_counter() - began
    record = records(run(program, "train", "cnn-fashion", "--epochs", "1", "--format", "jsonl"))[-1]
    start_s, memory = record["start_to_first_step_s"], record["peak_rss_bytes"]
    good = start_s < START_S and memory < MEMORY_BYTES
    print(f"\nstart to first step of cnn-fashion: {start_s:.3f} s (promised < {START_S} s; the "
          f"whole program with one step and one validation: {whole_s:.3f} s)")
    print(f"peak memory of its training: {memory / 1e6:.0f} MB "
          f"(promised < {MEMORY_BYTES / 1e6:.0f} MB)")
    return good


def accuracy(program):
    good = True
    print("\n| workload | epochs | native | PyTorch | promised | |\n|---|---|---|---|---|---|")
    for workload, epochs, promised in ACCURACY:
        found = {}
        for engine in ("native", "torch"):
            with tempfile.TemporaryDirectory() as folder:
                weights = str(Path(folder) / "weights.safetensors")
                if engine == "native":
                    run(program, "train", workload, "--epochs", str(epochs), "--export", weights,
                        "--quiet")
                else:
                    run("/usr/bin/python3", str(Path(__file__).parent / "torch_training.py"),
                        workload, str(epochs), weights, "--program", program)
                record = records(run(program, "eval", workload, "--weights", weights, "--format",
                                     "jsonl"))[-1]
                found[engine] = record["accuracy"]
        holds = (found["native"] >= promised
                 and abs(found["native"] - found["torch"]) <= ACCURACY_BAND)
        good &= holds
        print(f"| {workload} | {epochs} | {found['native']:.2%} | {found['torch']:.2%} "
              f"| {promised:.1%}, within {ACCURACY_BAND:.1%} | {'kept' if holds else 'BROKEN'} |",
              flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/breakeven")
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--max-time", type=float, default=15)
    options = parser.parse_args()
    good = speed(options.program, options.max_time)
    good &= start_and_memory(options.program)
    if options.accuracy:
        good &= accuracy(options.program)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
