#!/usr/bin/env python3
"""Stands in for the program where a test serves the page: a command prints at once what the real
one printed (tests/serve/COMMAND.jsonl), and keeps its records as that does.

FAKE_COMMAND_LOG: a file that gets the words of each command, a line of JSON each.
FAKE_COMMAND_STATE: a file that gets what each command inherited, a line of JSON each.
FAKE_COMMAND_PACE: a pipe of a file system; but for devices, each event waits for a byte from it.
A training of more than 100 epochs goes on, step by step, until it is asked to end; with a learning
rate of 10 it fails.
"""
import json
import os
import signal
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))


def option(name, usual):
    found = [word.split("=", 1)[1] for word in sys.argv if word.startswith(f"--{name}=")]
    return found[0] if found else usual


def say(event):
    print(json.dumps(event), flush=True)


def read(name):
    with open(os.path.join(FOLDER, name + ".jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def keep(records):
    """As runs of their own: what tells one from another is when it was."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    lines = [json.dumps({**record, "time": now, "seed": time.time_ns() % 10**9})
             for record in records]
    subprocess.run([os.environ["BREAKEVEN_PROGRAM"], "runs", "import", "-"], check=True, text=True,
                   input="\n".join(lines) + "\n", stdout=subprocess.DEVNULL)


def train_until_stopped():
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    step = 0
    while not stopped:
        step += 1
        say({"event": "step", "epoch": 1 + step // 1000, "epochs": int(option("epochs", 1)),
             "step": 1 + step % 1000, "steps": 1000, "loss": 1 / step + 0.1,
             "accuracy": 1 - 1 / (step + 1), "units_per_s": 12345.0, "unit": "picture",
             "left_s": 3600.0})
        time.sleep(0.02)
    sys.exit(143)


def inherited():
    """All that the system hands down from one process to the next and that can change how it runs:
    but for its standard streams, which are a terminal's here and pipes there."""
    found = {"environment": dict(os.environ), "folder": os.getcwd(), "nice": os.nice(0),
             "scheduler": os.sched_getscheduler(0),
             "descriptors": sorted(os.listdir("/proc/self/fd"))}
    for name in ("limits", "cgroup", "personality", "oom_score_adj", "coredump_filter"):
        with open("/proc/self/" + name, encoding="ascii") as file:
            found[name] = file.read()
    # A sanitizer wants no core of the server.
    found["limits"] = [line for line in found["limits"].splitlines() if " core " not in line]
    with open("/proc/self/timerslack_ns", encoding="ascii") as file:
        found["timer slack"] = file.read()
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.rstrip().split(":", 1) for line in file)
    for name in ("Cpus_allowed_list", "Mems_allowed_list", "Umask", "NoNewPrivs", "Seccomp",
                 "CapEff", "THP_enabled"):
        found[name] = lines.get(name)
    for name in ("SigBlk", "SigIgn"):  # without the two that glibc has for itself
        found[name] = int(lines[name], 16) & 0x7fffffff
    return found


def main():
    command = sys.argv[1]
    if os.environ.get("FAKE_COMMAND_STATE"):
        with open(os.environ["FAKE_COMMAND_STATE"], "a", encoding="utf-8") as file:
            file.write(json.dumps(inherited()) + "\n")
    pace = os.environ.get("FAKE_COMMAND_PACE") if command != "devices" else None
    pace = open(pace, "rb", buffering=0) if pace else None
    if os.environ.get("FAKE_COMMAND_LOG"):
        with open(os.environ["FAKE_COMMAND_LOG"], "a", encoding="utf-8") as file:
            file.write(json.dumps(sys.argv[1:]) + "\n")
    if command == "train" and option("rate", option("lr", "")) == "10":
        print("breakeven: step 3: the loss is no number", file=sys.stderr)
        sys.exit(4)
    if command == "train" and int(option("epochs", "1")) > 100:
        train_until_stopped()
    records = []
    for event in read(command):
        if command == "train":
            time.sleep(0.01)
            if event["event"] == "record":
                event["value"]["device"] = option("device", "cpu")
        if pace:
            pace.read(1)
        say(event)
        if event.get("event") == "record":
            records.append(event["value"])
    if records:
        keep(records)


main()
