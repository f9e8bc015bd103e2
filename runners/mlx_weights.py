"""The arrays of a model of MLX by the names and in the layouts of weights files, which are
PyTorch's.
"""
import collections

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten


class Parameter(collections.namedtuple("Parameter", "name shape trained channels")):
    """An array with its name and shape in the weights file.

    Four dimensions are a convolution's: MLX has [out, kh, kw, in] where the file has
    [out, in, kh, kw].  `channels`: of the picture that a linear layer's inputs were flattened from,
    or 1: MLX flattens [H, W, C], the file's order of these inputs is that of [C, H, W].
    """

    def to_file(self, value):
        """The values, or their gradients, in the layout of the file."""
        value = np.asarray(value, dtype=np.float32)
        if value.ndim == 4:
            value = value.transpose(0, 3, 1, 2)
        elif self.channels > 1:
            value = value.reshape(len(value), -1, self.channels).transpose(0, 2, 1)
        return np.ascontiguousarray(value).reshape(self.shape)

    def from_file(self, value):
        if value.ndim == 4:
            value = value.transpose(0, 2, 3, 1)
        elif self.channels > 1:
            value = value.reshape(len(value), self.channels, -1).transpose(0, 2, 1).reshape(
                value.shape)
        return mx.array(np.ascontiguousarray(value))


def parameters(model, flattened=(None, 1)):
    """All that files of the model's weights hold, what is trained and what is not, layer by layer.

    `flattened`: the weight that reads a flattened picture, and the channels of that.
    """
    flat, channels = flattened
    trained = {name for name, _ in tree_flatten(model.trainable_parameters())}
    found = []
    for name, value in tree_flatten(model.parameters()):
        shape = value.shape
        if len(shape) == 4:
            shape = (shape[0], shape[3], *shape[1:3])
        found.append(Parameter(name, shape, name in trained, channels if name == flat else 1))
    return found


def values(model):
    """The arrays by their names."""
    return dict(tree_flatten(model.parameters()))
