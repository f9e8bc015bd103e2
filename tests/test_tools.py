"""Tests of tools/: each checker must find a planted violation, and say nothing of clean source.

The script that installs is run against false apt-get, dpkg-query and sudo commands.
"""

import os
import shutil
import subprocess
import tempfile
import unittest

import usage

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = shutil.which("python3", path="/usr/bin:" + os.environ["PATH"])


def run(command, cwd=None, **options):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    return done.returncode, done.stdout


class Checkout(unittest.TestCase):
    """A git checkout of its own, to plant violations in."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="breakeven-test-")
        self.addCleanup(shutil.rmtree, self.root)
        run(["git", "init", "-q", self.root])

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def check(self, tool):
        command = [os.path.join(ROOT, "tools", tool), self.root]
        return run([PYTHON] + command if tool.endswith(".py") else command)

    def assert_clean(self, tool):
        status, output = self.check(tool)
        self.assertEqual(status, 0, output)

    def assert_finds(self, tool, *pieces):
        status, output = self.check(tool)
        self.assertEqual(status, 1, output)
        for piece in pieces:
            self.assertIn(piece, output)


class Layers(Checkout):
    def setUp(self):
        super().setUp()
        for header in ("src/core/status.h", "src/graph/graph.h", "src/ops/op_list.h",
                       "src/ops/conv2d/conv2d_cpu.h", "src/backend/backend.h", "src/cli/cli.h",
                       "include/breakeven/graph.h"):
            self.write(header, "int x;\n")

    def test_downwards_is_clean(self):
        self.write("src/cli/main.c", '#include "cli/cli.h"\n#include "core/status.h"\n')
        self.write("src/graph/a.c", '#include <stdio.h>\n#include "breakeven/graph.h"\n')
        self.write("src/ops/conv2d/conv2d_onednn.c",
                   '#include <oneapi/dnnl/dnnl.h>\n#include "backend/backend.h"\n')
        self.assert_clean("check_layers.py")

    def test_upwards_is_found(self):
        self.write("src/core/a.c", '#include "core/status.h"\n#include "graph/graph.h"\n')
        self.assert_finds("check_layers.py", "src/core/a.c:2:", "core may not include", "graph")

    def test_graph_knows_no_op_and_no_backend(self):
        self.write("src/graph/a.c", '#include "ops/op_list.h"\n#include "backend/backend.h"\n')
        self.assert_finds("check_layers.py", "src/graph/a.c:1:", "src/graph/a.c:2:")

    def test_an_op_without_device_knows_no_backend(self):
        self.write("src/ops/conv2d/conv2d.c", '#include "ops/conv2d/conv2d_cpu.h"\n')
        self.assert_finds("check_layers.py", "conv2d.c:1: layer ops may not include")

    def test_the_public_headers_include_only_themselves(self):
        self.write("include/breakeven/plan.h", '#include "breakeven/graph.h"\n')
        self.assert_clean("check_layers.py")
        self.write("include/breakeven/plan.h", '#include "core/status.h"\n')
        self.assert_finds("check_layers.py", "may include only itself")

    def test_angle_brackets_hide_nothing(self):
        self.write("src/core/a.c", "#include <graph/graph.h>\n")
        self.assert_finds("check_layers.py", "core may not include")

    def test_promises_of_a_layer_are_kept(self):
        self.write("src/core/clock.h", "")
        self.write("src/measure/a.c", '#include "core/clock.h"\n')
        self.write("src/run/runner.h", "")
        self.write("src/native/a.c", '#include "run/runner.h"\n')
        self.assert_finds("check_layers.py", 'measure promises to do without "core/clock.h"',
                          'native promises to do without "run/runner.h"')

    def test_the_command_line_asks_studies_alone(self):
        for header in ("study/study.h", "run/runner.h", "native/native_runner.h"):
            self.write("src/" + header, "")
        self.write("src/cli/a.c", '#include "study/study.h"\n')
        self.write("src/cli/cmd_runner.c", '#include "native/native_runner.h"\n')
        self.assert_clean("check_layers.py")
        self.write("src/cli/a.c", '#include "run/runner.h"\n#include "native/native_runner.h"\n')
        self.write("src/cli/cmd_runner.c", '#include "run/runner.h"\n')
        self.write("src/study/a.c", '#include "cli/cli.h"\n')
        self.assert_finds("check_layers.py",
                          'src/cli/a.c:1: layer cli promises to do without "run/runner.h"',
                          "src/cli/a.c:2: layer cli promises to do without",
                          "src/cli/cmd_runner.c:1: layer cli promises to do without",
                          'src/study/a.c:1: layer study may not include "cli/cli.h"')

    def test_studies_print_nothing_and_keep_nothing(self):
        self.write("src/study/a.c", 'static const char *const names[] = {"printf(x)", NULL};\n'
                   "static int add(int a,\n               int b)\n{\n"
                   "    static const double factors[] = {0, 1};\n"
                   "    snprintf(text, sizeof text, \"stdout\"); /* printf(x) */\n}\n")
        self.write("src/cli/a.c", "static int seen;\nprintf(x);\n")
        self.assert_clean("check_layers.py")
        for line in ("printf(x);", "fprintf(out, x);", "if (out == stdout) return;", "puts(x);",
                     "be_plan_print(plan, out);"):
            self.write("src/study/a.c", f"\n    {line}\n")
            self.assert_finds("check_layers.py", "src/study/a.c:2: src/study prints nothing")
        for line in ("static measurement m; /* large */", "static int seen = -1;",
                     "static engine engines[8];", "static char text[9] = {0},"):
            self.write("src/study/a.c", f"\n    {line}\n")
            self.assert_finds("check_layers.py", "src/study/a.c:2: src/study keeps nothing")

    def test_circles_between_files_are_found(self):
        call = "int a_next(void)\n{\n    return b_next();\n}\n"
        self.write("src/graph/a.c", call)
        self.write("src/graph/b.c", "int b_next(void)\n{\n    return c_next[0];\n}\n")
        self.write("src/graph/c.c", "const int c_next[] = {1};\n")
        self.write("src/core/c.c", "/* a_next */\nstatic int a_next(void)\n{\n    return 1;\n}\n"
                   "const char *c_next = \"a_next\";\n")
        self.assert_clean("check_layers.py")
        self.write("src/graph/c.c", "const int c_next[] = {A};\nint c(void)\n{\n"
                   "    return a_next();\n}\n")
        self.assert_finds("check_layers.py", "src/graph/a.c:1: a circle: a.c uses b_next of b.c, "
                          "b.c uses c_next of c.c, c.c uses a_next of a.c; move what both need")
        self.write("src/graph/a.c", "static int c_next;\n" + call.replace("b_next", "c_next"))
        self.assert_clean("check_layers.py")

    def test_words_of_kernel_files_are_compared(self):
        self.write("src/ops/a/formula_list.gpu.c", "/* */\nPARAMETERS(NUMBER F)\n\nNUMBER f;\n")
        self.write("src/ops/a/b.gpu.c", "/* b */\nPARAMETERS(ROWS X_T\n           WIDTH)\n\n"
                   "#define SUM_TYPE F32\n#define ADD(y, COUNT) LOAD(SUM, y) + F(COUNT) * ROWS\n"
                   "int x = LOAD(X, x) + WIDTH; /* DEPTH */\n")
        self.write("src/ops/a/c.gpu.c", "/* c */\nPARAMETERS(COUNT DEPTH SUM)\n\n"
                   "int y = COUNT + DEPTH + SUM;\n")
        self.write("src/ops/a/b_gpu.c", 'gpu_use("ROWS=%d WIDTH=%" PRId64 " COUNT=1u DEPTH=2", '
                   '"SUM=3", gpu_type_words("X", x, text), "F=%s NUMBER(c)=c");\n')
        self.assert_clean("check_layers.py")
        self.write("src/ops/a/c.gpu.c", "/* c */\nPARAMETERS(COUNT DEPTH SUM)\n\n"
                   "int y = ROWS + DEPTH + SUM;\n")
        self.write("src/ops/a/b_gpu.c", 'gpu_use("ROWS=%d WIDHT=%d");\n')
        self.assert_finds("check_layers.py",
                          "src/ops/a/c.gpu.c:1: expected ROWS among its PARAMETERS",
                          "src/ops/a/c.gpu.c:1: COUNT is among its PARAMETERS, and nothing uses it",
                          "src/ops/a/b_gpu.c:1: WIDHT is given, and no kernel file has it")

    def test_relative_and_unknown_paths_are_found(self):
        self.write("src/core/a.c", '#include "status.h"\n')
        self.assert_finds("check_layers.py", '"status.h" is in neither')
        self.write("src/core/a.c", "")
        self.write("src/extra/b.c", "")
        self.assert_finds("check_layers.py", "src/extra is no layer")

    def test_onednn_is_for_the_backend(self):
        self.write("src/train/a.c", "#include <oneapi/dnnl/dnnl.h>\n")
        self.assert_finds("check_layers.py", "is for layer backend alone, found in train")

    def test_the_clock_has_one_place(self):
        calls = "int64_t a = clock_now_ns() + t->time(1) + lane_time(2); /* time() */\n"
        self.write("src/core/clock.c", "a = time(NULL);\n")
        self.write("src/train/a.c", calls + '/* sleep(1) */ puts("sleep(1)");\n')
        self.assert_clean("check_layers.py")
        for call in ("nanosleep(&t, NULL)", "time(NULL)", "(void)poll(fds, 1, 5)", "!usleep(2)",
                     "clock_gettime(CLOCK_MONOTONIC, &t)"):
            self.write("src/train/a.c", f"\n    {call};\n")
            self.assert_finds("check_layers.py", "src/train/a.c:2:",
                              "is for src/core/clock.c alone")

    def test_no_source_is_no_success(self):
        shutil.rmtree(os.path.join(self.root, "src"))
        shutil.rmtree(os.path.join(self.root, "include"))
        self.assert_finds("check_layers.py", "no C file")


def function(lines, parameters="void", name="work"):
    """C source of a function with that many lines in all."""
    body = "    x++;\n" * (lines - 3)
    return f"static int {name}({parameters})\n{{\n{body}}}\n"


class Sizes(Checkout):
    def test_at_the_limit_is_clean(self):
        six = ", ".join(f"int a{i}" for i in range(6))
        self.write("a.c", function(60, six) + "int x; " * 5 + "\n" * 400)
        self.assert_clean("check_sizes.py")

    def test_long_file(self):
        self.write("a.c", "int x;\n" * 601)
        self.assert_finds("check_sizes.py", "a.c:1: 601 lines, at most 600")

    def test_warning_comes_before_the_limit(self):
        self.write("a.c", "int x;\n" * 550)
        status, output = self.check("check_sizes.py")
        self.assertEqual(status, 0)
        self.assertIn("a.c:1: warning: 550 lines", output)

    def test_long_function(self):
        self.write("a.c", "int x;\n\n" + function(10, name="a") + "\n" + function(61, name="b"))
        self.assert_finds("check_sizes.py", "a.c:14: function b has 61 lines, at most 60")

    def test_the_head_counts_too(self):
        head = "static int\nwork(int a,\n     int b)\n"
        self.write("a.c", head + "{\n" + "    x++;\n" * 56 + "}\n")
        self.assert_finds("check_sizes.py", "a.c:1: function work has 61 lines")

    def test_braces_in_text_and_data_are_no_functions(self):
        self.write("a.c", "static const int x[] = {\n" + "    1,\n" * 70 + "};\n"
                   "struct big {\n" + "    int x;\n" * 70 + "};\n"
                   "/*\n{\n" + "x\n" * 70 + "}\n*/\n"
                   "#define LONG \\\n{ \\\n" + "    x++; \\\n" * 70 + "}\n")
        self.assert_clean("check_sizes.py")

    def test_many_parameters(self):
        seven = ", ".join(f"int a{i}" for i in range(7))
        self.write("a.c", function(5, seven))
        self.assert_finds("check_sizes.py", "function work has 7 parameters, at most 6")

    def test_commas_inside_a_parameter_do_not_count(self):
        self.write("a.c", function(5, "int (*f)(int, int, int, int), int a[sizeof(int[2])], "
                                      "int b, int c, int d, int e"))
        self.assert_clean("check_sizes.py")

    def test_long_line(self):
        self.write("a.c", "int " + "x" * 96 + ";\n")
        self.assert_finds("check_sizes.py", "a.c:1: 101 columns, at most 100")

    def test_python_functions(self):
        self.write("a.py", "def long(self, a, b, c, d, e, f):\n" + "    pass\n" * 60)
        self.assert_finds("check_sizes.py", "function long has 61 lines")
        self.write("a.py", "def wide(a, b, c, d, e, f, g):\n    pass\n")
        self.assert_finds("check_sizes.py", "function wide has 7 parameters")

    def test_no_source_is_no_success(self):
        self.assert_finds("check_sizes.py", "no source file")


class Text(Checkout):
    def test_clean(self):
        self.write("a.c", "/* Nothing is left, see src/work/here. */\n")
        self.write("Makefile", "all:\n\tcc a.c\n")
        self.assert_clean("check_text.sh")

    def test_unfinished_work(self):
        for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"):
            with self.subTest(word):
                self.write("a.c", f"/* {word}: later */\n")
                self.assert_finds("check_text.sh", "a.c:1:", "unfinished")

    def test_own_paths(self):
        for folder in ("home", "root", "work", "Users"):
            with self.subTest(folder):
                self.write("docs/a.md", f"see /{folder}/me/data\n")
                self.assert_finds("check_text.sh", "docs/a.md:1:", "path of one machine")

    def test_tabs_and_trailing_blanks(self):
        self.write("a.py", "if x:\n\tpass\n")
        self.assert_finds("check_text.sh", "a.py:2:", "a tab")
        self.write("a.py", "x = 1 \n")
        self.assert_finds("check_text.sh", "a.py:1:", "blanks at the end")


@unittest.skipUnless(shutil.which("clang-format-14"), "clang-format 14 is not installed")
class Format(Checkout):
    def setUp(self):
        super().setUp()
        shutil.copy(os.path.join(ROOT, ".clang-format"), self.root)

    def test_clean_and_found_and_mended(self):
        self.write("a.c", "int x;\n")
        self.assert_clean("check_format.sh")
        self.write("a.c", "int   x;\n")
        self.assert_finds("check_format.sh", "a.c:1:")
        tool = os.path.join(ROOT, "tools", "check_format.sh")
        self.assertEqual(run([tool, "--fix", self.root])[0], 0)
        self.assert_clean("check_format.sh")

    def test_no_source_is_no_success(self):
        self.assert_finds("check_format.sh", "no C file")


class InstallDeps(unittest.TestCase):
    """install-deps.sh with every outside command replaced by a script that writes down its call."""

    def setUp(self):
        self.bin = tempfile.mkdtemp(prefix="breakeven-test-")
        self.addCleanup(shutil.rmtree, self.bin)
        self.log = os.path.join(self.bin, "log")
        for name in ("sh", "tr", "cat", "env", "sed", "grep", "true"):
            os.symlink(shutil.which(name), os.path.join(self.bin, name))
        self.have("")
        self.command("apt-get", 'echo "apt-get $*" >> "$LOG"')
        self.command("apt-cache", "exit 0")
        self.command("id", 'case $1 in -u) echo 0 ;; *) echo tester ;; esac')
        self.command("uname", "echo Linux")

    def command(self, name, script):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + script + "\n")
        os.chmod(path, 0o755)

    def have(self, *packages):
        self.command("dpkg-query", "printf '%s' '" +
                     "".join(f"{p}:installed " for p in packages) + "'; exit 1")

    def install(self, *groups, **variables):
        environment = {"PATH": self.bin, "LOG": self.log, **variables}
        return run([os.path.join(ROOT, "tools", "install-deps.sh"), *groups], env=environment)

    def calls(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8") as file:
            return file.read()

    def missing(self, *groups):
        return self.install("--list", *groups)[1].split()

    def test_installs_only_what_is_missing(self):
        wanted = self.missing("build")
        self.assertIn("meson", wanted)
        self.have(*[p for p in wanted if p != "libhwloc-dev"])
        status, output = self.install("build")
        self.assertEqual(status, 0, output)
        self.assertRegex(self.calls(), r"apt-get .*\bupdate\n")
        self.assertRegex(self.calls(), r"apt-get .*install --no-install-recommends -y libhwloc-dev")

    def test_nothing_missing_calls_nothing(self):
        self.have(*self.missing("build", "peers"))
        self.assertEqual(self.install("build", "peers"), (0, ""))
        self.assertEqual(self.calls(), "")

    def test_one_of_two_alternatives_is_enough(self):
        wanted = [p for p in self.missing("check") if "|" not in p]
        self.have(*wanted, "libclang-common-14-dev")
        self.assertEqual(self.missing("check"), [])

    def test_takes_the_alternative_that_the_system_offers(self):
        self.have(*[p for p in self.missing("check") if "|" not in p])
        self.command("apt-cache", 'case $2 in libclang-common-14-dev) exit 0 ;; *) exit 1 ;; esac')
        self.assertEqual(self.install("check")[0], 0)
        self.assertIn("-y libclang-common-14-dev\n", self.calls())

    def test_without_root_and_sudo(self):
        self.command("id", 'case $1 in -u) echo 1000 ;; *) echo tester ;; esac')
        status, output = self.install("build")
        self.assertEqual(status, 1)
        self.assertIn("found user tester without sudo", output)
        self.assertIn("apt-get install --no-install-recommends gcc", output)
        self.assertEqual(self.calls(), "")

    def test_with_sudo(self):
        self.command("id", 'case $1 in -u) echo 1000 ;; *) echo tester ;; esac')
        self.command("sudo", 'shift; exec "$@"')
        self.assertEqual(self.install("build")[0], 0)
        self.assertIn("install --no-install-recommends", self.calls())

    def test_sudo_that_needs_a_password(self):
        self.command("id", 'case $1 in -u) echo 1000 ;; *) echo tester ;; esac')
        self.command("sudo", "exit 1")
        status, output = self.install("build")
        self.assertEqual(status, 1)
        self.assertIn("there is no terminal to ask for a password on", output)

    def test_without_a_network(self):
        self.command("apt-get", "exit 100")
        status, output = self.install("build")
        self.assertEqual(status, 1)
        self.assertIn("going on with the old lists", output)
        self.assertIn("could not install", output)
        self.assertIn("Expected a network", output)

    def python(self, folder, origin=None):
        """A python3 that has PyTorch there, or none; it writes down that it was asked."""
        os.makedirs(os.path.join(self.bin, folder, "bin"))
        says = f"echo {origin}" if origin else "exit 1"
        self.command(os.path.join(folder, "bin", "python3"), f'echo "{folder}" >> "$LOG"; {says}')
        return os.path.join(self.bin, folder)

    def test_a_pytorch_of_the_users_own_is_enough(self):
        """Debian's older one would not be measured then; its own packages lack OpenBLAS."""
        own, none = self.python("own", "/venv/torch/__init__.py"), self.python("none")
        debian = self.python("debian", "/usr/lib/python3/dist-packages/torch/__init__.py")
        for variables in ({"VIRTUAL_ENV": own}, {"CONDA_PREFIX": own},
                          {"BREAKEVEN_PYTHON": "/x/python3"}, {"VIRTUAL_ENV": none,
                                                               "CONDA_PREFIX": own},
                          {"PATH": f"{none}/bin:{own}/bin:{debian}/bin:{self.bin}"}):
            self.assertEqual(self.install("peers", **variables), (0, ""), variables)
        self.assertNotIn("apt-get", self.calls())
        self.assertNotIn("debian", self.calls())
        for variables in ({"VIRTUAL_ENV": debian}, {"VIRTUAL_ENV": none},
                          {"PATH": f"{debian}/bin:{own}/bin:{self.bin}"}):
            wanted = self.install("--list", "peers", **variables)[1].split()
            self.assertIn("libopenblas0-pthread", wanted, variables)

    def test_wrong_groups(self):
        self.assertIn("found 'nonsense'", self.install("nonsense")[1])
        self.assertIn("found no group", self.install()[1])

    def test_skip(self):
        self.assertEqual(self.install("build", BREAKEVEN_DEPS="skip"), (0, ""))
        self.assertEqual(self.calls(), "")


class Venv(unittest.TestCase):
    """ENGINE-venv.sh with a python that writes down its calls, and makes what venv would."""

    PYTHON = """#!/bin/sh
echo "python $*" >> "$LOG"
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python3" ;;
*"pip "*) exit "${PIP_STATUS:-0}" ;;
esac
"""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="breakeven-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        contents = {"python3": self.PYTHON}
        # Copies that take this python also where Debian has its own.
        for name in ("engine-venv.sh", "tensorflow-venv.sh", "mlx-venv.sh"):
            with open(os.path.join(ROOT, "tools", name), encoding="utf-8") as file:
                contents[name] = file.read().replace("/usr/bin/python3",
                                                     os.path.join(self.folder, "python3"))
        for name, content in contents.items():
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(content)
            os.chmod(os.path.join(self.folder, name), 0o755)
        self.venv = os.path.join(self.folder, "cache", "breakeven", "tensorflow")

    def make(self, *words, script="tensorflow-venv.sh", **variables):
        """(status, output, calls of python)."""
        log = os.path.join(self.folder, "log")
        with open(log, "w", encoding="utf-8"):
            pass
        environment = {"PATH": os.environ["PATH"], "LOG": log, "HOME": self.folder,
                       "XDG_CACHE_HOME": os.path.join(self.folder, "cache"), **variables}
        status, output = run([os.path.join(self.folder, script), *words], env=environment)
        with open(log, encoding="utf-8") as file:
            return status, output, file.read().splitlines()

    def test_made_once(self):
        status, output, calls = self.make()
        self.assertEqual(status, 0, output)
        self.assertEqual(len(calls), 3, calls)
        self.assertRegex(calls[1], r"install .*tensorflow(-cpu)?==2\.\d+\.\d+ keras==3")
        self.assertEqual(calls[2], "python -c import tensorflow")
        self.assertEqual(self.make()[0:3:2], (0, []))
        self.assertEqual(os.listdir(os.path.dirname(self.venv)), ["tensorflow"])
        self.assertEqual(self.make("--python")[1], self.venv + "/bin/python3\n")

    def test_another_version_or_kind_is_made_anew(self):
        self.make()
        self.assertIn("tensorflow[and-cuda]==2", self.make("cuda")[2][1])
        self.assertEqual(self.make()[2], [], "what is there will do")
        self.assertNotIn("cuda", self.make("cpu")[2][1])
        with open(os.path.join(self.venv, "breakeven-stamp"), "w", encoding="utf-8") as file:
            file.write("tensorflow-cpu==2.0.0 keras==2")
        self.assertEqual(len(self.make()[2]), 3)

    def test_what_fails_leaves_what_was_there(self):
        self.make()
        status, output, _ = self.make("cuda", PIP_STATUS="1")
        self.assertEqual(status, 1)
        self.assertIn("pip could not install tensorflow[and-cuda]==2", output)
        self.assertEqual(os.listdir(os.path.dirname(self.venv)), ["tensorflow"])
        self.assertEqual(self.make()[2], [])

    def test_a_python_of_ones_own(self):
        self.assertEqual(self.make(BREAKEVEN_TENSORFLOW_PYTHON="/x/python"), (0, "", []))
        self.assertEqual(self.make("--python", BREAKEVEN_TENSORFLOW_PYTHON="/x/python")[1],
                         "/x/python\n")

    def test_below_home_without_a_cache_folder(self):
        for cache in ("", "relative"):
            self.assertEqual(self.make("--python", XDG_CACHE_HOME=cache)[1], self.folder +
                             "/.cache/breakeven/tensorflow/bin/python3\n")

    def test_wrong_words(self):
        self.assertIn("found 'gpu'", self.make("gpu")[1])
        self.assertIn("found 2 arguments", self.make("cpu", "cuda")[1])
        self.assertIn("found 'gpu'", self.make("gpu", script="mlx-venv.sh")[1])

    def test_mlx(self):
        status, output, calls = self.make(script="mlx-venv.sh")
        self.assertEqual((status, len(calls)), (0, 3), output)
        self.assertRegex(calls[1], r"install .*mlx(\[cpu\])?==0\.\d+\.\d+ numpy$")
        self.assertEqual(calls[2], "python -c import mlx.core")
        self.assertEqual(self.make(script="mlx-venv.sh")[2], [])
        python = os.path.join(self.folder, "cache", "breakeven", "mlx", "bin", "python3")
        self.assertEqual(self.make("--python", script="mlx-venv.sh")[1], python + "\n")
        self.assertEqual(self.make("--python", script="mlx-venv.sh",
                                   BREAKEVEN_MLX_PYTHON="/x/python")[1], "/x/python\n")


class Limits(unittest.TestCase):
    """tests/usage.py: a limit that only the test itself can reach."""

    def run_test(self, limit, code):
        with tempfile.TemporaryDirectory(prefix="breakeven-test-") as folder:
            costs = os.path.join(folder, "costs")
            status, output = run([PYTHON, os.path.join(ROOT, "tests", "usage.py"), costs, limit,
                                  PYTHON, "-c", code])
            with open(costs, encoding="utf-8") as file:
                return status, output, file.read().split("\t", 1)

    def test_its_end_is_the_tests(self):
        self.assertEqual(self.run_test("100", "import sys; sys.exit(3)")[0], 3)
        self.assertEqual(self.run_test("100", "import os; os.abort()")[0], -6)

    @unittest.skipUnless(os.path.exists("/proc/self/stat"), "usage.py ends nothing without /proc")
    def test_processor_time_of_all_that_it_started_counts(self):
        code = ("import subprocess, sys; "
                "subprocess.run([sys.executable, '-c', 'while True: pass'])")
        status, output, costs = self.run_test("0.5", code)
        self.assertEqual(status, 124)
        self.assertIn("ended: it took more than 0.5 s of processor time", output)
        self.assertGreater(float(costs[0]), 0.4)

    def test_what_does_not_run_is_ended(self):
        watch = usage.Watch(10)
        polls = int(usage.STILL_S / usage.POLL_S)
        faults = [watch.fault({7: 1.5}) for _ in range(polls)]
        self.assertEqual(set(faults), {None})
        self.assertEqual(watch.fault({7: 1.5}), "nothing of it has run for 180 s")
        self.assertIsNone(watch.fault({7: 1.6}))


class ContinuousIntegration(unittest.TestCase):
    """.ci/run with a false make: the count is the last line, and the status is make's."""

    def run_ci(self, make):
        with tempfile.TemporaryDirectory(prefix="breakeven-test-") as folder:
            path = os.path.join(folder, "make")
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\n" + make + "\n")
            os.chmod(path, 0o755)
            environment = {**os.environ, "PATH": folder + ":" + os.environ["PATH"]}
            status, output = run(["bash", os.path.join(ROOT, ".ci", "run")], env=environment)
        return status, output.strip().split("\n")[-1]

    def test_passed(self):
        self.assertEqual(self.run_ci("echo 3 passed, 0 failed"), (0, "3 passed, 0 failed"))

    def test_failed(self):
        make = "echo 3 passed, 1 failed; echo make: Error 1; exit 2"
        self.assertEqual(self.run_ci(make), (2, "3 passed, 1 failed"))

    def test_died_before_the_count(self):
        self.assertEqual(self.run_ci("echo no network; exit 2"), (2, "0 passed, 1 failed"))

    def test_died_with_a_count_of_successes(self):
        make = "echo 3 passed, 0 failed; exit 2"
        self.assertEqual(self.run_ci(make), (2, "0 passed, 1 failed"))

    def test_no_standard_input(self):
        self.assertEqual(self.run_ci("cat; echo 1 passed, 0 failed"), (0, "1 passed, 0 failed"))
