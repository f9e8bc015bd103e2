#!/usr/bin/env python3
"""How long the store takes for many records: each is one that the program measures here, with other
times.  Promised: the import of 100,000 in 10 s and their list in 0.3 s.

    store.py BREAKEVEN [RECORDS]     prints seconds by the clock and of the processor
"""
import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

WORKLOADS = ["mlp-mnist", "cnn-fashion", "resnet18", "gpt2", "bert-base"]
RUNS = 20  # one a build


def measured(program, env):
    """A record of each of two contenders, as they are printed."""
    done = subprocess.run([program, "bench", "mlp-mnist", "--synthetic", "--engine=native",
                           "--max-time=1", "--format=jsonl", "--no-store"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def nine_digits(value):
    return float(f"{value:.9g}")


def varied(record, number, of):
    """The same with all its times longer by a part of their own, of one of the builds."""
    record = copy.deepcopy(record)
    factor = 1 + number * 1e-7
    step = record["step_s"]
    for name in step:
        if name not in ("spread", "count"):
            step[name] = nine_digits(step[name] * factor)
    record["blocks"] = [nine_digits(block * factor) for block in record["blocks"]]
    record["samples_per_s"] = nine_digits(record["batch"] / step["median"])
    record["workload"] = WORKLOADS[number % len(WORKLOADS)]
    record["environment"]["build"]["commit"] = f"{number * RUNS // of:012x}"
    return record


def timed(what, command, env):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    whole, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {whole:.2f} s, {used:.2f} s of the processor")


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "XDG_DATA_HOME": folder}
        path = os.path.join(folder, "records.jsonl")
        records = measured(program, env)
        with open(path, "w", encoding="utf-8") as file:
            for number in range(count):
                record = varied(records[number % len(records)], number, count)
                file.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
        print(f"{count} records, {os.path.getsize(path) / count:.0f} bytes each")
        timed("import", [program, "runs", "import", path], env)
        timed("import again, of which all are known", [program, "runs", "import", path], env)
        timed("list", [program, "runs"], env)
        timed("list of one workload", [program, "runs", "--workload", "gpt2"], env)
        timed("show of one run", [program, "runs", "show", "1"], env)
        timed("export", [program, "runs", "export", "-o", os.path.join(folder, "out")], env)


main()
