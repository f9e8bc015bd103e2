"""The variables of a Keras model by the names and in the layouts of weights files, which are
PyTorch's.

The names of the layers are those of the file.  A layer whose name ends with an underscore has no
dot behind it there.
"""
import collections

import numpy as np
from keras import layers

from tensorflow_operations import Operation
from tensorflow_transformers import Attention, Conv1D, TiedHead

# What the file calls a layer's variables: (its name, Keras's name, whether it is trained).
_KERNEL = (("weight", "kernel", True), ("bias", "bias", True))
_NORM = (("weight", "gamma", True), ("bias", "beta", True))
_RUNNING = (("running_mean", "moving_mean", False), ("running_var", "moving_variance", False))
_VARIABLES = ((layers.Conv2D, _KERNEL), (layers.Dense, _KERNEL),
              (layers.LayerNormalization, _NORM), (layers.BatchNormalization, _NORM + _RUNNING),
              (layers.Embedding, (("weight", "embeddings", True),)))


class Parameter(collections.namedtuple("Parameter", "name layer variable trained turned image")):
    """A variable with its name in the weights file.

    `turned`: Keras has [in, out] and [kh, kw, in, out] where the file has [out, in] and
    [out, in, kh, kw].  `image`: the height, width and channels that a dense kernel's inputs were
    flattened from, or None: Keras flattens [H, W, C], the file's order of these inputs is that of
    [C, H, W].
    """

    @property
    def shape(self):
        """In the weights file."""
        shape = tuple(self.variable.shape)
        return (shape[-1], shape[-2], *shape[:-2]) if self.turned else shape

    def to_file(self, value):
        """The variable's values, or their gradients, in the layout of the file."""
        value = np.asarray(value, dtype=np.float32)
        if self.image:
            value = value.reshape(*self.image, -1)
        if self.turned:
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        return np.ascontiguousarray(value).reshape(self.shape)

    def from_file(self, value):
        if self.image:
            height, width, channels = self.image
            value = value.reshape(-1, channels, height, width)
        if self.turned:
            value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
        return value.reshape(self.variable.shape)


def parameters(model):
    """All that files of the model's weights hold, what is trained and what is not, layer by layer.

    A convolution's bias, say, is left out where the layer has none.
    """
    if isinstance(model, Operation):
        return model.parameters
    found, image = [], None
    for layer in model.layers:
        if isinstance(layer, layers.Flatten):
            image = tuple(layer.input.shape[1:])
        listed = next((names for kind, names in _VARIABLES if isinstance(layer, kind)), ())
        dot = "" if layer.name.endswith("_") else "."
        for name, keras_name, trained in listed:
            variable = getattr(layer, keras_name)
            if variable is not None:
                turned = keras_name == "kernel" and not isinstance(layer, Conv1D)
                found.append(Parameter(layer.name + dot + name, layer.name, variable, trained,
                                       turned, image if turned else None))
        if listed:
            image = None
    return found


def layer_names(model):
    """Of the layers that do something of note: those of the file, attention, the tied head."""
    return {p.layer for p in parameters(model)} | {
        layer.name for layer in model.layers if isinstance(layer, (Attention, TiedHead))}
