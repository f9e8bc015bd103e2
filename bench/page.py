#!/usr/bin/env python3
"""Does the page disturb what it measures?  The commands of a study of the page, run from the shell,
from the page with a view of it open, and from the shell again, in rounds.  A round's ratio is the
page's step against the mean of the two beside it, so that what drifts is the same for both; the
verdict is by the interval of the median of these ratios, as 'breakeven bench' judges.  The second
shell against the first says what such rounds give where there is nothing to find.  Beside that it
tells for how long the server slept while the page's bench timed its blocks.

    page.py BREAKEVEN [WORKLOAD] [SECONDS] [ROUNDS]     needs a machine on which nothing else runs

Exit code 0: SAME.
"""
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

BATCH = 100


def ask(address, path, body=None):
    parts = urllib.parse.urlsplit(address)
    token = urllib.parse.parse_qs(parts.query)["token"][0]
    request = urllib.request.Request(
        f"http://{parts.netloc}{path}", json.dumps(body).encode() if body else None,
        {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    return urllib.request.urlopen(request)


def follow(address, job):
    """The state in which it ended, as a view that is open all the time sees it."""
    for line in ask(address, f"/events?job={job}"):
        if line.startswith(b"data: "):
            state = json.loads(line[6:])["state"]
            if state not in ("waiting", "running"):
                return state
    return "cut"


def wakes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", file.read())[1])


class Quiet(threading.Thread):
    """The longest time in which the server was not woken at all."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.longest, self.ended = pid, 0.0, False

    def run(self):
        count, since = wakes(self.pid), time.monotonic()
        while not self.ended:
            time.sleep(0.1)
            now = wakes(self.pid)
            if now != count:
                count, since = now, time.monotonic()
            self.longest = max(self.longest, time.monotonic() - since)


class Both:
    def __init__(self, program, settings, folder):
        self.program, self.settings = program, settings
        self.env = {**os.environ, "XDG_DATA_HOME": folder}
        self.server = subprocess.Popen([program, "serve", "--port", "0"], env=self.env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.address = self.server.stdout.readline().strip()
        follow(self.address, 1)
        self.slept = math.inf  # at the longest stretch of a study, the least of all

    def from_page(self):
        """The study as the page has it in the end."""
        with ask(self.address, "/api/jobs", self.settings) as answer:
            job = json.load(answer)["job"]
        quiet = Quiet(self.server.pid)
        quiet.start()
        follow(self.address, job)
        quiet.ended = True
        self.slept = min(self.slept, quiet.longest)
        with ask(self.address, f"/api/jobs/{job}") as answer:
            return json.load(answer)

    def from_shell(self, study):
        """What the last of the study's commands wrote."""
        for stage in study["stages"]:
            command = [self.program, *stage["command"][1:]]
            done = subprocess.run(command, env=self.env, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [event["value"] for event in events if event["event"] == "record"]


def step_of(records, threads):
    for each in records:
        if each["threads"] == threads and each["status"] == "OK":
            return each["step_s"]["median"]
    sys.exit(f"expected a step on {threads} threads, found none: is the machine quiet?")


def tell(what, ratios):
    """The median of the ratios, its interval by the bootstrap, and the verdict (stats_judge)."""
    draw = random.Random(42)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    point, low, high = statistics.median(ratios), medians[50], medians[1949]
    beyond = not 1 / 1.025 <= point <= 1.025
    verdict = "SAME" if not beyond and 1 / 1.05 < low and high < 1.05 else "UNSURE"
    if beyond and (low > 1 or high < 1):
        verdict = "SLOWER" if low > 1 else "FASTER"
    if len(ratios) < 6:  # too few for an interval
        verdict = "UNSURE"
    print(f"{what}: {point:.3f} [{low:.3f}, {high:.3f}] {verdict}")
    return verdict


def measure(both, rounds):
    """The fastest number of threads, and the ratios of the rounds."""
    study = both.from_page()  # which says the commands, and warms all up
    measured = [each for each in study["stages"][-1]["records"] if each["status"] == "OK"]
    threads = min(measured, key=lambda each: each["step_s"]["median"])["threads"]
    page, shell = [], []
    for n in range(rounds):
        first = step_of(both.from_shell(study), threads)
        middle = step_of(both.from_page()["stages"][-1]["records"], threads)
        last = step_of(both.from_shell(study), threads)
        page.append(middle / math.sqrt(first * last))
        shell.append(last / first if n % 2 else first / last)
        print(f"round {n + 1}: {1e3 * first:.4g}, {1e3 * middle:.4g} and {1e3 * last:.4g} ms",
              flush=True)
    return threads, page, shell


def main():
    program = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 9
    settings = {"study": "try", "workload": sys.argv[2] if len(sys.argv) > 2 else "cnn-fashion",
                "epochs": 1, "device": ["cpu"], "engine": ["native"], "batch": BATCH,
                "limit": 2000, "seconds": float(sys.argv[3]) if len(sys.argv) > 3 else 2,
                "synthetic": True}
    with tempfile.TemporaryDirectory() as folder:
        both = Both(program, settings, folder)
        try:
            threads, page, shell = measure(both, rounds)
        finally:
            both.server.terminate()
            both.server.wait()
    print(f"{settings['workload']}, {threads} threads; while blocks were timed the server slept "
          f"for {both.slept:.1f} s at a stretch or longer")
    tell("shell / shell", shell)
    return 0 if tell("page / shell", page) == "SAME" else 1


sys.exit(main())
