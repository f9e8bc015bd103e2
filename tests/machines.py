"""Machines that are none: namespaces with a host name and a network of their own, and between them
a link that delays and loses what is sent.

The kernel's own emulator of links (netem) is a module that many machines lack, so the link is a
thread here: each machine has a TAP device, whose frames it takes, drops some of, by chance from a
seed, and hands on after the delay.  Needs root, ip, unshare and /dev/net/tun.
"""
import fcntl
import heapq
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import threading
import time

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME_BYTES = 65536
MTU = 9000
BROADCAST = b"\xff" * 6


def why_none():
    """Why there can be no machines here; "" where there can."""
    for program in ("ip", "unshare"):
        if not shutil.which(program):
            return f"no {program}: install iproute2 and util-linux"
    if os.geteuid() != 0:
        return "networks of one's own need root"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun, by which the link between machines is made"
    try:
        os.close(open_tap("be-none"))
    except OSError as error:
        return f"/dev/net/tun gives no device: {error.strerror}"
    tried = subprocess.run(["unshare", "--net", "--uts", "ip", "link"], check=False,
                           capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no network of one's own: {tried.stderr.strip()}"


class Machines:
    """Machines 0 … count − 1, as a context.  Each frame takes `delay_s` and is lost by the chance
    `loss`; a machine in `unplugged` gets and sends none."""

    def __init__(self, count, delay_s=0.0, loss=0.0, seed=1):
        self.delay_s, self.loss, self.seed = delay_s, loss, seed
        self.names = [f"be-{os.getpid()}-{m}" for m in range(count)]
        self.addresses = [f"10.77.0.{m + 1}" for m in range(count)]
        self.unplugged = set()
        self.frames = self.lost = self.bytes = 0
        self.taps = []
        self.woken, self.wakes = os.pipe()
        self.thread = threading.Thread(target=self.carry, daemon=True)

    def __enter__(self):
        try:
            for m, name in enumerate(self.names):
                self.add(m, name)
        except BaseException:
            self.remove()
            raise
        self.thread.start()
        return self

    def add(self, m, name):
        device = f"be{os.getpid()}-{m}"
        self.taps.append(open_tap(device))
        ip("netns", "add", name)
        ip("link", "set", device, "netns", name)
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "address", "add", self.addresses[m] + "/24", "dev", device)
        ip("-n", name, "link", "set", device, "mtu", str(MTU), "up")

    def processes(self, m):
        """{number: words} of what runs on machine m."""
        found = {}
        for pid in ip("netns", "pids", self.names[m]).split():
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    found[int(pid)] = file.read().split("\0")
            except OSError:
                pass  # it has ended
        return {pid: words for pid, words in found.items() if words != [""]}

    def remove(self):
        """What still runs on one ends, too."""
        for m, name in enumerate(self.names):
            if os.path.exists(f"/run/netns/{name}"):
                for pid in self.processes(m):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        for tap in self.taps:
            os.close(tap)
        os.close(self.woken)

    def __exit__(self, *_):
        os.close(self.wakes)
        self.thread.join()
        self.remove()

    def command(self, m, *words):
        """The words as a command of machine m."""
        return ["ip", "netns", "exec", self.names[m], "unshare", "--uts", "sh", "-c",
                'hostname "$0" && exec "$@"', self.names[m], *words]

    def write_agent(self, path):
        """A program that runs a command on a machine, by its address, as ssh does."""
        cases = "".join(f"{a}) name={n} ;;\n" for a, n in zip(self.addresses, self.names))
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\ncase "$1" in\n{cases}esac\nshift\n'
                       'exec ip netns exec "$name" unshare --uts sh -c '
                       '\'hostname "$0" && exec sh -c "$1"\' "$name" "$*"\n')
        os.chmod(path, 0o755)

    # ---------------------------------------------------------------- the link

    def carry(self):
        chance, places, waiting, count = random.Random(self.seed), {}, [], 0
        while True:
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, to, frame = heapq.heappop(waiting)
                self.deliver(to, frame)
            limit = waiting[0][0] - now if waiting else None
            ready, _, _ = select.select([self.woken, *self.taps], [], [], limit)
            if self.woken in ready:
                return
            for m in (m for m, tap in enumerate(self.taps) if tap in ready):
                for frame in frames_of(self.taps[m]):
                    self.frames += 1
                    self.bytes += len(frame)
                    places[frame[6:12]] = m
                    if m in self.unplugged or chance.random() < self.loss:
                        self.lost += 1
                        continue
                    to = places.get(frame[:6])
                    others = [o for o in range(len(self.taps)) if o != m]
                    for o in others if to is None or frame[:6] == BROADCAST else [to]:
                        count += 1
                        heapq.heappush(waiting, (time.monotonic() + self.delay_s, count, o, frame))

    def deliver(self, to, frame):
        if to in self.unplugged:
            self.lost += 1
            return
        try:
            os.write(self.taps[to], frame)
        except OSError:  # its device is not up yet, or its queue is full
            self.lost += 1


def open_tap(device):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    except OSError:
        os.close(tap)
        raise
    return tap


def frames_of(tap):
    """What is there, but not for ever."""
    for _ in range(64):
        try:
            yield os.read(tap, FRAME_BYTES)
        except BlockingIOError:
            return


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
