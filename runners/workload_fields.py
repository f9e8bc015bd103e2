"""What each workload reads of its data, and what of it may be varied: the same for every engine.

A workload is a name, its own dimensions, and the fields of a batch: those that the model is given,
and the targets that its loss looks at.  Knows numpy alone.
"""
import collections

import numpy as np

# A field of the data: the type and the shape of a sample, and which whole numbers it may hold:
# `least` up to below `below` (None: any).
Field = collections.namedtuple("Field", "dtype shape below least", defaults=(None, 0))

# `dimensions`: the workload's own, by the protocol's names.  `fields(**dimensions)`: every field by
# name.  `targets`: those that the loss is given; the model is given the others, in their order.
Workload = collections.namedtuple("Workload", "dimensions fields targets")

DIMENSIONS = ("width", "size", "layers", "heads", "seq", "vocab", "channels", "kernel", "to",
              "m", "n", "k", "times")


def _nothing(**_):
    return {}


def _operation(**dimensions):
    """An operation alone: it reads nothing, its operands are the weights."""
    return Workload({"times": 1, **dimensions}, _nothing, ())


def _pictures(channels, classes):
    def fields(size, **_):
        return {"images": Field(np.uint8, (channels, size, size)),
                "labels": Field(np.int32, (), classes)}
    return fields


def _sequences(seq, vocab, **_):
    return {"tokens": Field(np.int32, (seq,), vocab), "lengths": Field(np.int32, (), seq + 1, 1),
            "labels": Field(np.int32, (), 10)}


def _sentence_pairs(seq, vocab, **_):
    return {"tokens": Field(np.int32, (seq,), vocab), "segments": Field(np.int32, (seq,), 2),
            "lengths": Field(np.int32, (), seq + 1, 1), "labels": Field(np.int32, (), 2)}


def _text(seq, vocab, **_):
    return {"tokens": Field(np.int32, (seq,), vocab), "targets": Field(np.int32, (seq,), vocab)}


def _captions(size, seq, vocab, **_):
    return {"images": Field(np.uint8, (3, size, size)), "tokens": Field(np.int32, (seq,), vocab)}


def _clip(layers, vocab, **more):
    return Workload({"layers": layers, "seq": 77, "size": 224, "vocab": vocab, **more}, _captions,
                    ())


def _classifier(channels, size, classes=10):
    return Workload({"width": 1, "size": size}, _pictures(channels, classes), ("labels",))


WORKLOADS = {
    "mlp-mnist": _classifier(1, 28),
    "cnn-mnist": _classifier(1, 28),
    "cnn-cifar": _classifier(3, 32),
    "cnn-fashion": _classifier(1, 28),
    "cnn5-fashion": _classifier(1, 28),
    "resnet18-cifar": _classifier(3, 32),
    "resnet18": _classifier(3, 224, 1000),
    "resnet50": _classifier(3, 224, 1000),
    "encoder": Workload({"layers": 10, "width": 512, "heads": 8, "seq": 256, "vocab": 32000},
                        _sequences, ("labels",)),
    "clip": _clip(8, 49152, width=512, heads=8),
    "bert-base": Workload({"layers": 12, "width": 768, "heads": 12, "seq": 128, "vocab": 30522},
                          _sentence_pairs, ("labels",)),
    "gpt2": Workload({"layers": 12, "width": 768, "heads": 12, "seq": 1024, "vocab": 50257}, _text,
                     ("targets",)),
    "clip-b16": _clip(12, 49408),
    "clip-l14": _clip(24, 49408),
    # m, n and k are as size where they are None.
    "op:matmul": _operation(size=512, m=None, n=None, k=None),
    "op:bmm": _operation(size=128, m=None, n=None, k=None),
    "op:attention": _operation(width=512, heads=8, seq=512),
    "op:conv2d": _operation(size=56, channels=64, kernel=3),
    "op:add": _operation(size=4096),
    "op:gelu": _operation(size=4096),
    "op:softmax": _operation(size=4096),
    "op:copy": _operation(size=4096),
    "op:upload": Workload({"size": 4096}, _nothing, ()),
    "op:download": Workload({"size": 4096}, _nothing, ()),
    "op:resize": _operation(size=96, channels=3, to=64),
    "op:augment": _operation(size=32),
    "op:launch": _operation(times=100),
}
