"""The example program of the public C API: short enough to be read at once, and it learns."""
import os
import re
import subprocess
import unittest
from pathlib import Path

BUILD = Path(os.environ["BREAKEVEN_PROGRAM"]).parent
SOURCE = Path(os.environ["BREAKEVEN_SOURCE"]) / "examples" / "spirals.c"


class Example(unittest.TestCase):
    def test_is_under_60_lines(self):
        self.assertLess(len(SOURCE.read_text().splitlines()), 60)

    def test_learns_the_spirals(self):
        done = subprocess.run([BUILD / "examples" / "spirals"], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=120)
        accuracies = [float(text) for text in re.findall(r"accuracy ([0-9.]+)%", done.stdout)]
        self.assertEqual(5, len(accuracies))
        self.assertLess(accuracies[0], accuracies[-1] + 1)
        self.assertGreater(accuracies[-1], 97)


if __name__ == "__main__":
    unittest.main()
