"""What the tests of the program share: running it, a folder, reading its files."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import own_home  # noqa: F401

PROGRAM = os.environ["BREAKEVEN_PROGRAM"]
LIMIT_S = 120
WORKLOADS = {"mlp-mnist": 109386, "cnn-mnist": 1199882, "cnn-cifar": 62006, "cnn-fashion": 37250,
             "cnn5-fashion": 482666, "resnet18-cifar": 11173962, "resnet18": 11689512,
             "resnet50": 25557032, "encoder": 48176138, "clip": 76665345, "bert-base": 109483778,
             "gpt2": 124439808, "clip-b16": 149620737, "clip-l14": 427616513}

SMALL = ["--synthetic", "--limit", "200"]
FORMATS = ["table", "json", "jsonl", "csv", "md"]


def run(*arguments, env=None, **more):
    """The finished program: returncode, stdout, stderr."""
    environment = dict(os.environ)
    environment.pop("OMP_NUM_THREADS", None)
    environment.update({"LC_ALL": "C.UTF-8", **(env or {})})
    more.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([PROGRAM, *map(str, arguments)], env=environment, text=True,
                          stderr=subprocess.PIPE, timeout=LIMIT_S, check=False, **more)


def read_safetensors(path):
    """{name: (dtype, shape, bytes)} by the format's own description."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])])
            for name, t in header.items()}


def floats(tensor):
    assert tensor[0] == "F32", tensor[0]
    return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


def has_torch():
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run(["/usr/bin/python3", "-c", code], check=False).returncode == 0


class FolderTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def fake_torch(self, *options):
        """Put tests/fake_runner.py, with these options, in PyTorch's place: the environment."""
        fake = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_runner.py")
        command = [sys.executable, fake, "--engine", "torch", "--honest", "--spin", *options]
        with open(self.path("torch_runner.py"), "w", encoding="utf-8") as file:
            file.write(f"import os\nos.execv({sys.executable!r}, {command!r})\n")
        os.makedirs(self.path("torch"), exist_ok=True)
        open(self.path("torch", "__init__.py"), "w").close()
        return {"BREAKEVEN_RUNNERS": self.folder, "BREAKEVEN_PYTHON": sys.executable,
                "PYTHONPATH": self.folder}

    def good(self, *arguments, **more):
        result = run(*arguments, **more)
        self.assertEqual(result.returncode, 0, (arguments, result.stderr))
        return result.stdout

    def bad(self, code, *arguments, says=(), **more):
        """It fails with the code and one sentence on standard error."""
        result = run(*arguments, **more)
        self.assertEqual(result.returncode, code, (arguments, result.stderr))
        errors = [line for line in result.stderr.splitlines() if line]
        self.assertTrue(errors and errors[-1].startswith("breakeven: "), (arguments, errors))
        for text in says:
            self.assertIn(text, result.stderr, arguments)
        return result
