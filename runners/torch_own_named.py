"""Models of torchvision, timm and transformers by their names, with drawn weights: nothing is
fetched.  Each is what a user's file would define: `model` and `batch`.
"""
import importlib
import types

import torch

from runner_protocol import Failure

_TOKENS_MOST = 128  # of a sequence, where the model takes more
_CLASSES = 1000     # of ImageNet, which torchvision's are for
LIBRARIES = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}


def _pictures(n, shape, classes):
    return torch.rand(n, *shape), torch.randint(classes, (n,))


def _unknown(library, name, found, advice):
    return Failure("BAD_DATA", f"a model of {library} named '{name}'", found, advice)


def _of_torchvision(torchvision, name):
    make = getattr(importlib.import_module("torchvision.models"), name, None)
    if not callable(make) or isinstance(make, type) or name.startswith("_"):
        raise _unknown("torchvision", name, "none", "torchvision.models.list_models() lists them")
    side = 299 if name == "inception_v3" else 224
    return {"model": lambda: make(weights=None),
            "batch": lambda n: _pictures(n, (3, side, side), _CLASSES)}


def _of_timm(timm, name):
    if name not in timm.list_models():
        raise _unknown("timm", name, "none", "timm.list_models() lists them")
    model = timm.create_model(name, pretrained=False)
    shape, classes = tuple(model.default_cfg["input_size"]), model.num_classes
    return {"model": lambda: timm.create_model(name, pretrained=False),
            "batch": lambda n: _pictures(n, shape, classes)}


def _config_of(transformers, name):
    """Of a model whose config.json is in the cache, or of a kind of model as it comes."""
    try:
        return transformers.AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        pass
    try:
        return transformers.AutoConfig.for_model(name)
    except ValueError:
        raise _unknown("transformers", name, "neither a kind of model (bert, gpt2, vit) nor a "
                       "config.json in the cache of Hugging Face", "nothing is fetched here: "
                       f"'hf download {name} config.json' brings it") from None


def _of_transformers(transformers, name):
    config = _config_of(transformers, name)
    heads = ("AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForImageClassification")
    for head in heads:
        kind = getattr(transformers, head)
        if type(config) in kind._model_mapping:
            break
    else:
        raise _unknown("transformers", name, f"a {type(config).__name__} without a masked or "
                       "causal language model or a classifier of pictures",
                       "write a file that builds it, with its batch(n)")
    if head == heads[2]:
        side = config.image_size
        make_batch = lambda n: dict(zip(  # noqa: E731
            ("pixel_values", "labels"),
            _pictures(n, (config.num_channels, side, side), config.num_labels)))
    else:
        longest = getattr(config, "max_position_embeddings", None) or _TOKENS_MOST
        tokens = min(_TOKENS_MOST, longest - 2)

        def make_batch(n):
            return {name: torch.randint(config.vocab_size, (n, tokens))
                    for name in ("input_ids", "labels")}
    return {"model": lambda: kind.from_config(config), "batch": make_batch}


_SOURCES = {"torchvision": _of_torchvision, "timm": _of_timm, "hf": _of_transformers}


def find(named):
    """A module in the place of a user's file for "torchvision:resnet50", or None where the name
    is of no library."""
    source, _, name = named.partition(":")
    if source not in LIBRARIES:
        return None
    try:
        library = importlib.import_module(LIBRARIES[source])
    except ImportError:
        raise Failure("UNAVAILABLE", f"{LIBRARIES[source]} beside PyTorch for '{named}'", "none",
                      f"install it there ('pip install {LIBRARIES[source]}'), or name another "
                      "Python in BREAKEVEN_PYTHON") from None
    return types.SimpleNamespace(**_SOURCES[source](library, name))
