#!/usr/bin/env python3
"""Short lines from the records of bench/gpu_steps.sh.

gpu_table.py bench|parity|train|curve|opencl|kernels FILE…
gpu_table.py ops NAME FILE      the steps of explain by operation, the costliest first
gpu_table.py promises FOLDER      exit code 1: one is broken, 2: one was not measured
"""

import csv
import json
import os
import sys

WORKLOADS = ["mlp-mnist", "cnn-fashion", "cnn5-fashion", "cnn-mnist", "cnn-cifar"]
# workload, batch, microseconds of a step: promised, aimed for
STEPS = [("cnn-fashion", 100, 90, 40), ("cnn5-fashion", 100, 600, 300),
         ("cnn-mnist", 100, 450, 250), ("cnn-fashion", 4096, 2000, 1000)]
SEARCHES = [5, 30]  # seconds for tiles
EPOCHS, EPOCHS_S, EPOCHS_AIM_S, ACCURACY = 10, 1.0, 0.4, 0.895
PARITY = 1e-4
OPENCL_SPEED = 1 / 3
# How far 200 steps of losses may part (docs/cuda.md).
BANDS = {"mlp-mnist": 1e-6, "cnn-cifar": 1e-6}
WIDE_BAND = 0.1


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
    if not rows and not os.path.exists(errors):
        return "NOT MEASURED"
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


def curve_error(path):
    errors = [r.get("error") for r in records(path) if r.get("quantity") == "losses"]
    return errors[0] if errors else None


def curve(path):
    error = curve_error(path)
    return f"{os.path.basename(path)}: {'no result' if error is None else f'{error:.1e}'}"


class Promises:
    """The table of what was promised, line by line."""

    def __init__(self, folder):
        self.folder = folder
        self.rows, self.broken, self.missing = [], False, False

    def path(self, name):
        return os.path.join(self.folder, name)

    def add(self, what, promised, found, good, aim=""):
        """`found` None: it was not measured."""
        verdict = "NOT MEASURED" if found is None else "PASS" if good else "FAIL"
        self.missing |= found is None
        self.broken |= found is not None and not good
        self.rows.append((what, promised, "-" if found is None else found, verdict, aim))

    def step_us(self, name, engine="native", device=None):
        for r in records(self.path(f"bench-{name}.log")):
            median = value(r, "step_s.median")
            if value(r, "asked.engine") == engine and device in (None, r.get("device")) and median:
                return median * 1e6
        return None

    def add_step(self, workload, batch, promised, aim):
        name = f"{workload}-{batch}"
        found, torch = self.step_us(name), self.step_us(name, "torch")
        beside = f", PyTorch {torch:,.1f} us" if torch else ", PyTorch not measured"
        self.add(f"{workload}, batch {batch}, a step", f"<= {promised:,} us",
                 found and f"{found:,.1f} us{beside}", found and found <= promised,
                 "aim reached" if found and found <= aim else f"aim {aim:,} us")

    def note_search(self, workload, batch):
        """Beside the promise: what the search for tiles would bring."""
        for seconds in SEARCHES:
            found = self.step_us(f"tuned{seconds}-{workload}-{batch}")
            first = [value(r, "prepare_s") for r in
                     records(self.path(f"bench-tuned{seconds}-{workload}-{batch}.log"))]
            if found and first and first[0]:
                self.rows.append((f"  with a search of {seconds} s", "",
                                  f"{found:,.1f} us, prepared in {first[0]:.1f} s", "", ""))

    def add_training(self):
        rows = [r for r in records(self.path("train-1.log")) if "epoch" in r]
        seconds = sum(r.get("seconds") or 0 for r in rows) if rows else None
        accuracy = rows[-1].get("validation_accuracy", 0) if rows else None
        whole = len(rows) == EPOCHS
        self.add(f"{EPOCHS} epochs of Fashion-MNIST", f"<= {EPOCHS_S} s",
                 seconds and f"{seconds:.3f} s", whole and seconds <= EPOCHS_S,
                 "aim reached" if seconds and seconds <= EPOCHS_AIM_S else f"aim {EPOCHS_AIM_S} s")
        self.add("  their test accuracy", f">= {ACCURACY:.1%}",
                 accuracy is not None and f"{accuracy:.2%}" or None,
                 whole and accuracy >= ACCURACY)

    def add_status(self, what, name, promised="nothing found"):
        try:
            with open(self.path(name + ".status"), encoding="utf-8") as file:
                status = file.read().strip()
        except OSError:
            status = None
        self.add(what, promised, status and ("so it is" if status == "0" else f"status {status}"),
                 status == "0")

    def add_parity(self, device):
        for w in WORKLOADS:
            rows = list(records(self.path(f"parity-{device}-{w}.log")))
            errors = [r["error"] for r in rows if isinstance(r.get("error"), (int, float))]
            # A number that is none is written as null, and counts as broken.
            whole = rows and len(errors) == len(rows)
            found = f"{max(errors):.1e}" if whole else "not a number" if rows else None
            self.add(f"parity of {w} on {device}", f"<= {PARITY:.0e}", found,
                     whole and max(errors) <= PARITY)

    def add_curves(self):
        for w in WORKLOADS:
            band, error = BANDS.get(w, WIDE_BAND), curve_error(self.path(f"curve-{w}.log"))
            self.add(f"loss curve of 200 steps, {w}", f"<= {band:g}",
                     None if error is None else f"{error:.1e}",
                     error is not None and error <= band)

    def add_opencl(self):
        name = "opencl-cnn5-fashion-512"
        cuda = self.step_us(name, device="cuda:0")
        others = [value(r, "step_s.median") for r in records(self.path(f"bench-{name}.log"))
                  if r.get("device") != "cuda:0"]
        share = cuda / (others[0] * 1e6) if cuda and others and others[0] else None
        self.add("OpenCL against CUDA, cnn5-fashion at 512", f">= {OPENCL_SPEED:.0%} of its speed",
                 share and f"{share:.0%}", share and share >= OPENCL_SPEED)


def promises(folder):
    p = Promises(folder)
    for step in STEPS:
        p.add_step(*step)
        p.note_search(*step[:2])
    p.add_training()
    p.add_status("the weights of two runs", "equal-1-2", "equal")
    p.add_parity("cuda")
    p.add_parity("opencl")
    p.add_curves()
    p.add_opencl()
    for tool in ("memcheck", "racecheck"):
        p.add_status(f"compute-sanitizer {tool}", tool)
    for what, promised, found, verdict, aim in p.rows:
        print(f"{what:42} {promised:22} {found:38} {verdict:13} {aim}".rstrip())
    return 1 if p.broken else 2 if p.missing else 0


def ops(name, path):
    """Of each step: equal operations as one line, with the time of all and of one, the share of the
    hardware's limit, launches, and what computed it."""
    lines = []
    for r in records(path):
        groups = {}
        if not value(r, "explain.ops"):
            continue
        for op in value(r, "explain.ops"):
            key = tuple(op.get(k) for k in ("op", "phase", "implementation", "launches")) + tuple(
                round(op.get(k) or 0, -5) for k in ("flops", "bytes"))
            groups.setdefault(key, []).append(op)
        total = sum(op["seconds"] for all_of in groups.values() for op in all_of)
        lines.append(f"## {name}: step {value(r, 'step_s.median', float('nan')) * 1e3:.2f} ms, "
                     f"ops {total * 1e3:.2f} ms, {sum(map(len, groups.values()))} ops")
        for key, all_of in sorted(groups.items(), key=lambda g: -sum(o["seconds"] for o in g[1])):
            us = sum(op["seconds"] for op in all_of) * 1e6
            share = sum(op.get("limit_share") or 0 for op in all_of) / len(all_of)
            lines.append(f"{us:9.1f} us x {len(all_of):3} {us / len(all_of):8.1f} each {share:5.0%}"
                         f" of limit, {key[3]:.0f} launches  {key[0]} [{key[1]}] {key[2]} "
                         f"{key[4] / 1e9:.2f} GFLOP {key[5] / 1e6:.1f} MB")
    return "\n".join(lines)


def main():
    what, paths = sys.argv[1], sys.argv[2:]
    if what == "bench":
        bench(paths)
    elif what == "promises":
        sys.exit(promises(*paths))
    else:
        print({"parity": parity, "train": train, "curve": curve, "opencl": opencl,
               "kernels": kernels, "ops": ops}[what](*paths))


if __name__ == "__main__":
    main()
