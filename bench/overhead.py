#!/usr/bin/env python3
"""What measuring costs: `breakeven bench` against a loop that nobody watches, on an idle machine.

Usage: bench/overhead.py [--build build] [--rounds 12] [--seconds 5] [--threads 1] [--limit 0.01]

Each round runs bench/loop.c (one pair of clock readings a block) and `breakeven bench cnn-fashion`
on the same generated pictures, in turning order. The difference is the median over the rounds of
bench / loop - 1, with a 95 % bootstrap interval. Exit code 0 if the median is within the limit.
"""
import argparse
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

RESAMPLES = 10000


def loop_s(build, options):
    done = subprocess.run([build / "bench" / "bench_loop", str(options.threads),
                           str(options.seconds)], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def bench_s(build, options):
    done = subprocess.run([build / "breakeven", "bench", "cnn-fashion", "--engine", "native",
                           "--device", "cpu", "--synthetic", "--threads", str(options.threads),
                           "--time", str(options.seconds), "--max-time", str(options.seconds),
                           "--format", "jsonl", "--quiet"],
                          stdout=subprocess.PIPE, text=True, check=True)
    record = json.loads(done.stdout)
    for warning in record["warnings"]:
        print("warning:", warning, file=sys.stderr)
    return record["step_s"]["median"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=0.01)
    options = parser.parse_args()
    build = Path(options.build).resolve()
    differences = []
    for i in range(options.rounds):
        found = {}
        for measure in (loop_s, bench_s) if i % 2 == 0 else (bench_s, loop_s):
            found[measure] = measure(build, options)
        differences.append(found[bench_s] / found[loop_s] - 1)
        print(f"round {i + 1:2}: loop {found[loop_s] * 1e3:.4f} ms, bench "
              f"{found[bench_s] * 1e3:.4f} ms a step: {differences[-1]:+.2%}", flush=True)
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(differences, k=len(differences)))
                     for _ in range(RESAMPLES))
    median = statistics.median(differences)
    low, high = medians[RESAMPLES // 40], medians[-RESAMPLES // 40]
    kept = abs(median) <= options.limit
    print(f"bench / loop - 1: {median:+.2%} [{low:+.2%}, {high:+.2%}], "
          f"limit {options.limit:.1%}: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
