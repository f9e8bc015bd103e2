#!/usr/bin/env python3
"""The native runner behind a proxy that spoils it: bad runners that really compute.

Usage: proxy_runner.py [OPTION...] [-- ARGUMENT of `breakeven runner`...]

The program is $BREAKEVEN_PROGRAM. Without an option all passes unchanged.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import time

# Where the conductor reads; standard output only goes to the log.
ANSWERS = os.fdopen(int(os.environ.pop("BREAKEVEN_ANSWERS_FD", "1")), "w")


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gradient", default=None, help="NAME=FACTOR: of one gradient in parity")
    parser.add_argument("--element", default=None, help="NAME=INDEX: one sign is turned in parity")
    parser.add_argument("--loss", type=float, default=1, help="factor on the losses of run")
    parser.add_argument("--at-size", type=int, default=0,
                        help="the losses are spoiled for pictures of this size alone, of run and "
                             "evaluate")
    parser.add_argument("--slower", type=float, default=0, help="share by which blocks last on")
    parser.add_argument("--engine", default=None, help="the name that it gives itself")
    parser.add_argument("--claims", default=None, help="CLAIMED=REAL: the device it says it is")
    parser.add_argument("--says", default=None,
                        help="PRECISION that it says it computes in, and computes in fp32")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args()


def spoil_file(path, wish):
    """Change a tensor of a safetensors file in place."""
    wanted, _, value = (wish.gradient or wish.element).partition("=")
    with open(path, "r+b") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        begin, end = header["grad." + wanted]["data_offsets"]
        file.seek(8 + length + begin)
        values = list(struct.unpack(f"<{(end - begin) // 4}f", file.read(end - begin)))
        if wish.gradient:
            values = [float(value) * v for v in values]
        else:
            values[int(value)] *= -1
        file.seek(8 + length + begin)
        file.write(struct.pack(f"<{len(values)}f", *values))


class Proxy:
    def __init__(self, wish):
        self.wish = wish
        self.size = 0
        self.claimed, _, self.real = (wish.claims or "").partition("=")
        self.child = subprocess.Popen([os.environ["BREAKEVEN_PROGRAM"], "runner", *wish.arguments],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def run(self, request):
        start = time.monotonic_ns()
        answer = self.ask(request)
        if not answer["ok"]:
            return answer
        end = start + (time.monotonic_ns() - start) * (1 + self.wish.slower)
        while self.wish.slower and time.monotonic_ns() < end:
            pass
        if self.wish.slower:
            answer["wall_ns"] = int(answer["wall_ns"] * (1 + self.wish.slower))
        return self.spoil_losses(request, answer)

    def spoil_losses(self, request, answer):
        if self.wish.at_size in (0, self.size) and answer["ok"]:
            if answer["loss"] is not None:
                answer["loss"] *= self.wish.loss
            if request.get("losses"):
                answer["losses"] = [x * self.wish.loss for x in answer["losses"]]
        return answer

    def answer(self, request):
        if request.get("device") and request["device"] == self.claimed:
            request["device"] = self.real
        if request["op"] == "run":
            return self.run(request)
        if request["op"] == "prepare":
            self.size = request.get("size", 0)
            request["precision"] = "fp32" if self.wish.says else request["precision"]
        answer = self.ask(request)
        if request["op"] == "prepare" and self.wish.says:
            answer["precision"] = self.wish.says
        if request["op"] == "evaluate":
            return self.spoil_losses(request, answer)
        if request["op"] == "hello" and self.claimed:
            answer["devices"] = [{"id": self.claimed, "name": "an accelerator"}]
        if request["op"] == "hello" and self.wish.engine:
            answer["engine"] = self.wish.engine
        if request["op"] == "parity" and (self.wish.gradient or self.wish.element):
            spoil_file(request["out"], self.wish)
        return answer


def main():
    proxy = Proxy(options())
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(proxy.answer(request)), flush=True, file=ANSWERS)
        if request["op"] == "quit":
            break
    proxy.child.stdin.close()
    proxy.child.wait()


main()
