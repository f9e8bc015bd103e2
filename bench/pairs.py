#!/usr/bin/env python3
"""Pairs that are known, on an idle machine: the same program twice, and one that is 5 % slower.

Usage: bench/pairs.py [--build build] [--pairs 40] [--max-time 5] [--threads 1] [WORKLOAD]

Prints a line per pair and in the end the counts; exits with 0 if at least 95 % of each kind are
right. 40 pairs take about a quarter of an hour.
"""
import argparse
import subprocess
import sys
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", nargs="?", default="cnn-fashion")
    parser.add_argument("--build", default="build")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--max-time", type=float, default=5, help="seconds per contender")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    build = Path(options.build).resolve()
    proxy = Path(__file__).resolve().parent.parent / "tests" / "proxy_runner.py"
    return subprocess.run([build / "bench" / "bench_pairs", build / "breakeven", proxy,
                           str(options.pairs), str(options.max_time), str(options.threads),
                           options.workload], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
