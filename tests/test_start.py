"""What looking for devices costs: which libraries are opened, as the system's loader tells
(LD_DEBUG)."""
import ctypes
import glob
import json
import os
import re
import subprocess
import sys
import unittest

from cli_support import LIMIT_S, PROGRAM, SMALL, FolderTest, run

DRIVERS = ["libcuda.so", "libpocl", "libnvrtc", "libnvidia-ml", "libcudnn", "libcublasLt",
           "libclblast"]


def has_driver():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def hello(env=None, **members):
    request = json.dumps({"op": "hello", "schema": 2, **members}) + "\n"
    done = subprocess.run([PROGRAM, "runner"], input=request, capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, timeout=LIMIT_S, check=True)
    return json.loads(done.stdout.splitlines()[0])


@unittest.skipUnless(sys.platform == "linux", "the loader of Linux tells what it opens")
class StartTest(FolderTest):
    def told(self):
        """What the loader wrote, in any process, since the last look."""
        texts = []
        for path in glob.glob(self.path("loader.*")):
            with open(path, encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
            os.unlink(path)
        return "".join(texts)

    def opened(self, action):
        """Those of DRIVERS that the loader was asked for while `action` ran, in any process."""
        action({"LD_DEBUG": "libs,files", "LD_DEBUG_OUTPUT": self.path("loader")})
        text = self.told()
        self.assertIn("libjansson", text, "the loader told nothing")
        return [name for name in DRIVERS if name in text]

    def test_the_cpu_alone_opens_no_driver(self):
        self.assertEqual(self.opened(lambda env: hello(env, device="cpu")), [])
        for words in (["bench", "mlp-mnist", *SMALL, "--device", "cpu", "--engine", "native",
                       "--time", "0.02", "--max-time", "0.05"],
                      ["bench", "mlp-mnist", *SMALL, "--device", "null", "--engine", "native",
                       "--time", "0.02", "--max-time", "0.05"],
                      ["bench", "mlp-mnist", *SMALL, "--device", "cpu", "--dry-run"],
                      ["train", "mlp-mnist", *SMALL, "--steps", "1"], ["workloads"]):
            def action(env, words=words):
                done = run(*words, env=env)
                self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.opened(action), [], words)

    @unittest.skipIf(has_driver(), "NVIDIA's driver is installed")
    def test_nothing_else_is_looked_for_without_a_driver(self):
        """Neither the toolkit nor the folders of Python's packages: only the driver itself."""
        env = {"BREAKEVEN_OPENCL_LIB_DIR": self.folder, "BREAKEVEN_PYTHON": "/nowhere/python3"}
        found = self.opened(lambda debug: hello({**env, **debug}))
        self.assertEqual(found, ["libcuda.so"])

    @unittest.skipIf(has_driver(), "NVIDIA's driver is installed")
    def test_a_damaged_library_of_the_loader_is_not_missing(self):
        os.mkdir(self.path("opencl"))
        for names in (["libcuda.so.1"], ["opencl", "libOpenCL.so.1"]):
            with open(self.path(*names), "w", encoding="utf-8") as file:
                file.write("no library\n" * 1000)
        answer = hello({"LD_LIBRARY_PATH": self.folder,
                        "BREAKEVEN_OPENCL_LIB_DIR": self.path("opencl")})
        for device in ("cuda", "opencl"):
            reason = next(d["reason"] for d in answer["unusable_devices"] if d["id"] == device)
            for text in ("is there but cannot be opened: ", "invalid ELF header", "; reinstall it"):
                self.assertIn(text, reason)
            self.assertNotIn("not found", reason)

    @unittest.skipIf(has_driver(), "NVIDIA's driver is installed")
    def test_looking_opens_nothing(self):
        """Without a driver, to look for all devices loads what the processor alone needs."""
        env = {"BREAKEVEN_OPENCL_LIB_DIR": self.folder, "LD_DEBUG": "files",
               "LD_DEBUG_OUTPUT": self.path("loader")}
        loaded = {}
        for device in ("cpu", None):
            answer = hello(env, **({"device": device} if device else {}))
            self.assertEqual([d["id"] for d in answer["devices"]], ["cpu"])
            loaded[device] = sorted(re.findall(r"calling init: (.+)", self.told()))
        self.assertIn("libjansson", "".join(loaded["cpu"]), "the loader told nothing")
        self.assertEqual(loaded[None], loaded["cpu"])


if __name__ == "__main__":
    unittest.main()
