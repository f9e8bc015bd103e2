"""A user's own model as a file or module: what it defines, found, called and checked.

It is the user's code, and runs as they do: it sees the folder of the file, not the modules of this
program.  Owns the sentences on what is wrong with it that are the same for every engine; knows no
device, no training and no engine's tensors.
"""
import importlib
import importlib.util
import inspect
import linecache
import os
import sys
import traceback

from runner_protocol import Failure, member
from workload_fields import DIMENSIONS

HERE = os.path.dirname(os.path.realpath(__file__))
TITLE_MOST = 60
# What a file may define beside its model and batch.
_OPTIONAL = ("loss", "optimizer", "flops", "batches")


def give_way():
    """From here on the names of our modules are free for those of the user."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and name != "__main__" and os.path.dirname(os.path.realpath(path)) == HERE:
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != HERE]


def _is_count(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < float("inf")


def split_batch(value):
    """(inputs, target) of a batch, a tuple or a dict that is not empty: the target stands last, and
    one entry alone is the input."""
    if not isinstance(value, dict):
        return (value[:-1], value[-1]) if len(value) > 1 else (value, None)
    names = list(value)
    if len(names) == 1:
        return dict(value), None
    return {name: value[name] for name in names[:-1]}, value[names[-1]]


class OwnFile:
    """What the file defines.  A subclass says what its models are, and what stands in for what the
    file leaves out."""
    MODEL = "the model"  # what model() returns
    LIBRARIES = ()       # whose models have names: "torchvision:resnet50"

    def __init__(self, named):
        """`named`: the path of a file, or module:function."""
        self.asked, self.named, self.function = named, named, "model"
        self.path = os.path.realpath(named)
        self.folder = os.path.dirname(self.path)
        is_file = named.endswith(".py")
        if is_file and not os.path.isfile(self.path):
            raise Failure("IO", f"the file {named}", "none", "check its path")
        self.named_model = named.partition(":")[0] in self.LIBRARIES
        give_way()
        if not is_file:
            self.folder = os.getcwd()
        if not is_file and not self.named_model:
            self.named, _, self.function = named.partition(":")
        if self.folder in sys.path:
            sys.path.remove(self.folder)
        sys.path.insert(0, self.folder)
        try:
            self.module = self._import(is_file)
        except Failure:
            raise
        except ModuleNotFoundError as error:
            if not is_file and error.name == self.named:
                raise Failure("IO", f"a module '{self.named}' in {self.folder}, or elsewhere where "
                              "this Python looks", "none", "check its name, or name a file that "
                              "ends in .py") from None
            traceback.print_exc()
            raise self.failure(error, "to be imported") from None
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            raise self.failure(error, "to be imported") from None
        for name in (self.function, "batch"):
            self._check_function(name, needed=True)
        for name in _OPTIONAL:
            self._check_function(name, needed=False)
        self.dimensions = {}

    def find_named(self):
        """In the place of a module: a model of a library by its name."""
        raise NotImplementedError

    def _import(self, is_file):
        if self.named_model:
            return self.find_named()
        return self._import_file() if is_file else importlib.import_module(self.named)

    def _import_file(self):
        name = os.path.basename(self.path)[:-len(".py")]
        if name in sys.modules:  # torch.py is a name that users give, too
            name = "own_" + name
        spec = importlib.util.spec_from_file_location(name, self.path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def _check_function(self, name, needed):
        found = getattr(self.module, name, None)
        if needed and found is None:
            what = {"batch": "batch(n), which returns a batch of n samples"}.get(
                name, f"{name}(), which returns {self.MODEL}")
            raise Failure("BAD_DATA", f"{self.named} to define {what}", f"no '{name}'", "add it")
        if found is not None and not callable(found):
            raise Failure("BAD_DATA", f"'{name}' in {self.named} to be a function",
                          type(found).__name__, "correct it")

    # ------------------------------------------------------------ its dimensions

    def take_dimensions(self, request):
        """Those of a variant that a `prepare` gives ("seq"): functions of the file that have a
        parameter of the name are given it."""
        given = {name: member(request, name, int, least=1)
                 for name in DIMENSIONS if name in request}
        for name, value in given.items():
            if not any(name in self._parameters(function)
                       for function in (self.function, "batch")):
                raise Failure("USAGE", f"batch(n) or {self.function}() of {self.named} to have a "
                              f"parameter '{name}'", "none", f"write batch(n, {name}={value}), or "
                              f"leave --{name} out")
        self.dimensions = given

    def _parameters(self, function):
        try:
            return inspect.signature(getattr(self.module, function)).parameters
        except (AttributeError, TypeError, ValueError):
            return {}

    def call(self, function, *arguments):
        """A function of the file, with those of the dimensions that it has parameters for."""
        wanted = self._parameters(function)
        given = {name: value for name, value in self.dimensions.items() if name in wanted}
        return getattr(self.module, function)(*arguments, **given)

    # ------------------------------------------------------------ what it says of itself

    def title(self):
        """{"title": its `name`}, empty where it has none."""
        told = getattr(self.module, "name", None)
        if told is None:
            return {}
        if not isinstance(told, str) or not 0 < len(told) <= TITLE_MOST or not told.isprintable():
            raise Failure("BAD_DATA", f"'name' in {self.named} to be a line of 1 to {TITLE_MOST} "
                          "characters", repr(told)[:80], "correct it")
        return {"title": told}

    def unit(self):
        """What its rates count, as the file tells: `unit` = "token", or ("token", 512) of which a
        sample has so many, or ("token", "seq") by a parameter of batch(n, seq=512); empty where it
        does not."""
        told = getattr(self.module, "unit", None)
        if told is None:
            return {}
        name, count = told if isinstance(told, tuple) and len(told) == 2 else (told, 1)
        if isinstance(count, str):
            parameter = self._parameters("batch").get(count)
            count = self.dimensions.get(count, parameter and parameter.default)
        if not isinstance(name, str) or not name or not _is_count(count):
            raise Failure("BAD_DATA", f"'unit' in {self.named} to be a word, or a word and how "
                          'many a sample has, as ("token", 512) or ("token", "seq") of batch(n, '
                          "seq=512)", repr(told), "correct it")
        return {"unit": name, "units_a_sample": count}

    def flops(self, n):
        """The arithmetic of a step as the file tells it; None where it does not."""
        if not hasattr(self.module, "flops"):
            return None
        told = self.call("flops", n)
        if not _is_count(told):
            raise Failure("BAD_DATA", f"flops({n}) of {self.named} to return a number above 0",
                          repr(told)[:80], "correct it")
        return float(told)

    # ------------------------------------------------------------ what went wrong in it

    def is_of_user(self, path):
        """Whether a file lies in the user's folder, as code of their own."""
        if path.startswith("<"):  # as <frozen importlib._bootstrap>
            return False
        path = os.path.realpath(path)
        apart = (HERE + os.sep, os.path.realpath(sys.prefix) + os.sep)
        return (path.startswith(self.folder + os.sep) and not path.startswith(apart)
                and os.sep + "site-packages" + os.sep not in path)

    def place_of(self, error):
        """The last line of the user's own that led to an error: " (mymodel.py, line 3: …)"."""
        if isinstance(error, SyntaxError) and error.filename:
            return (f" ({os.path.basename(error.filename)}, line {error.lineno}: "
                    f"{(error.text or '').strip()})")
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = os.path.realpath(frame.filename)
            if self.is_of_user(path):
                line = linecache.getline(frame.filename, frame.lineno).strip()
                return f" ({os.path.relpath(path, self.folder)}, line {frame.lineno}: {line})"
        return ""

    def text_of(self, error):
        """The line of its message that says most."""
        return (str(error).splitlines() or [""])[0]

    def failure(self, error, wanted="to run"):
        """What went wrong in the user's code, in one sentence."""
        message = error.msg if isinstance(error, SyntaxError) else self.text_of(error)
        text = f"{type(error).__name__}: {message}".strip()
        return Failure("BAD_DATA", f"{self.named} {wanted}", text + self.place_of(error),
                       "correct the file")
