#!/usr/bin/env python3
"""Runs one file of unittest cases and prints its results as TAP, the form of the C tests too.

Usage: run_python.py tests/test_NAME.py [CASE...]        exit 0: all passed, 1: not
"""

import importlib.util
import os
import sys
import unittest


class TapResult(unittest.TestResult):
    """Prints one line per case, and the reason below one that failed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def line(self, status, test, note="", details=""):
        self.count += 1
        print(f"{status} {self.count} - {test.id().split('.', 1)[-1]}{note}")
        for text in details.splitlines():
            print("# " + text)
        sys.stdout.flush()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("ok", test, note=" # SKIP " + reason)

    def addError(self, test, err):
        super().addError(test, err)
        self.line("not ok", test, details=self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line("not ok", test, details=self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.line("not ok", subtest, details=self._exc_info_to_string(err, test))


def main(arguments):
    if not arguments:
        sys.exit("usage: run_python.py tests/test_NAME.py [CASE...]")
    path = os.path.abspath(arguments[0])
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    loader = unittest.TestLoader()
    cases = (loader.loadTestsFromNames(arguments[1:], module) if arguments[1:]
             else loader.loadTestsFromModule(module))
    result = TapResult()
    cases.run(result)
    print(f"1..{result.count}")
    return 0 if result.wasSuccessful() and result.testsRun > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
