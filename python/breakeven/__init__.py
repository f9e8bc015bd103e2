"""breakeven from Python: which device should this model train on?

    import breakeven
    result = breakeven.bench(model, batch, devices="all")

It starts the program `breakeven` and measures nothing itself.  `model` is a model, a function that
returns one, or a name as on the command line; docs/own-models.md says what the others are.
"""
import tempfile

from breakeven import carry, program
from breakeven.program import Error
from breakeven.result import Result

__all__ = ["Error", "Result", "bench"]


def _listed(option, value):
    """An option whose value is one or several: `8`, `"cpu"`, `[8, 64]`."""
    if value is None:
        return []
    several = isinstance(value, (list, tuple, range))
    return [option, ",".join(str(each) for each in value) if several else str(value)]


# What bench takes beside its three: options of the command line, and parts of a model.
_OPTIONS = {"batches": "--batch", "precisions": "--precision", "engines": "--engine",
            "threads": "--threads"}
_PARTS = ("loss", "optimizer")


def _check(settings):
    known = [*_OPTIONS, *_PARTS, "name", "options"]
    for name in settings:
        if name not in known:
            raise TypeError(f"expected settings among {', '.join(known)}, found '{name}'; "
                            "further options of the command line go into options=[\"--…\"]")


def bench(model, batch=None, devices="all", **settings):
    """Measure the training step of a model on the devices of this machine, side by side.

    model       a model of PyTorch or Keras, a function that returns one, or what the command line
                takes: "mymodel.py", "module:function", "torchvision:resnet50", "mlp-mnist"
    batch       batch(n), which returns inputs and targets of n samples; not with a name
    devices     "all", or one or several of what `breakeven devices` lists

    and by name, each of which may be left out:

    batches     samples per step, one number or several
    precisions  "fp32", "tf32", "bf16", or several
    engines     "torch", "torch-compile", "tensorflow", …, or several
    threads     of the processor, one number or several
    loss        loss(output, target)
    optimizer   optimizer(parameters)
    name        what the table calls it
    options     further words of the command line, as ["--infer", "--max-time", "2"]

    Returns a Result.  Raises Error with the program's own sentence where nothing was measured.
    """
    _check(settings)
    words = ["bench", *_listed("--device", devices)]
    for setting, option in _OPTIONS.items():
        words += _listed(option, settings.get(setting))
    words += [str(word) for word in settings.get("options", ())]
    parts = {"batch": batch, **{part: settings.get(part) for part in _PARTS}}
    name = settings.get("name")
    if isinstance(model, str):
        given = [part for part, value in {**parts, "name": name}.items() if value is not None]
        if given:
            raise TypeError(f"expected a name alone, found {given[0]} beside '{model}'; the file "
                            f"defines {given[0]}")
        return _measured([*words, model])
    with tempfile.TemporaryDirectory(prefix="breakeven-") as folder:
        path = carry.write(folder, model, parts, name)
        # Nobody could measure a model again that lived in this process.
        return _measured([*words, path, *["--no-store"] * ("--no-store" not in words)])


def _measured(words):
    """What the program measured; what went wrong with one contender stands in its record."""
    return Result(*program.records([*words, "--format", "jsonl"]))
