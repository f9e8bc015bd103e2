"""Counts test cases: reads TAP from a test program's output and sums up over all suites.

Zero cases, a missing case and a program that skips everything all count as failures: a test that
did not run has not passed.  May not know which suites there are.
"""

import re

CASE = re.compile(r"^(ok|not ok)\b\s*\d*\s*-?\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\b")
SKIP = re.compile(r"#\s*SKIP\b", re.I)
# What tools/install-deps.sh installs is no reason to skip a case.
INSTALLED = re.compile(r"cannot be imported|is not installed")
SHOWN_LINES = 400


def read_tap(text):
    """(passed, failed names, skipped names, planned) of the output of one program."""
    passed, failed, skipped, planned = 0, [], [], 0
    for line in text.split("\n"):
        plan = PLAN.match(line)
        case = CASE.match(line)
        if plan:
            planned += int(plan.group(1))
        elif case and SKIP.search(line):
            # cmocka 1.1.5 prints "not ok" for a skipped case.
            (failed if INSTALLED.search(line) else skipped).append(case.group(2))
        elif case and case.group(1) == "ok":
            passed += 1
        elif case:
            failed.append(case.group(2))
    return passed, failed, skipped, planned


class Tally:
    """What passed, failed and was skipped so far; prints the failures in full as they come."""

    def __init__(self, out):
        self.passed = self.failed = self.skipped = 0
        self.out = out

    def say(self, text):
        print(text, file=self.out, flush=True)

    def show(self, title, details):
        lines = details.rstrip().split("\n")
        cut = len(lines) - SHOWN_LINES
        self.say(f"---- FAILED: {title}")
        if cut > 0:
            self.say(f"({cut} lines left out)")
        self.say("\n".join(lines[-SHOWN_LINES:]))
        self.say(f"---- end of {title}")

    def case(self, name, is_good, details=""):
        """One case that is not TAP: a checker, a build."""
        if is_good:
            self.passed += 1
        else:
            self.failed += 1
            self.show(name, details)

    def program(self, name, output, ended_well, how_it_ended):
        """All cases of one TAP program.  `ended_well`: its exit status was 0."""
        passed, failed, skipped, planned = read_tap(output)
        for reason in re.findall(r"^# SKIP (.*)", output, re.M):
            self.say(f"skipped: {name}: {reason}")
        problems = [f"not ok: {case}" for case in failed]
        total = passed + len(failed) + len(skipped)
        if total < planned:
            problems += [f"{planned - total} of {planned} cases never reported"] * (planned - total)
        if total == 0:
            problems.append("it ran no case")
        elif passed + len(failed) == 0:
            problems.append("it skipped every case: what it needs is missing here")
        if not ended_well and not problems:
            problems.append(f"it ended badly: {how_it_ended}")
        self.passed += passed
        self.failed += len(problems)
        self.skipped += len(skipped)
        if problems:
            self.show(name, "\n".join([output] + problems + [f"exit: {how_it_ended}"]))

    def summary(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"

    def exit_status(self):
        return 0 if self.failed == 0 and self.passed > 0 else 1
