#!/usr/bin/env python3
"""Runs a test program and appends what processor time it took, its children included, to a file.

Usage: usage.py FILE LIMIT COMMAND...        exit status: the command's, or 124 where it was ended

LIMIT is in seconds of processor time, of the program and all that it started: a clock on the wall
would make a busy machine's tests fail.  A test of which nothing has run for STILL_S hangs, and is
ended too.  Both need /proc: without it nothing is ended here.
Each line of the file is the seconds of user and system time, a tab, and the command.
"""

import ctypes
import os
import resource
import signal
import sys
import time

POLL_S = 2
STILL_S = 180  # counted in polls, which stand still where the whole machine does
PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")


def family():
    """Seconds of processor time by process, of those that descend from this one."""
    parents, seconds = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(name)] = int(fields[1])
        # With what its own children took that it has waited for.
        seconds[int(name)] = sum(int(field) for field in fields[11:15]) / TICKS
    found, new = set(), {os.getpid()}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return {pid: seconds[pid] for pid in found}


class Watch:
    """Whether a test goes on, poll by poll."""

    def __init__(self, limit_s):
        self.limit_s, self.last, self.still = limit_s, {}, 0

    def fault(self, now):
        """Why the test is to be ended, after a poll that found these seconds; None: it goes on."""
        self.still = self.still + 1 if now == self.last else 0
        self.last = now
        if sum(now.values()) > self.limit_s:
            return f"it took more than {self.limit_s:g} s of processor time"
        if self.still * POLL_S >= STILL_S:
            return f"nothing of it has run for {STILL_S} s"
        return None


def adopt_orphans():
    """What a test leaves behind stays in its family."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap():
    """Wait statuses by process, of those that have ended, and whether others are left."""
    ended = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended[pid] = status


def wait_for(child, limit_s):
    """(wait status, why it was ended or None)"""
    watch, polled = Watch(limit_s), time.monotonic()
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, max(0, polled + POLL_S - time.monotonic()))
        ended, _ = reap()
        if child in ended:
            return ended[child], None
        if time.monotonic() - polled < POLL_S:
            continue
        polled = time.monotonic()
        used = family()
        fault = watch.fault(used)
        if fault:
            for process in used:
                try:
                    os.kill(process, signal.SIGKILL)
                except OSError:
                    pass
            while reap()[1]:
                signal.sigtimedwait({signal.SIGCHLD}, POLL_S)
            return None, fault


def main(arguments):
    path, limit_s, command = arguments[0], float(arguments[1]), arguments[2:]
    is_watched = os.path.exists("/proc/self/stat")
    if is_watched:
        adopt_orphans()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.execvp(command[0], command)
    status, fault = wait_for(child, limit_s) if is_watched else (os.waitpid(child, 0)[1], None)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = f"{used.ru_utime + used.ru_stime:.3f}\t{' '.join(command)}\n"
    with open(path, "a", encoding="utf-8") as file:
        file.write(line)
    if fault:
        print(f"\nusage.py: ended: {fault}: {' '.join(command)}", flush=True)
        return 124
    if os.WIFSIGNALED(status):  # so that the caller sees the same end
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
