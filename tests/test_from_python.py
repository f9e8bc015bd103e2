"""Tests of `import breakeven` (python/breakeven): how a model of another process is measured, what
the result shows, and what is refused."""
import json
import os
import subprocess
import sys
import threading
import unittest
import xml.etree.ElementTree

from cli_support import PROGRAM, FolderTest, has_torch
from runner_support import ROOT

sys.path.insert(0, os.path.join(ROOT, "python"))
import breakeven  # noqa: E402
import breakeven.carry  # noqa: E402

LIMIT_S = 240
QUICK = ["--time", "0.02", "--max-time", "0.1"]
NATIVE = {"devices": "cpu", "engines": "native", "options": ["--synthetic", "--limit", "200",
                                                             "--no-store", *QUICK]}
NETS = """
import torch
from torch import nn
def small():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
def batch(n):
    return torch.rand(n, 6), torch.randint(3, (n,))
"""
# Zero weights, so that the loss of the first step tells whose weights were measured.
CELL = """
import json, sys
import torch
import breakeven
class Half(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(6, 1)
    def forward(self, x):
        return self.fc(x)
net = Half()
with torch.no_grad():
    net.fc.weight.zero_()
    net.fc.bias.fill_(3.0)
def batch(n):
    return torch.rand(n, 6), torch.full((n, 1), 1.0)
result = breakeven.bench(net, batch, devices="cpu", threads=1, options=%r)
print(json.dumps(result.raw))
"""


class FromPythonTest(FolderTest):
    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def python(self, code, **env):
        """A script in a process of its own, in a folder of which modules can be imported."""
        self.write("script.py", code)
        paths = [os.path.join(ROOT, "python"), self.folder]
        return subprocess.run(["/usr/bin/python3", self.path("script.py")], text=True,
                              env={**os.environ, "BREAKEVEN_PROGRAM": PROGRAM,
                                   "PYTHONPATH": os.pathsep.join(paths), **env},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT_S,
                              check=False)

    def good_python(self, code, **env):
        found = self.python(code, **env)
        self.assertEqual(found.returncode, 0, found.stderr)
        return found.stdout

    def test_a_name_and_what_a_result_shows(self):
        result = breakeven.bench("mlp-mnist", threads=[1, 2], batches=8, precisions="fp32",
                                 **NATIVE)
        self.assertEqual([(r["threads"], r["batch"]) for r in result.raw], [(1, 8), (2, 8)])
        self.assertIn("| engine | device | threads |", result.table)
        self.assertEqual(repr(result), result.table)
        self.assertEqual(result._repr_markdown_(), result.table)
        self.assertNotIn("Machine and method", result.table)
        self.assertIn("train mlp-mnist with native on", result.advice)
        self.assertNotIn("advice:", result.advice)
        self.assertIn("<iframe srcdoc=\"&lt;", result._repr_html_().replace("<!", "&lt;!"))
        drawing = xml.etree.ElementTree.fromstring(result.plot()._repr_svg_())
        texts = ["".join(each.itertext()) for each in drawing.iter()]
        self.assertTrue(drawing.tag.endswith("svg") and "native on 2 threads" in texts, texts)
        result.plot().save(self.path("plot.svg"))
        xml.etree.ElementTree.parse(self.path("plot.svg"))

    def test_one_contender_has_no_plot(self):
        result = breakeven.bench("mlp-mnist", threads=1, **NATIVE)
        with self.assertRaisesRegex(ValueError, "expected at least two contenders with a time"):
            result.plot()

    def test_records_are_a_table_where_pandas_is(self):
        self.write("with/pandas.py", "def json_normalize(raw):\n    return 'frame', raw\n")
        self.write("without/pandas.py", "raise ImportError\n")
        code = "import breakeven\nprint(breakeven.Result([{'a': 1}], []).records)"
        for place, expected in (("with", "('frame', [{'a': 1}])"), ("without", "[{'a': 1}]")):
            paths = [self.path(place), os.path.join(ROOT, "python")]
            found = self.good_python(code, PYTHONPATH=os.pathsep.join(paths))
            self.assertEqual(found.strip(), expected)

    def test_the_programs_sentence_is_raised(self):
        with self.assertRaisesRegex(breakeven.Error, "none.py: expected a file, found none"):
            breakeven.bench(self.path("none.py"))
        with self.assertRaises(breakeven.Error) as caught:
            breakeven.bench("mlp-mnist", devices="cuda:77")
        self.assertEqual(caught.exception.code, 3)

    def test_what_is_refused(self):
        for says, arguments, settings in (
                ("expected batch, a function that returns .*, found none; give one",
                 (lambda: None,), {}),
                ("expected batch, .* found tuple", (lambda: None, (1, 2)), {}),
                ("expected model, a model or a function that returns one, found int",
                 (3, print), {}),
                ("expected settings among batches, .*, found 'batchsize'", ("mlp-mnist",),
                 {"batchsize": 3}),
                ("expected a name alone, found batch beside 'mlp-mnist'", ("mlp-mnist", print),
                 {})):
            with self.subTest(says), self.assertRaisesRegex(TypeError, says):
                breakeven.bench(*arguments, **settings)

    def test_without_a_program_it_is_said_how_to_get_one(self):
        found = self.python("import breakeven\nbreakeven.bench('mlp-mnist')",
                            BREAKEVEN_PROGRAM="/nothing")
        self.assertIn("expected the program breakeven at /nothing, found none: correct "
                      "BREAKEVEN_PROGRAM, or unset it", found.stderr)
        found = self.python("import breakeven.program\nbreakeven.program.main()",
                            BREAKEVEN_PROGRAM="")
        self.assertNotEqual(found.returncode, 0)
        self.assertIn("install the wheel that tools/wheel.sh makes", found.stderr)

    @unittest.skipUnless(has_torch(), "PyTorch is missing")
    def test_functions_of_a_module(self):
        """Without cloudpickle too: they are carried by their names."""
        self.write("nets.py", NETS)
        self.write("cloudpickle.py", "raise ImportError\n")
        found = self.good_python(
            "import json, sys\nimport importlib.util as find\nreal = find.find_spec\n"
            "find.find_spec = lambda name: None if name == 'cloudpickle' else real(name)\n"
            f"import breakeven, nets\nresult = breakeven.bench(nets.small, nets.batch, 'cpu', "
            f"threads=1, batches=16, options={QUICK!r})\nprint(json.dumps(result.raw))\n")
        [record] = json.loads(found)
        self.assertEqual((record["status"], record["params"], record["title"], record["batch"]),
                         ("OK", 53, "small", 16))

    @unittest.skipUnless(has_torch(), "PyTorch is missing")
    def test_a_model_that_a_script_made(self):
        """With the weights that it had, and what the script defines by value."""
        try:
            import cloudpickle  # noqa: F401
        except ImportError:
            self.skipTest("cloudpickle is missing")
        [record] = json.loads(self.good_python(CELL % (QUICK,)))
        self.assertEqual((record["status"], record["title"], record["params"]), ("OK", "Half", 7))
        self.assertAlmostEqual(record["first_loss"], 4.0, places=4)

    @unittest.skipUnless(has_torch(), "PyTorch is missing")
    def test_without_cloudpickle_a_scripts_own_is_refused(self):
        self.write("hide.py", "import importlib.util as find\nreal = find.find_spec\n"
                   "find.find_spec = lambda name: None if name == 'cloudpickle' else real(name)\n")
        found = self.python("import hide\n" + CELL % (QUICK,))
        self.assertIn("expected cloudpickle, which carries what a notebook or a script defines "
                      "(Half) to the processes that measure, found none: 'pip install cloudpickle'"
                      ", or put model and batch into a file", found.stderr)

    def test_what_cannot_be_carried_is_refused(self):
        held = threading.Lock()
        with self.assertRaisesRegex(TypeError, "can be carried to another process, found .*; put "
                                    "model and batch into a file"):
            breakeven.carry.write(self.folder, lambda: held,
                                  {"batch": print, "loss": None, "optimizer": None}, None)


if __name__ == "__main__":
    unittest.main()
