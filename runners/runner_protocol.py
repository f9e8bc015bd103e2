"""The runner protocol (docs/runner-protocol.md) for runners written in Python.

Owns what is the same for every engine: the streams, the request loop, the error answers, and
the reading of a request's members.  It uses the standard library alone, so that a runner whose
engine is missing can still say so.  It may know no engine.
"""
import contextlib
import ctypes
import json
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import traceback

SCHEMA = 2
ANSWERS_VARIABLE = "BREAKEVEN_ANSWERS_FD"
STATUSES = ("FAILED", "BAD_DATA", "IO", "DRIVER", "USAGE", "UNAVAILABLE", "NUMERIC", "NO_MEMORY")
OPS = ("hello", "prepare", "run", "sync", "parity", "evaluate", "export", "phases", "reference",
       "measure", "calibrate", "join", "quit")
REQUIRED = object()


class Failure(Exception):
    """An error to answer with: a status of the protocol, what was expected, found, and to do."""

    def __init__(self, status, expected, found, advice):
        assert status in STATUSES
        super().__init__(f"expected {expected}, found {found}: {advice}")
        self.status = status


def claim_streams():
    """(requests, answers) as binary files on descriptors that no library knows.

    The answers go where the conductor says, and to standard output where nobody says.  Whatever a
    library prints goes to the log, and what it or a process of its own reads is empty.
    """
    sys.stdout.flush()
    named = os.environ.pop(ANSWERS_VARIABLE, "")
    try:
        answers = os.fdopen(int(named) if named else os.dup(1), "wb")
        os.set_inheritable(answers.fileno(), False)
    except (OSError, ValueError) as error:
        sys.exit(f"{ANSWERS_VARIABLE}: expected the number of a descriptor that is open, found "
                 f"'{named}' ({error}); unset it: the conductor sets it itself")
    requests = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


_folders = set()  # temporary ones that are in use


@contextlib.contextmanager
def temporary_folder(place):
    """A folder that goes at the end, however it comes; in `place` if it can be written."""
    place = place if os.access(place, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="breakeven-profile-", dir=place)
    _folders.add(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _folders.discard(folder)


def _end(number, _frame=None):
    for folder in list(_folders):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + number)


def exit_on_interrupt():
    """An interrupt ends a runner quietly, also where a library would swallow the exception; so does
    the end of its conductor, in the middle of a long request too (elsewhere than on Linux, only its
    input ends with it)."""
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    conductor = os.getppid()

    # The system sends it at the end of the thread that started us, which may be one of several.
    def look_for_conductor(_number, _frame):
        if os.getppid() != conductor:
            _end(signal.SIGTERM)

    signal.signal(signal.SIGUSR2, look_for_conductor)
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGUSR2), 0, 0, 0)


def member(request, name, kind, default=REQUIRED, least=None, choices=None):
    """The member `name` of a request, checked: `kind` is int, float, str, bool, dict or list."""
    def refuse(expected, found):
        raise Failure("USAGE", expected, found, "correct the request")

    if name not in request:
        if default is REQUIRED:
            refuse(f"the member '{name}'", "none")
        return default
    value = request[name]
    fits = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        refuse(f"'{name}' to be {_KINDS[kind]}", _shown(value))
    if kind is float and not math.isfinite(value):
        refuse(f"'{name}' to be finite", value)
    if least is not None and value < least:
        refuse(f"'{name}' to be at least {least}", _shown(value))
    if choices is not None and value not in choices:
        refuse(f"'{name}' to be one of {', '.join(choices)}", _shown(value))
    return float(value) if kind is float else value


_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false",
          dict: "an object", list: "a list"}


def _shown(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse_constant(text):
    raise ValueError(f"'{text}' is no number of JSON")


def _parse(line):
    try:
        request = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Failure("BAD_DATA", "one JSON object on the line", f"what cannot be read ({error})",
                      "send one request a line") from None
    if not isinstance(request, dict):
        raise Failure("BAD_DATA", "one JSON object on the line", _shown(request),
                      "send an object with the member 'op'")
    return request


def _handle(engine, line):
    """The answer to one line, and whether it was the last."""
    request = _parse(line)
    op = member(request, "op", str, choices=OPS)
    if op == "quit":
        return {}, True
    if op == "hello" and member(request, "schema", int) != SCHEMA:
        raise Failure("USAGE", f"schema {SCHEMA} of the protocol", request["schema"],
                      "use a runner and a conductor of one release")
    answer = getattr(engine, op, None)
    if answer is None:
        raise Failure("UNAVAILABLE", f"an engine that knows '{op}'", "one that does not",
                      "ask the native engine")
    return answer(request), False


def serve(engine, requests, answers):
    """Answer each line of `requests` until `quit` or the end; returns the exit code.

    `engine` has one method an op, which takes the request and returns the answer's members, and
    `failure_of(error)`, which makes a Failure of an exception that it did not foresee.
    """
    for line in requests:
        last = False
        try:
            members, last = _handle(engine, line)
            answer = json.dumps({"ok": True, **members}, allow_nan=False)
        except Exception as error:  # whatever went wrong, the conductor gets its answer
            failure = error
            if not isinstance(error, Failure):
                traceback.print_exc()
                failure = engine.failure_of(error)
            answer = json.dumps({"ok": False, "status": failure.status, "error": str(failure)})
        try:
            answers.write(answer.encode() + b"\n")
            answers.flush()
        except OSError:
            return 1  # the conductor is gone: nobody is left to tell
        if last:
            return 0
    return 0


def why_not(error, install):
    """What to do about an engine that cannot be imported: it depends on what went wrong."""
    text = f"{type(error).__name__}: {error}"
    if "Too many open files" in text:
        return "raise `ulimit -n`"
    if isinstance(error, MemoryError) or re.search(r"annot allocate memory|failed to map", text):
        return "raise `ulimit -v`, or free memory"
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if missing and missing.partition(".")[0] not in ("torch", "tensorflow", "mlx"):
        return f"install {missing} there ('{sys.executable} -m pip install {missing}')"
    if missing:
        return install
    return "mend or reinstall it there, or name another Python in BREAKEVEN_PYTHON"


def tried(devices, compute):
    """(usable, unusable) of `devices`: on the usable ones `compute(id)` came out right."""
    usable, unusable = [], []
    for device in devices:
        try:
            found = None if compute(device["id"]) else "a wrong one"
        except Exception as error:  # whatever keeps it from computing
            found = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
        if found is None:
            usable.append(device)
            continue
        advice = ("install a numpy that fits this engine, often 'numpy<2'"
                  if "numpy" in found.lower() else "mend the installation, or use another device")
        reason = str(Failure("UNAVAILABLE", "a small product to be computed there", found, advice))
        unusable.append({**device, "reason": reason})
    return usable, unusable


class Missing:
    """Stands for an engine that cannot be loaded: every op answers why."""

    def __init__(self, expected, found, advice):
        self.failure = Failure("UNAVAILABLE", expected, found, advice)

    def __getattr__(self, op):
        def refuse(request):
            raise self.failure
        return refuse
