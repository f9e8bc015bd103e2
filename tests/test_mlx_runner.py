"""The MLX runner, by the tests of the PyTorch runner: the same protocol, the same double
computation to compare with (mlx_cases.py).

tools/mlx-venv.sh makes its environment, which BREAKEVEN_MLX_PYTHON names here.  Where it is missing
those cases are skipped, and PyTorch is not even loaded for them.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.environ.get("BREAKEVEN_MLX_PYTHON", "")
HAS_MLX = os.access(PYTHON, os.X_OK)

if HAS_MLX:
    from mlx_cases import (MlxLadderTest, MlxOwnTest, MlxProgramTest,  # noqa: F401
                           MlxRunnerTest)


class MissingMlxTest(unittest.TestCase):
    def test_answer_and_clean_stdout(self):
        """Of any Python: what is asked for is answered with what to install."""
        python = PYTHON if HAS_MLX else sys.executable
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "mlx"))
            with open(os.path.join(folder, "mlx", "__init__.py"), "w", encoding="utf-8") as file:
                file.write("print('noise', flush=True)\n"
                           "raise ModuleNotFoundError('no such thing here', name='mlx.core')\n")
            done = subprocess.run(
                [python, os.path.join(ROOT, "runners", "mlx_runner.py")], text=True,
                input='{"op": "hello", "schema": 2}\n{"op": "quit"}\n', capture_output=True,
                env={**os.environ, "PYTHONPATH": folder}, check=True)
        refused, quit_ = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((refused["ok"], refused["status"]), (False, "UNAVAILABLE"))
        for part in ("no such thing here", python, "make mlx", "BREAKEVEN_MLX_PYTHON"):
            self.assertIn(part, refused["error"])
        self.assertEqual(quit_, {"ok": True})
        self.assertEqual(done.stderr.count("noise"), 1)

    @unittest.skipUnless(HAS_MLX, f"no MLX in '{PYTHON}', which tools/mlx-venv.sh would make")
    def test_all_else(self):
        """Its cases stand in the list beside this one."""
        self.assertGreater(unittest.defaultTestLoader.loadTestsFromTestCase(
            MlxRunnerTest).countTestCases(), 20)


if __name__ == "__main__":
    unittest.main()
