#!/usr/bin/env python3
"""Runs a test program and appends what processor time it took, its children included, to a file.

Usage: usage.py FILE COMMAND...        exit status: the command's

Each line of the file is the seconds of user and system time, a tab, and the command.
"""

import os
import resource
import sys


def main(arguments):
    path, command = arguments[0], arguments[1:]
    child = os.fork()
    if child == 0:
        os.execvp(command[0], command)
    _, status = os.waitpid(child, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = f"{used.ru_utime + used.ru_stime:.3f}\t{' '.join(command)}\n"
    with open(path, "a", encoding="utf-8") as file:
        file.write(line)
    if os.WIFSIGNALED(status):  # so that the caller sees the same end
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
