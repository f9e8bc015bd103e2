#!/usr/bin/env python3
"""A runner that computes nothing: the tests' engine, which keeps the protocol or breaks it on wish.

A step sleeps, or spins with --spin on the processor; everything it claims follows from --step.  The
options name the faults; AT is the number of the `run` request at which one begins (1 is the first
step).
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

# Where the conductor reads; standard output only goes to the log.
ANSWERS = os.fdopen(int(os.environ.pop("BREAKEVEN_ANSWERS_FD", "1")), "w")
if "--astray" in sys.argv:
    UNUSED, ANSWERS = ANSWERS, sys.stdout


def add_faults(parser):
    """What it does that a runner must not."""
    parser.add_argument("--unsynchronised", action="store_true", help="answers early, sync waits")
    parser.add_argument("--unsynchronised-silent", action="store_true",
                        help="the same, and claims that sync took nothing")
    parser.add_argument("--claim", type=float, default=1, help="factor on the claimed time")
    parser.add_argument("--constant", action="store_true", help="any block takes ten steps' time")
    parser.add_argument("--refuse", default=None, help="STATUS:OP, answered with ok false")
    parser.add_argument("--fault", default=None,
                        choices=["exit", "kill", "hang", "rubbish", "long", "null", "nan", "close",
                                 "chatter", "steps", "babble", "halfline", "stop"])
    parser.add_argument("--at", type=int, default=1)
    parser.add_argument("--astray", action="store_true",
                        help="answers on standard output, as in version 1 of the protocol")
    parser.add_argument("--deaf", action="store_true", help="goes on after quit and end of input")


def options():
    parser = argparse.ArgumentParser()
    add_faults(parser)
    parser.add_argument("--engine", default="fake")
    parser.add_argument("--schema", type=int, default=2)
    parser.add_argument("--step", type=float, default=0.001, help="seconds of one step")
    parser.add_argument("--first", type=float, default=0, help="more seconds for the first step")
    parser.add_argument("--noise", type=float, default=0,
                        help="how much longer runs take, by chance")
    parser.add_argument("--seed", type=int, default=1, help="of the noise")
    parser.add_argument("--spin", type=float, nargs="?", const=1, default=0,
                        help="the share of its steps on a processor that it keeps it busy")
    parser.add_argument("--spin-after", type=float, default=0,
                        help="seconds for which a thread spins after a run")
    parser.add_argument("--loss", type=float, default=2.3)
    parser.add_argument("--memory", type=int, default=0, help="MiB to hold")
    parser.add_argument("--precision", default=None)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--warning", default=None)
    parser.add_argument("--prepares", type=int, default=None,
                        help="after that many it has no memory for another one")
    parser.add_argument("--moody", type=int, default=0,
                        help="that many times phases take twice as long as the steps did")
    parser.add_argument("--where", action="store_true",
                        help="implementation: the processors that it may use")
    parser.add_argument("--blas", default="none", help="what it computes with; on the processor a "
                        "step takes half the time with OPENBLAS_NUM_THREADS=1")
    parser.add_argument("--steady", action="store_true",
                        help="claims the time that it was to sleep: how late a busy machine wakes "
                             "it does not show")
    parser.add_argument("--age", type=int, default=0, help="seconds since the limits were measured")
    parser.add_argument("--unknown", action="store_true", help="no arithmetic rate")
    parser.add_argument("--limits-of", default=None, help="the device of the limits")
    parser.add_argument("--devices", type=json.loads, default={},
                        help="by device: step, sample and size (seconds; a sample, a unit of "
                             "size), start (of prepare), room (the "
                             "largest batch), drop (the batch from which on it dies), disturbed "
                             "(by batch: a factor on the step of the first process that prepares "
                             "it, which --count knows)")
    parser.add_argument("--honest", action="store_true",
                        help="what is compared with the reference comes from the native runner")
    parser.add_argument("--count", default=None, help="a file that gets a line for each prepare")
    parser.add_argument("--energy", nargs=2, default=None, metavar=("FILE", "MICROJOULES"),
                        help="a counter of energy, and what a step adds to it")
    parser.add_argument("--trace", default=None, help="the file that parity answers with")
    parser.add_argument("--rise", type=float, default=0, help="what each run adds to the loss")
    parser.add_argument("--works-on", default=None,
                        help="the device that phases names, '' for none; default: the one asked")
    parser.add_argument("--reference", type=float, default=0,
                        help="seconds that the reference kernel claims; 0: there is none")
    parser.add_argument("--hot", type=float, default=1, help="factor on it while it is hot")
    parser.add_argument("--hot-step", type=float, default=1, help="factor on a step meanwhile")
    parser.add_argument("--hot-from", type=int, default=0, help="the reading at which that begins")
    parser.add_argument("--hot-for", type=int, default=10**9, help="readings")
    parser.add_argument("--jump", type=float, default=0,
                        help="seconds by which the clock jumps in run number AT")
    parser.add_argument("--ready", default=None, help="a file to make once a run has begun")
    return parser.parse_args()


class Fake:
    def __init__(self, wish):
        self.wish = wish
        self.runs = self.prepares = 0
        self.child, self.compared, self.device = None, False, "cpu"
        self.pending_until, self.factor = 0.0, 1
        self.asked_for_phases = self.last_step_ns = 0
        self.random = random.Random(wish.seed)
        self.readings = 0
        self.held = bytearray(os.urandom(1) * (wish.memory << 20))

    def answer(self, more="", **members):
        ANSWERS.write(json.dumps({"ok": True, **members}) + "\n" + more)
        ANSWERS.flush()

    @staticmethod
    def refuse(status, error):
        print(json.dumps({"ok": False, "status": status, "error": error}), flush=True, file=ANSWERS)

    def work(self, seconds, spin=0):
        start = time.monotonic()
        while time.monotonic() < start + spin * seconds:
            pass
        left = start + seconds - time.monotonic()
        if left > 0:  # to sleep for no time lets other programs go first, for milliseconds
            time.sleep(left)

    def spin(self):
        """What an idle pool of threads does: hashing, because that leaves Python to the others."""
        block = bytes(1 << 20)
        while True:
            if time.monotonic() < self.spin_until:
                hashlib.sha256(block)
            else:
                time.sleep(0.001)

    def hello(self, request):
        self.answer(schema=self.wish.schema, engine=self.wish.engine, version="1.0",
                    libraries={"blas": self.wish.blas, "python": sys.version.split()[0]},
                    devices=[{"id": "cpu", "name": "a fake processor"},
                             {"id": "cuda:0", "name": "a fake accelerator"}])

    def ask_native(self, request):
        """The answer of the real native runner, on one thread of the processor."""
        if not self.child:
            self.child = subprocess.Popen([os.environ["BREAKEVEN_PROGRAM"], "runner"], text=True,
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        changes = {"device": "cpu", "threads": 1} if request["op"] == "prepare" else {}
        self.child.stdin.write(json.dumps({**request, **changes}) + "\n")
        self.child.stdin.flush()
        return self.child.stdout.readline()

    def native(self, request):
        ANSWERS.write(self.ask_native(request))
        ANSWERS.flush()

    def prepare(self, request):
        again = self.compared  # for the measurement, once more
        self.compared = self.wish.honest and request.get("dropout") == "counter"
        if self.compared:
            self.native(request)
            return
        self.batch, start, parameters = request["batch"], time.monotonic(), 37250
        self.size = request.get("size", 0)
        self.device = request["device"]
        prepare_ns = 1000000
        if self.wish.devices:
            parameters = json.loads(self.ask_native(request))["parameters"]
            self.be_device(request["device"], again)
            prepare_ns += int((time.monotonic() - start) * 1e9)
        self.prepares += 1
        if self.wish.prepares is not None and self.prepares > self.wish.prepares:
            raise MemoryError
        where = ",".join(map(str, sorted(os.sched_getaffinity(0)))) if self.wish.where else "sleep"
        self.answer(parameters=parameters, device_name="a fake processor", implementation=where,
                    precision=self.wish.precision or request["precision"],
                    threads=self.wish.threads or request["threads"],
                    prepare_ns=prepare_ns,
                    warnings=[self.wish.warning] if self.wish.warning else [])

    def be_device(self, name, again):
        device = self.wish.devices[name]
        if self.wish.count and not again:
            with open(self.wish.count, "a+", encoding="utf-8") as file:
                line, disturbed = f"{name} {self.batch}\n", device.get("disturbed", {})
                file.seek(0)
                self.factor = 1 if line in file else disturbed.get(str(self.batch), 1)
                file.write(line)
        if self.batch > device.get("room", self.batch):
            raise MemoryError
        step = (device.get("step", 0) + device.get("sample", 0) * self.batch +
                device.get("size", 0) * self.size)
        alone = name == "cpu" and os.environ.get("OPENBLAS_NUM_THREADS") == "1"
        self.wish.step = step * self.factor * (0.5 if alone else 1)
        self.wish.fault = "exit" if self.batch >= device.get("drop", 1 << 40) else None
        self.work(device.get("start", 0))

    def fault(self):
        kind = self.wish.fault
        sys.stderr.write("fake: now " + kind + "\n")
        sys.stderr.flush()
        if kind == "exit":
            os._exit(3)
        elif kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "hang":
            time.sleep(600)
        elif kind == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif kind == "rubbish":
            ANSWERS.write("\x1b[31mEpoch 1/10: loss 2.3\n")
        elif kind == "long":
            for _ in range(20):
                ANSWERS.write("x" * (1 << 20))
        elif kind == "halfline":
            ANSWERS.write('{"ok": true, "st')
            ANSWERS.flush()
            os._exit(0)
        elif kind == "close":
            os.close(ANSWERS.fileno())
            time.sleep(600)
        elif kind == "null":
            self.answer(steps=None, wall_ns=None, loss=None)
        elif kind == "nan":
            self.answer(steps=1, wall_ns=1000000, loss=None)
        elif kind == "steps":
            self.answer(steps=7, wall_ns=1000000, loss=2.3)
        elif kind == "chatter":
            for i in range(5000):
                sys.stderr.write("fake: line %d of a long log\n" % i)
            sys.stderr.flush()
            os._exit(1)
        elif kind == "babble":
            return False
        ANSWERS.flush()
        return True

    def is_hot(self):
        return 0 <= self.readings - self.wish.hot_from < self.wish.hot_for

    def run(self, request):
        if self.compared:
            self.native(request)
            return
        wish, steps = self.wish, request["steps"]
        self.runs += 1
        if wish.ready:
            open(wish.ready, "w").close()
        if wish.fault and self.runs >= wish.at and self.fault():
            return
        start = time.monotonic()
        wanted = wish.step * (10 if wish.constant else steps)
        if self.runs == 1:
            wanted += wish.first
        wanted *= 1 + abs(self.random.gauss(0, wish.noise))
        wanted *= wish.hot_step if self.is_hot() else 1
        if wish.unsynchronised or wish.unsynchronised_silent:
            self.work(max(0.0, self.pending_until - time.monotonic()))
            start = time.monotonic()
            self.pending_until = start + wanted
            self.work(0.2 * wanted)
        else:
            self.work(wanted, wish.spin if self.device == "cpu" else 0)
        wall = wanted if wish.steady else time.monotonic() - start
        wall *= wish.claim
        if self.runs == wish.at:
            wall += wish.jump
        if wish.energy:
            with open(wish.energy[0], "r+", encoding="utf-8") as counter:
                used = int(counter.read()) + steps * int(wish.energy[1])
                counter.seek(0)
                counter.write(str(used))
        loss = wish.loss + wish.rise * self.runs
        babble = wish.fault == "babble" and self.runs >= wish.at
        self.spin_until = time.monotonic() + wish.spin_after
        if wish.spin_after and self.runs == 1:
            threading.Thread(target=self.spin, daemon=True).start()
        wall_ns = max(1, int(wall * 1e9))
        self.last_step_ns = wall_ns // steps
        self.answer(more="and one more thing\n" if babble else "", steps=steps,
                    wall_ns=wall_ns, loss=loss,
                    losses=[loss] * steps if request.get("losses") else [])

    def sync(self, request):
        start = time.monotonic()
        pending = max(0.0, self.pending_until - start)
        self.work(pending)
        wall = pending if self.wish.steady else time.monotonic() - start
        self.answer(wall_ns=0 if self.wish.unsynchronised_silent else int(wall * 1e9))

    def parity(self, request):
        if self.compared:
            self.native(request)
            return
        if self.wish.trace:
            shutil.copyfile(self.wish.trace, request["out"])
        else:
            open(request["out"], "w").close()
        self.answer(steps=request["steps"])

    def evaluate(self, request):
        self.answer(count=1000, correct=900, loss=self.wish.loss)

    def export(self, request):
        open(request["out"], "w").close()
        self.answer()

    def measure(self, request):
        """The rate is the time now: no two answers are equal."""
        time.sleep(request.get("seconds", 0))
        rate = None if self.wish.unknown else time.time_ns()
        copies = [{"bytes": 4096, "up_s": 1e-6, "down_s": 2e-6}]
        self.answer(limits={
            "device": self.wish.limits_of or request["device"], "device_name": "a fake",
            "threads": request["threads"], "flops_fp32": rate, "flops_tf32": None,
            "flops_bf16": None, "memory_bytes_per_s": 1e10, "cache_bytes_per_s": None,
            "launch_s": 1e-6, "round_trip_s": 5e-6, "transfers": copies,
            "unix_s": int(time.time()) - self.wish.age})

    def calibrate(self, request):
        """Its point's time is the time now; none without seconds."""
        size = {"op": "nap", "implementation": "sleep", "out": 1, "in": 1, "kernel": 1, "pixels": 1,
                "batch": 1, "passes": 1, "elements": 1, "flops": 1, "bytes": 1, "launches": 1}
        points = [{**size, "seconds": time.time()}] if request["seconds"] > 0 else []
        self.answer(ops=[{**size, "seconds": 0}], points=points)

    def phases(self, request):
        self.asked_for_phases += 1
        steps, each = request["steps"], max(1, self.last_step_ns // 10)
        if self.asked_for_phases <= self.wish.moody:
            each *= 2
        ns = {"data": 1, "upload": 0, "forward": 4, "backward": 3, "optimizer": 1, "loss_read": 0,
              "idle_host": None, "idle_other": 1}
        op = {"op": "nap", "name": "", "phase": "forward", "implementation": "sleep",
              "launches": steps, "ns": 4 * each * steps, "flops": None, "bytes": None}
        device = self.device if self.wish.works_on is None else self.wish.works_on
        work = {device: {"launches": steps, "busy_ns": None}} if device else {}
        self.answer(steps=steps, wall_ns=10 * each * steps,
                    phases={name: value and value * each * steps for name, value in ns.items()},
                    launches=steps, synchronisations=1, upload_bytes=0, download_bytes=None,
                    work=work, ops=[op])

    def reference(self, request):
        wish = self.wish
        if wish.reference == 0:
            self.refuse("UNAVAILABLE", "there is none")
            return
        self.readings += 1
        self.answer(wall_ns=int(wish.reference * (wish.hot if self.is_hot() else 1) * 1e9))


def main():
    wish = options()
    fake = Fake(wish)
    status, _, op = (wish.refuse or "").partition(":")
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == op:
            fake.refuse(status, "expected mercy, found none; ask another")
        elif request["op"] == "quit":
            fake.answer()
            break
        else:
            try:
                getattr(fake, request["op"])(request)
            except MemoryError:
                fake.refuse("NO_MEMORY",
                            "expected room, found none; a batch of about 17 would fit")
    if wish.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


main()
