#!/usr/bin/env python3
"""What measuring costs: `breakeven bench` against a loop that nobody watches, on an idle machine.

Usage: bench/overhead.py [--build build] [--rounds 200] [--threads 1] [--limit 0.01]

The two work in turn on the same cores (bench/overhead.c), half a minute for 100 rounds.  Exits with
0 if the median of bench / loop - 1 is within the limit.
"""
import argparse
import subprocess
import sys
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=0.01)
    options = parser.parse_args()
    build = Path(options.build).resolve()
    return subprocess.run([build / "bench" / "bench_overhead", build / "breakeven",
                           build / "bench" / "bench_loop", str(options.rounds),
                           str(options.threads), str(options.limit)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
