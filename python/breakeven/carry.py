"""How a model of this process reaches the processes that measure it: as a file that defines what
docs/own-models.md asks for, beside a pickle of it.

What lies in an importable module is carried by its name; what a notebook's cells or a script define
by value, which needs cloudpickle.
"""
import importlib.util
import io
import os
import pickle
import sys

_FILE = '''"""Written by breakeven.carry: the model of another process."""
import os
import sys

sys.path[:0] = [path for path in {paths!r} if path not in sys.path]
import {library}  # noqa: F401, E402
import pickle  # noqa: E402

name = {name!r}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), {carried!r}), "rb") as _file:
    _carried = pickle.load(_file)
batch = _carried["batch"]
if _carried["made"]:
    model = _carried["model"]
else:
    def model():
        """As it was when it was given, each time."""
        with open(_file.name, "rb") as file:
            return pickle.load(file)["model"]
for _part in ("loss", "optimizer"):
    if _carried[_part] is not None:
        globals()[_part] = _carried[_part]
'''


def _library(model):
    """Whose model it is: by its classes, else by what this process has imported."""
    kinds = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    for library in ("torch", "keras", "mlx"):
        if library in kinds:
            return library
    return "keras" if "torch" not in sys.modules and "keras" in sys.modules else "torch"


class _Refused(TypeError):
    pass


class _Pickler(pickle.Pickler):
    """Refuses what would be looked for in the main module of another process."""

    def reducer_override(self, value):
        if getattr(value, "__module__", None) == "__main__" and hasattr(value, "__qualname__"):
            raise _Refused(
                f"expected cloudpickle, which carries what a notebook or a script defines "
                f"({value.__qualname__}) to the processes that measure, found none: 'pip install "
                "cloudpickle', or put model and batch into a file and give its name: "
                "breakeven.bench(\"mymodel.py\")")
        return NotImplemented


def _pickled(value):
    if importlib.util.find_spec("cloudpickle") is not None:
        import cloudpickle
        return cloudpickle.dumps(value)
    out = io.BytesIO()
    _Pickler(out).dump(value)
    return out.getvalue()


def _check(model, parts):
    if not callable(parts["batch"]):
        raise TypeError("expected batch, a function that returns a batch of n samples "
                        "(lambda n: (inputs, targets)), found "
                        + ("none" if parts["batch"] is None else type(parts["batch"]).__name__)
                        + "; give one")
    if not callable(model):
        raise TypeError("expected model, a model or a function that returns one, found "
                        + type(model).__name__)


def write(folder, model, parts, name):
    """The path of the file in `folder`; `parts` are batch, loss and optimizer by name."""
    _check(model, parts)
    live = hasattr(model, "state_dict") or hasattr(model, "trainable_variables")
    made = isinstance(model, type) or not live
    if name is None:
        name = getattr(model, "__name__", None) if made else type(model).__name__
    carried, path = "model.pickle", os.path.join(folder, "carried_model.py")
    try:
        content = _pickled({"model": model, "made": made, **parts})
    except _Refused:
        raise
    except (pickle.PicklingError, AttributeError, RecursionError, TypeError) as error:
        raise TypeError(f"expected a model that can be carried to another process, found {error}; "
                        "put model and batch into a file and give its name: "
                        "breakeven.bench(\"mymodel.py\")") from error
    with open(os.path.join(folder, carried), "wb") as file:
        file.write(content)
    with open(path, "w", encoding="utf-8") as file:
        file.write(_FILE.format(paths=[os.path.abspath(each) for each in sys.path],
                                library=_library(model), name=name or "model", carried=carried))
    return path
