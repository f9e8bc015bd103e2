"""Test of tools/wheel.sh: the wheel in a bare virtual environment, where the program finds its
libraries and runners beside itself and a script measures with it."""
import glob
import os
import shutil
import subprocess
import sys
import unittest

from cli_support import PROGRAM, FolderTest
from runner_support import ROOT

LIMIT_S = 240
OF_THE_SYSTEM = ("linux-vdso", "ld-linux", "libc.so", "libm.so", "libresolv.so", "libgcc_s.so",
                 "libstdc++.so", "libdl.so", "libpthread.so", "librt.so", "libutil.so")
SCRIPT = """
import breakeven
result = breakeven.bench("mlp-mnist", devices="cpu", engines="native", threads=1,
                         options=["--synthetic", "--limit", "200", "--no-store", "--time", "0.02",
                                  "--max-time", "0.1"])
print(result.raw[0]["status"], result.raw[0]["params"])
"""


def missing():
    """What keeps the wheel from being made and installed here, or None."""
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return "it is of Linux on x86-64"
    if shutil.which("patchelf") is None:
        return "patchelf is missing"
    done = subprocess.run(["/usr/bin/python3", "-c", "import venv, ensurepip"], check=False,
                          stderr=subprocess.DEVNULL)
    return "venv or pip is missing" if done.returncode else None


@unittest.skipIf(missing(), missing())
class WheelTest(FolderTest):
    def call(self, *command, **more):
        """What it prints."""
        done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=LIMIT_S, check=False, **more)
        self.assertEqual(done.returncode, 0, (command, done.stderr))
        return done.stdout

    def test_in_a_bare_environment(self):
        wheel = self.call(os.path.join(ROOT, "tools", "wheel.sh"), "--build",
                          os.path.dirname(PROGRAM), self.path("dist")).strip()
        self.call("/usr/bin/python3", "-m", "venv", self.path("venv"))
        self.call(self.path("venv", "bin", "pip"), "install", "-q", "--no-index", "--no-deps",
                  wheel)
        [package] = glob.glob(self.path("venv", "lib", "python3*", "site-packages", "breakeven"))
        program = os.path.join(package, "bin", "breakeven")
        for path in (program, *glob.glob(os.path.join(package, "lib", "*"))):
            for line in self.call("ldd", path).splitlines():
                name, _, place = line.strip().partition(" => ")
                if os.path.basename(name).startswith(OF_THE_SYSTEM):
                    continue
                self.assertTrue(os.path.realpath(place.split(" (")[0]).startswith(
                    os.path.realpath(package)), (path, line))
        env = {"HOME": self.folder}
        command = self.path("venv", "bin", "breakeven")
        self.assertIn("breakeven 0.", self.call(command, "--version", env=env, cwd="/"))
        found = self.call(self.path("venv", "bin", "python"), "-c", SCRIPT, env=env, cwd="/")
        self.assertEqual(found.split(), ["OK", "109386"])
        runners = os.path.join(package, "share", "breakeven", "runners")
        self.assertEqual(sorted(name for name in os.listdir(runners) if name.endswith(".py")),
                         sorted(name for name in os.listdir(os.path.join(ROOT, "runners"))
                                if name.endswith(".py")))
        self.call(self.path("venv", "bin", "pip"), "uninstall", "-q", "-y", "breakeven")
        self.assertEqual([path for path in glob.glob(os.path.join(package, "**"), recursive=True)
                          if os.path.isfile(path)], [])

    def test_what_is_missing_is_said(self):
        script = os.path.join(ROOT, "tools", "wheel.sh")
        for words, says in ((["--build"], "--build needs a folder"),
                            (["--fast"], "expected --build BUILD or a folder, found --fast"),
                            (["--build", self.folder], "expected the program in")):
            done = subprocess.run([script, *words], text=True, stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
