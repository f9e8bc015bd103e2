"""Tests of results.py: no test program may fail, or not run, and be counted as a success."""

import io
import unittest

from results import Tally, read_tap

GOOD = "1..2\nok 1 - first\nnoise\nok 2 - second\n"


class Results(unittest.TestCase):
    def setUp(self):
        self.tally = Tally(io.StringIO())

    def program(self, output, ended_well=True):
        self.tally.program("area", output, ended_well, "status 0")
        return self.tally.summary(), self.tally.exit_status()

    def test_good(self):
        self.assertEqual(self.program(GOOD), ("2 passed, 0 failed", 0))

    def test_two_groups_in_one_program(self):
        self.assertEqual(self.program(GOOD + GOOD), ("4 passed, 0 failed", 0))

    def test_a_failed_case_is_shown(self):
        output = GOOD.replace("ok 2", "# 3 != 4\nnot ok 2")
        self.assertEqual(self.program(output, False), ("1 passed, 1 failed", 1))
        self.assertIn("# 3 != 4", self.tally.out.getvalue())

    def test_the_skipped_of_cmocka_and_of_python(self):
        output = "1..3\nok 1 - a\nnot ok 2 # SKIP b\nok 3 - c # SKIP no reason\n"
        self.assertEqual(self.program(output), ("1 passed, 0 failed, 2 skipped", 0))

    def test_the_reason_to_skip_is_shown(self):
        self.program("1..2\nok 1 - a\n# SKIP b: other programs use 90 %\nnot ok 2 # SKIP b\n")
        self.assertIn("skipped: area: b: other programs use 90 %", self.tally.out.getvalue())

    def test_all_skipped_is_a_failure(self):
        self.assertEqual(self.program("1..1\nok 1 - a # SKIP no reason\n"),
                         ("0 passed, 1 failed, 1 skipped", 1))

    def test_what_is_installed_is_no_reason_to_skip(self):
        output = GOOD + "ok 3 - c # SKIP PyTorch cannot be imported\n"
        self.assertEqual(self.program(output), ("2 passed, 1 failed", 1))

    def test_another_reason_to_skip_is_one(self):
        output = GOOD + "ok 3 - c # SKIP this PyTorch has no choice of BLAS\n"
        self.assertEqual(self.program(output), ("2 passed, 0 failed, 1 skipped", 0))

    def test_no_case_is_a_failure(self):
        self.assertEqual(self.program(""), ("0 passed, 1 failed", 1))
        self.assertIn("it ran no case", self.tally.out.getvalue())
        self.assertEqual(Tally(io.StringIO()).exit_status(), 1)

    def test_a_case_that_never_reported_is_a_failure(self):
        self.assertEqual(self.program("1..3\nok 1 - a\n", False), ("1 passed, 2 failed", 1))

    def test_a_bad_end_after_good_cases_is_a_failure(self):
        self.assertEqual(self.program(GOOD, False), ("2 passed, 1 failed", 1))

    def test_a_long_output_keeps_its_end(self):
        self.program("x\n" * 1000 + "1..1\nnot ok 1 - last\n", False)
        self.assertIn("not ok 1 - last", self.tally.out.getvalue())
        self.assertIn("lines left out", self.tally.out.getvalue())

    def test_words_that_only_look_like_cases(self):
        self.assertEqual(read_tap("okay\nnot okay\n# ok 1\n"), (0, [], [], 0))
