"""The public C API: its examples are short enough to be read at once, are built as their comments
say, and learn; its headers serve C++ too."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

BUILD = Path(os.environ["BREAKEVEN_PROGRAM"]).parent
ROOT = Path(os.environ["BREAKEVEN_SOURCE"])
SOURCE = ROOT / "examples" / "spirals.c"
TWINS = ROOT / "examples" / "twins.c"


class Example(unittest.TestCase):
    def test_is_under_60_lines(self):
        self.assertLess(len(SOURCE.read_text().splitlines()), 60)

    def test_the_twins_are_under_80_lines(self):
        self.assertLess(len(TWINS.read_text().splitlines()), 80)

    def test_the_twins_learn(self):
        done = subprocess.run([BUILD / "examples" / "twins"], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=120)
        losses = [float(text) for text in re.findall(r"loss ([0-9.]+)", done.stdout)]
        rights = [float(text) for text in re.findall(r"right ([0-9.]+)%", done.stdout)]
        self.assertEqual(3, len(losses))
        self.assertLess(losses[-1], losses[0])
        self.assertGreater(rights[-1], 97)

    def test_learns_the_spirals(self):
        done = subprocess.run([BUILD / "examples" / "spirals"], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=120)
        accuracies = [float(text) for text in re.findall(r"accuracy ([0-9.]+)%", done.stdout)]
        self.assertEqual(5, len(accuracies))
        self.assertLess(accuracies[0], accuracies[-1] + 1)
        self.assertGreater(accuracies[-1], 97)


class Installed(unittest.TestCase):
    """What is installed is enough to build with, by pkg-config alone."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="breakeven-installed-")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir",
                        self.root], check=True, capture_output=True, timeout=120)
        found = list(self.root.rglob("breakeven.pc"))
        self.assertEqual(1, len(found))
        self.env = {**os.environ, "PKG_CONFIG_PATH": str(found[0].parent),
                    "PKG_CONFIG_SYSROOT_DIR": str(self.root)}

    def shell(self, line):
        done = subprocess.run(line, shell=True, cwd=self.root, env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=120)
        self.assertEqual(0, done.returncode, f"{line}\n{done.stdout}")

    def test_the_examples_are_built_as_their_comments_say(self):
        for source in (SOURCE, TWINS):
            with self.subTest(source.stem):
                lines = re.findall(rf"^ \*   (cc {source.stem}\.c .*?)( \*/)?$",
                                   source.read_text(), re.MULTILINE)
                self.assertEqual(1, len(lines))
                shutil.copy(source, self.root)
                self.shell(lines[0][0])
                self.assertTrue((self.root / source.stem).exists())

    @unittest.skipUnless(shutil.which("g++"), "there is no g++")
    def test_the_headers_serve_cpp(self):
        headers = sorted((ROOT / "include" / "breakeven").glob("*.h"))
        self.assertGreaterEqual(len(headers), 4)
        text = "".join(f"#include <breakeven/{header.name}>\n" for header in headers)
        text += """int main() {
    be_graph *g = be_graph_new(1);
    be_error err;
    be_device *device = nullptr;
    be_plan *plan = nullptr;
    be_status status = be_graph_check(g, &err);
    if (status == BE_OK) status = be_device_open("cpu", nullptr, &device, &err);
    if (device && be_plan_new(g, device, nullptr, &plan, &err) == BE_OK) be_plan_free(plan);
    be_device_close(device);
    be_graph_free(g);
    return be_status_exit_code(status);
}
"""
        (self.root / "all.cpp").write_text(text)
        self.shell("g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror all.cpp -o all "
                   "$(pkg-config --cflags --libs breakeven)")


if __name__ == "__main__":
    unittest.main()
