"""The program: where it is, how it is started, and the command of its name.

What it is asked runs with the Python that asks, where that has PyTorch, TensorFlow or MLX.
"""
import importlib.util
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# The module of each engine that is in Python, and the variable that says which Python has it.
_ENGINES = {"torch": "BREAKEVEN_PYTHON", "tensorflow": "BREAKEVEN_TENSORFLOW_PYTHON",
            "mlx.core": "BREAKEVEN_MLX_PYTHON"}


class Error(RuntimeError):
    """The program's own sentence; `code` is its exit code (README.md)."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


def path():
    """BREAKEVEN_PROGRAM, or the program that was installed with this package."""
    named = os.environ.get("BREAKEVEN_PROGRAM")
    found = named or os.path.join(HERE, "bin", "breakeven")
    if os.access(found, os.X_OK):
        return found
    raise Error(f"expected the program breakeven at {found}, found none: " + (
        "correct BREAKEVEN_PROGRAM, or unset it" if named else
        "install the wheel that tools/wheel.sh makes, or name a program in BREAKEVEN_PROGRAM"), 3)


def _has(module):
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def environment():
    """This process's, with this Python for the engines that it has; what the user set stays."""
    found = dict(os.environ)
    for module, variable in _ENGINES.items():
        if not found.get(variable) and _has(module):
            found[variable] = sys.executable
    return found


def _end(process):
    """As Ctrl-C does in a terminal: the program puts away what it began."""
    process.send_signal(signal.SIGINT)
    process.communicate()


def run(words):
    """(exit code, standard output, standard error) of the program."""
    with subprocess.Popen([path(), *words], env=environment(), text=True, encoding="utf-8",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            out, errors = process.communicate()
        except BaseException:
            _end(process)
            raise
    return process.returncode, out, errors


def records(words):
    """(records, notes): objects, and what the program said beside them, a line each.

    Error where there is no record.
    """
    code, out, errors = run(words)
    notes = [line.partition("breakeven: ")[2] for line in errors.splitlines()
             if line.startswith("breakeven: ")]
    found = [json.loads(line) for line in out.splitlines() if line]
    if code and not found:
        raise Error(notes[-1] if notes else f"breakeven ended with {code}: {errors[-400:]}", code)
    return found, notes


def main():
    """The command `breakeven`."""
    try:
        program = path()
    except Error as error:
        sys.exit(f"breakeven: {error}")
    os.execve(program, [program, *sys.argv[1:]], environment())
