#!/usr/bin/env python3
"""Does the page disturb what it measures?  A bench from the shell, then one from the page with a
view of it open; 'breakeven compare' says SAME where it does not.

    page.py BREAKEVEN [WORKLOAD] [SECONDS]     needs a machine on which nothing else runs
"""
import json
import os
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request


def ask(address, path, body=None):
    parts = urllib.parse.urlsplit(address)
    token = urllib.parse.parse_qs(parts.query)["token"][0]
    request = urllib.request.Request(
        f"http://{parts.netloc}{path}", json.dumps(body).encode() if body else None,
        {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    return urllib.request.urlopen(request)


def follow(address, job):
    for line in ask(address, f"/events?job={job}"):
        if line.startswith(b"data: "):
            state = json.loads(line[6:])["state"]
            if state not in ("waiting", "running"):
                return state
    return "cut"


def main():
    program = sys.argv[1]
    workload = sys.argv[2] if len(sys.argv) > 2 else "cnn-fashion"
    seconds = sys.argv[3] if len(sys.argv) > 3 else "10"
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "XDG_DATA_HOME": folder}
        server = subprocess.Popen([program, "serve", "--port", "0"], env=env, text=True,
                                  stdout=subprocess.PIPE)
        address = server.stdout.readline().strip()
        follow(address, 1)
        subprocess.run([program, "bench", workload, "--batch=100", "--precision=fp32",
                        "--device=cpu", "--engine=native", "--max-time=" + seconds,
                        "--synthetic"], env=env, check=True)
        with ask(address, "/api/jobs", {"study": "try", "workload": workload, "epochs": 1,
                                        "device": ["cpu"], "engine": ["native"],
                                        "seconds": float(seconds), "synthetic": True}) as answer:
            print("the page:", follow(address, json.load(answer)["job"]))
        server.terminate()
        server.wait()
        # The runs: the shell's bench, the page's training, the page's bench.
        subprocess.run([program, "compare", "1", "3"], env=env, check=True)


main()
