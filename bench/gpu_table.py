#!/usr/bin/env python3
"""Short lines from the records of bench/gpu_steps.sh.

gpu_table.py bench|parity|train|opencl|kernels FILE…
"""

import csv
import json
import sys


def records(path):
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    yield record
    except OSError:
        return


def value(record, path, otherwise=None):
    for name in path.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    return otherwise if record is None else record


def bench(paths):
    print(f"{'run':30} {'engine':7} {'device':9} {'batch':>6} {'step us':>9} {'low':>9} "
          f"{'high':>9} {'loss':>8}  status")
    for path in paths:
        name = path.rsplit("/", 1)[-1][len("bench-"):-len(".log")]
        for r in records(path):
            low, high = value(r, "step_s.low"), value(r, "step_s.high")
            numbers = [x * 1e6 if isinstance(x, (int, float)) else float("nan")
                       for x in (value(r, "step_s.median"), low, high)]
            loss = value(r, "first_loss", float("nan"))
            print(f"{name:30} {value(r, 'asked.engine', '?'):7} {value(r, 'device', '?'):9} "
                  f"{value(r, 'batch', value(r, 'asked.batch', 0)):6} "
                  f"{numbers[0]:9.1f} {numbers[1]:9.1f} {numbers[2]:9.1f} {loss:8.4f}  "
                  f"{value(r, 'status', '?')} {str(value(r, 'error', ''))[:160]}")


def parity(path, errors):
    rows = list(records(path))
    if not rows:
        with open(errors, encoding="utf-8", errors="replace") as file:
            return "NO RESULT " + file.read()[-500:].strip()
    good = all(r.get("good") for r in rows)
    text = ", ".join(f"{r['quantity']} {value(r, 'error', float('nan')):.1e}" for r in rows)
    return f"{'ok' if good else 'BROKEN'}: {text}"


def train(path):
    rows = [r for r in records(path) if "epoch" in r]
    seconds = sum(r.get("seconds") or 0 for r in rows)
    best = max((r.get("validation_accuracy") or 0 for r in rows), default=0)
    last = rows[-1] if rows else {}
    return (f"{len(rows)} epochs, {seconds:.3f} s in all, first {rows[0]['seconds']:.3f} s, "
            f"accuracy {last.get('validation_accuracy', 0):.4f} (best {best:.4f}), "
            f"{last.get('samples_per_s', 0):.0f} samples/s" if rows else "no epochs")


def opencl(path):
    """The id of the first OpenCL device that `breakeven devices` shows as NVIDIA's."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            for word in line.split():
                if word.startswith("opencl:") and "NVIDIA" in line:
                    return word
    return ""


def kernels(path):
    """Device time by kernel, from the CSV that ncu prints: us of one launch, and launches."""
    unit = {"nsecond": 1e-3, "ns": 1e-3, "usecond": 1, "us": 1, "msecond": 1e3, "ms": 1e3}
    times = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        rows = csv.DictReader(line for line in file if line.startswith('"'))
        for row in rows:
            if row.get("Metric Name") == "gpu__time_duration.sum":
                value_us = float(row["Metric Value"].replace(",", "")) * unit[row["Metric Unit"]]
                shape = f"{row.get('Grid Size', '')} x {row.get('Block Size', '')}"
                times.setdefault((row["Kernel Name"].split("(")[0], shape), []).append(value_us)
    lines = [f"  {sum(v) / len(v):8.2f} us  {len(v):4} x  {name} {shape}"
             for (name, shape), v in times.items()]
    total = sum(sum(v) for v in times.values())
    return "\n".join(lines + [f"  {total:8.2f} us in all"])


def main():
    what, paths = sys.argv[1], sys.argv[2:]
    if what == "bench":
        bench(paths)
    else:
        print({"parity": parity, "train": train, "opencl": opencl,
               "kernels": kernels}[what](*paths))


if __name__ == "__main__":
    main()
