#!/usr/bin/env python3
"""Does the page disturb what it measures?  Benches from the shell and from the page, with a view
of it open, in turn (shell, page, page, shell); 'breakeven compare' says SAME where it does not.
Beside that it tells for how long the server slept while the page's bench timed its blocks.

    page.py BREAKEVEN [WORKLOAD] [SECONDS] [ROUNDS]     needs a machine on which nothing else runs
"""
import json
import os
import re
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
    def __init__(self, program, workload, seconds, folder):
        self.program, self.workload, self.seconds = program, workload, seconds
        self.folder = folder
        self.env = {**os.environ, "XDG_DATA_HOME": folder}
        self.server = subprocess.Popen([program, "serve", "--port", "0"], env=self.env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.address = self.server.stdout.readline().strip()
        follow(self.address, 1)

    def from_shell(self):
        subprocess.run([self.program, "bench", self.workload, f"--batch={BATCH}",
                        "--precision=fp32", "--device=cpu", "--engine=native",
                        f"--max-time={self.seconds}", "--synthetic"], env=self.env, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def from_page(self):
        settings = {"study": "try", "workload": self.workload, "epochs": 1, "device": ["cpu"],
                    "engine": ["native"], "batch": BATCH, "seconds": float(self.seconds),
                    "synthetic": True}
        with ask(self.address, "/api/jobs", settings) as answer:
            job = json.load(answer)["job"]
        quiet = Quiet(self.server.pid)
        quiet.start()
        state = follow(self.address, job)
        quiet.ended = True
        print(f"the page: {state}; the server slept for {quiet.longest:.1f} s at a stretch")

    def keep(self, who):
        """The newest bench, added to the file of who asked for it."""
        runs = subprocess.run([self.program, "runs", "--format", "json"], env=self.env, text=True,
                              stdout=subprocess.PIPE, check=True).stdout
        run = max(each["run"] for each in json.loads(runs) if each["command"] == "bench")
        with open(os.path.join(self.folder, who), "ab") as file:
            subprocess.run([self.program, "runs", "export", str(run)], env=self.env, stdout=file,
                           check=True)
        return str(run)

    def compare(self, *names):
        subprocess.run([self.program, "compare", *names], env=self.env, cwd=self.folder, check=True)


def main():
    program = os.path.abspath(sys.argv[1])
    workload = sys.argv[2] if len(sys.argv) > 2 else "cnn-fashion"
    seconds = sys.argv[3] if len(sys.argv) > 3 else "10"
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 2
    with tempfile.TemporaryDirectory() as folder:
        both = Both(program, workload, seconds, folder)
        for n in range(rounds):
            runs = {}
            for who in ("shell", "page") if n % 2 == 0 else ("page", "shell"):
                both.from_shell() if who == "shell" else both.from_page()
                runs[who] = both.keep(who)
            both.compare(runs["shell"], runs["page"])
        print("\nthe fastest of each:")
        both.compare("shell", "page")
        both.server.terminate()
        both.server.wait()


main()
