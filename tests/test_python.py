"""The Pythons that the program starts: which one is taken, what may change what it does, and what
is said where it does not work; and streams that are shared with strangers."""
import json
import os
import subprocess
import sys
import unittest

from cli_support import LIMIT_S, PROGRAM, SMALL, FolderTest, has_torch, read_safetensors, run

# What a user may have set for other programs.
HABITS = {"PYTHONSAFEPATH": "1", "PYTHONINSPECT": "1", "PYTHONSTARTUP": "/nowhere/startup.py",
          "PYTHONOPTIMIZE": "2", "PYTHONUNBUFFERED": "1", "PYTHONDEVMODE": "1",
          "PYTHONWARNINGS": "error", "PYTHONBREAKPOINT": "nothing.there", "PYTHONVERBOSE": "1",
          "PYTHONTRACEMALLOC": "5"}
SPOILT = ["warnings", "os", "json", "importlib", "encodings", "torch", "numpy", "runner_protocol",
          "sitecustomize", "site", "typing"]


class PythonTest(FolderTest):
    """PyTorch is a folder with a version; the runner is tests/fake_runner.py."""

    def setUp(self):
        super().setUp()
        self.environment = {**self.fake_torch(), "BREAKEVEN_PYTHON": "", "PYTHONPATH": "",
                            "XDG_CACHE_HOME": self.path("cache"), "VIRTUAL_ENV": "",
                            "CONDA_PREFIX": "", "PATH": self.path("empty")}
        os.makedirs(self.path("empty"))

    def write(self, text, *names, mode=0o644):
        os.makedirs(os.path.dirname(self.path(*names)), exist_ok=True)
        with open(self.path(*names), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(*names), mode)

    def make_python(self, folder, version=None, name="python3"):
        """A Python of its own, with PyTorch of this version if there is one: its path."""
        modules = self.path(folder, "modules")
        if version:
            self.write("", folder, "modules", "torch", "__init__.py")
            self.write(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n", folder,
                       "modules", f"torch-{version}.dist-info", "METADATA")
        self.write(f"#!/bin/sh\nPYTHONPATH={modules} exec {sys.executable} -S -s \"$@\"\n",
                   folder, "bin", name, mode=0o755)
        return self.path(folder, "bin", name)

    def devices(self, form="json", cwd=None, **environment):
        result = run("devices", "--format", form, env={**self.environment, **environment},
                     cwd=cwd or self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout) if form == "json" else result.stdout

    def torch(self, **more):
        """PyTorch's first record."""
        return next(r for r in self.devices(**more) if r["engine"] == "torch")

    def taken(self, **more):
        """(the Python that is taken, versions of the others)."""
        record = self.torch(**more)
        self.assertTrue(record["usable"], record)
        return record["python"], [other.get("version") for other in record["other_pythons"]]


class ChoiceTest(PythonTest):
    def test_the_order(self):
        """The named one, the active environment, the first on PATH that has it."""
        named, venv, conda, second, third = (
            self.make_python(*place) for place in (
                ("named", "3.0"), ("venv", "2.5"), ("conda", "2.4"), ("second", "2.3"),
                ("third", "2.2")))
        self.make_python("first")
        path = ":".join(self.path(name, "bin") for name in ("first", "second", "third"))
        both = {"PATH": path, "VIRTUAL_ENV": self.path("venv"), "CONDA_PREFIX": self.path("conda")}
        self.assertEqual(self.taken(**both, BREAKEVEN_PYTHON=named), (named, []))
        python, others = self.taken(**both)
        self.assertEqual((python, others[:3]), (venv, ["2.4", "2.3", "2.2"]))
        self.assertEqual(self.taken(PATH=path, CONDA_PREFIX=self.path("conda"))[0], conda)
        python, others = self.taken(PATH=path)
        self.assertEqual((python, others[:1]), (second, ["2.2"]))
        self.assertEqual(self.taken(PATH=self.path("third", "bin"))[0], third)

    def test_an_environment_without_it_is_passed_by(self):
        self.make_python("venv")
        other = self.make_python("other", "2.1")
        self.assertEqual(self.taken(VIRTUAL_ENV=self.path("venv"),
                                    PATH=self.path("other", "bin"))[0], other)

    def test_a_folder_that_calls_it_python(self):
        python = self.make_python("only", "2.1", name="python")
        self.assertEqual(self.taken(PATH=self.path("only", "bin"))[0], python)

    def test_relative_folders_of_path_are_not_searched(self):
        self.write("#!/bin/sh\ntouch ran\n", "c", "python3", mode=0o755)
        python = self.make_python("other", "2.1")
        for path in (".", "", "c"):
            where = path + ":" + self.path("other", "bin")
            self.assertEqual(self.taken(PATH=where, cwd=self.path("c"))[0], python)
        self.assertFalse(os.path.exists(self.path("c", "ran")))

    def test_the_same_one_twice_is_one(self):
        python = self.make_python("one", "2.1")
        os.symlink("python3", self.path("one", "bin", "python"))
        os.symlink(self.path("one"), self.path("link"))
        path = self.path("one", "bin") + ":" + self.path("link", "bin")
        python_taken, others = self.taken(PATH=path)
        self.assertEqual(python_taken, python)
        self.assertNotIn("2.1", others)

    def test_the_table_and_bench_name_the_others(self):
        one, two = self.make_python("one", "2.5"), self.make_python("two", "1.13")
        path = self.path("one", "bin") + ":" + self.path("two", "bin")
        text = " ".join(self.devices("table", PATH=path).split())
        self.assertIn(f"PyTorch 2.5 of {one} is taken; also there: 1.13 of {two}", text)
        self.assertIn("BREAKEVEN_PYTHON chooses another", text)
        done = run("bench", "mlp-mnist", *SMALL, "--engine", "torch", "--time", "0.02",
                   "--max-time", "0.05", env={**self.environment, "PATH": path})
        self.assertIn(f"PyTorch 2.5 of {one} is taken", done.stderr)


class HabitsTest(PythonTest):
    def setUp(self):
        super().setUp()
        self.environment["BREAKEVEN_PYTHON"] = sys.executable
        self.environment["PYTHONPATH"] = self.folder

    def test_nothing_is_imported_from_the_current_folder(self):
        for name in SPOILT:
            self.write(f"open({self.path('ran')!r}, 'w')\n", "c", name + ".py")
        for path in ("", ":", ".:", "::.", "c"):
            record = self.torch(cwd=self.path("c"), PYTHONPATH=f"{path}:{self.folder}:")
            self.assertTrue(record["usable"], record)
        self.assertFalse(os.path.exists(self.path("ran")))

    def test_the_real_runners_neither(self):
        """They find their own parts, and the current folder's are none of these."""
        for name in SPOILT:
            self.write(f"open({self.path('ran')!r}, 'w')\n", "c", name + ".py")
        for habits in ({}, HABITS):
            record = self.torch(cwd=self.path("c"), BREAKEVEN_RUNNERS="", PYTHONPATH=":",
                                BREAKEVEN_PYTHON=self.make_python("made", "2.1"), **habits)
            self.assertIn("cannot be imported (No module named 'numpy'", record["reason"])
        self.assertFalse(os.path.exists(self.path("ran")))

    def test_habits_change_nothing(self):
        for name, value in HABITS.items():
            with self.subTest(name):
                self.assertTrue(self.torch(**{name: value})["usable"])


class ReasonTest(PythonTest):
    def reason(self, **more):
        return self.torch(**more)["reason"]

    def test_a_python_that_is_not_there(self):
        reason = self.reason(BREAKEVEN_PYTHON="/nowhere/python3")
        for text in ("BREAKEVEN_PYTHON (/nowhere/python3)", "No such file"):
            self.assertIn(text, reason)
        self.assertNotIn("apt-get", reason)

    def test_a_home_that_is_none(self):
        for named in (sys.executable, ""):
            reason = self.reason(PYTHONHOME="/nowhere", BREAKEVEN_PYTHON=named)
            for text in ("exited with 1", "encodings", "PYTHONHOME is set: unset it"):
                self.assertIn(text, reason)
            self.assertNotIn("apt-get", reason)

    def test_limits_of_the_system(self):
        python = self.make_python("made", "2.1")
        command = f"ulimit -n 12; exec {PROGRAM} devices -f json --quiet"
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True,
                              env={**os.environ, **self.environment, "BREAKEVEN_PYTHON": python},
                              timeout=LIMIT_S, check=False)
        self.assertIn("raise `ulimit -n`", done.stdout + done.stderr)
        self.write(f"#!/bin/sh\nulimit -v 9000\nexec {sys.executable} \"$@\"\n", "small", "bin",
                   "python3", mode=0o755)
        reason = self.reason(BREAKEVEN_PYTHON=self.path("small", "bin", "python3"))
        self.assertIn("raise `ulimit -v`", reason)
        for said in (done.stdout, reason):
            self.assertNotIn("apt-get", said)

    def test_none_has_it(self):
        reason = self.reason(BREAKEVEN_PYTHON=self.make_python("bare"))
        self.assertIn("found that it has not; install it there", reason)

    def test_what_the_engine_needs_itself(self):
        """Without numpy the engine may be there, and the runner's own parts are not."""
        python = self.make_python("made", "2.1")
        self.write("raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')\n", "made",
                   "modules", "torch", "__init__.py")
        reason = self.reason(BREAKEVEN_PYTHON=python, BREAKEVEN_RUNNERS="")
        self.assertIn("No module named 'numpy'", reason)
        self.assertIn("-m pip install numpy", reason)
        self.assertNotIn("apt-get", reason)

    def test_last_words_that_are_an_error(self):
        self.write("#!/bin/sh\necho 'ImportError: no libpython here' >&2\necho bye >&2\nexit 5\n",
                   "bad", "bin", "python3", mode=0o755)
        reason = self.reason(BREAKEVEN_PYTHON=self.path("bad", "bin", "python3"))
        self.assertIn("exited with 5: ImportError: no libpython here", reason)


class UnknownTest(PythonTest):
    TORCH = """
import importlib, sys
class Numpyless:
    def find_spec(self, name, path=None, target=None):
        if name != "torch_libraries":
            return None
        sys.meta_path.remove(self)
        import torch
        def from_numpy(array):
            raise RuntimeError("Numpy is not available")
        torch.from_numpy = from_numpy
        return None
sys.meta_path.insert(0, Numpyless())
"""

    @unittest.skipUnless(has_torch(), "PyTorch is not installed")
    def test_usable_means_that_something_was_computed(self):
        """A PyTorch whose numpy does not fit it is imported, and of no use."""
        self.write(self.TORCH, "modules", "usercustomize.py")
        self.write(self.TORCH, "modules", "sitecustomize.py")
        environment = {"BREAKEVEN_PYTHON": "/usr/bin/python3", "BREAKEVEN_RUNNERS": ""}
        record = self.torch(**environment)
        self.assertTrue(record["usable"], record)
        environment["PYTHONPATH"] = self.path("modules")
        record = self.torch(**environment)
        self.assertFalse(record["usable"], record)
        for text in ("a small product to be computed there", "Numpy is not available",
                     "install a numpy that fits"):
            self.assertIn(text, record["reason"])
        self.bad(3, "bench", "mlp-mnist", *SMALL, "--engine", "torch",
                 env={**self.environment, **environment}, says=["Numpy is not available"])

    def test_threads_that_nobody_told(self):
        """Of a contender that ends before it could tell them: those that it was asked for."""
        environment = {**self.environment, **self.fake_torch("--refuse", "FAILED:prepare")}
        done = run("bench", "mlp-mnist", *SMALL, "--engine", "native,torch", "--threads", "1",
                   "--device", "cpu", "--time", "0.02", "--max-time", "0.05", env=environment)
        self.assertIn("PyTorch on 1 thread failed", done.stdout + done.stderr)
        self.assertNotIn("-2147483648", done.stdout + done.stderr)


class StreamTest(PythonTest):
    def setUp(self):
        super().setUp()
        self.environment["BREAKEVEN_PYTHON"] = sys.executable
        self.environment["PYTHONPATH"] = self.folder

    def test_what_a_user_prints_at_the_start_of_each_python(self):
        """To both streams, and more than a pipe holds."""
        self.write("import os, sys\nos.write(1, b'hello\\n' * 50000)\n"
                   "print('hello ' * 50000)\nprint('hello ' * 50000, file=sys.stderr)\n",
                   "sitecustomize.py")
        self.assertTrue(self.torch()["usable"])

    def test_what_a_library_prints_is_no_result(self):
        for words in (["train", "mlp-mnist", *SMALL, "--steps", "1"],
                      ["bench", "mlp-mnist", *SMALL, "--engine", "native", "--threads", "1",
                       "--time", "0.02", "--max-time", "0.05"]):
            done = run(*words, "--format", "json", env={"ONEDNN_VERBOSE": "1",
                                                        "DNNL_VERBOSE": "1"})
            self.assertIsInstance(json.loads(done.stdout), list, words)
            if words[0] == "train":
                self.assertIn("verbose", done.stderr)

    def test_closed_descriptors_are_not_taken_by_files(self):
        """A file that is opened in the place of standard error would get what is meant for it."""
        out = self.path("trace.safetensors")
        command = f"exec {PROGRAM} dump mlp-mnist --synthetic --limit 200 -o {out} 2>&- <&-"
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True,
                              env={**os.environ, "ONEDNN_VERBOSE": "1"}, timeout=LIMIT_S,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("logits", read_safetensors(out))
        done = subprocess.run(["/bin/sh", "-c", f"exec {PROGRAM} workloads >&-"], text=True,
                              capture_output=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output: expected a place for the results", done.stderr)

    def test_a_descriptor_for_answers_that_is_none(self):
        self.bad(2, "runner", env={"BREAKEVEN_ANSWERS_FD": "99"}, stdin=subprocess.DEVNULL,
                 says=["BREAKEVEN_ANSWERS_FD", "'99'"])


if __name__ == "__main__":
    unittest.main()
