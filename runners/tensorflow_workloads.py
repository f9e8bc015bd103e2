"""The workloads as Keras models, as their users write them: pictures as [N, H, W, C].

Owns the way between Keras's layouts and those of the weights file, which are PyTorch's.  The names
of the layers are those of the file.  This file may know nothing of measuring.
"""
import collections

import keras
import numpy as np
from keras import layers

import philox

CLASSES = 10  # of each of them


def mlp_mnist(dropout, width):
    return [layers.Flatten(),
            layers.Dense(128 * width, activation="relu", name="fc1"),
            layers.Dense(64 * width, activation="relu", name="fc2"),
            layers.Dense(CLASSES, name="fc3")]


def cnn_mnist(dropout, width):
    return [layers.Conv2D(32 * width, 3, activation="relu", name="conv1"),
            layers.Conv2D(64 * width, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(2),
            dropout(0.25),
            layers.Flatten(),
            layers.Dense(128 * width, activation="relu", name="fc1"),
            dropout(0.5),
            layers.Dense(CLASSES, name="fc2")]


def cnn_cifar(dropout, width):
    return [layers.Conv2D(6 * width, 5, activation="relu", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16 * width, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120 * width, activation="relu", name="fc1"),
            layers.Dense(84 * width, activation="relu", name="fc2"),
            layers.Dense(CLASSES, name="fc3")]


def cnn_fashion(dropout, width):
    return [layers.Conv2D(16 * width, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32 * width, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(40 * width, activation="relu", name="fc1"),
            layers.Dense(CLASSES, name="fc2")]


def cnn5_fashion(dropout, width):
    def conv(channels, name):
        return layers.Conv2D(channels * width, 3, padding="same", activation="relu", name=name)

    return [conv(32, "conv1"), layers.MaxPooling2D(2), conv(64, "conv2"), layers.MaxPooling2D(2),
            conv(96, "conv3"), conv(128, "conv4"), layers.MaxPooling2D(2), conv(256, "conv5"),
            layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, name="fc1")]


WORKLOADS = {"mlp-mnist": mlp_mnist, "cnn-mnist": cnn_mnist, "cnn-cifar": cnn_cifar,
             "cnn-fashion": cnn_fashion, "cnn5-fashion": cnn5_fashion}


class CounterDropout(layers.Layer):
    """Dropout with the protocol's masks, the same bits in every engine; for parity, not speed."""

    def __init__(self, rate, seed, index, batch):
        super().__init__()
        self.rate, self.seed, self.index, self.batch = rate, seed, index, batch

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(self.batch,) + tuple(input_shape[1:]), name="factor",
                                      trainable=False, initializer="ones")

    def set_step(self, step):
        shape = self.factor.shape
        planar = (shape[0], shape[-1]) + tuple(shape[1:-1])  # the protocol counts in NCHW order
        u = philox.uniform(int(np.prod(shape)), self.seed, step, self.index).reshape(planar)
        factor = np.where(u >= self.rate, np.float32(1 / (1 - self.rate)), np.float32(0))
        self.factor.assign(np.moveaxis(factor, 1, -1))

    def call(self, x, training=False):
        return x * self.factor if training else x


def new_model(job, counter):
    """The model of a job, and its layers of counted dropout, in order (without `counter` none)."""
    channels, rows, columns = job.shape
    drawn, counted = [], []

    def dropout(rate):
        if counter:
            layer = CounterDropout(rate, job.seed, len(counted), job.batch)
            counted.append(layer)
        else:
            # Layers of one seed would draw the same numbers.
            layer = layers.Dropout(rate, seed=(job.seed + len(drawn)) % (1 << 31))
            drawn.append(layer)
        return layer

    listed = WORKLOADS[job.workload](dropout, job.dimensions["width"])
    return keras.Sequential([keras.Input((rows, columns, channels)), *listed]), counted


class Parameter(collections.namedtuple("Parameter", "name variable image")):
    """A trainable variable with its name in the weights file.

    `image` is the height, width and channels that a dense kernel's inputs were flattened from, or
    None: Keras flattens [H, W, C], the file's order of these inputs is that of [C, H, W].
    """

    @property
    def shape(self):
        """In the weights file."""
        shape = tuple(self.variable.shape)
        return (shape[-1], *shape[2:-1], *shape[:2]) if len(shape) == 4 else shape[::-1]

    def to_file(self, value):
        """The variable's values, or their gradients, in the layout of the file."""
        value = np.asarray(value, dtype=np.float32)
        if self.image:
            value = value.reshape(*self.image, -1)
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        return np.ascontiguousarray(value.T if value.ndim == 2 else value).reshape(self.shape)

    def from_file(self, value):
        if self.image:
            height, width, channels = self.image
            value = value.reshape(-1, channels, height, width)
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        return (value.T if value.ndim == 2 else value).reshape(self.variable.shape)


def parameters(model):
    """The model's trainable variables in the order of the file."""
    found, image = [], None
    for layer in model.layers:
        if isinstance(layer, layers.Flatten):
            image = tuple(layer.input.shape[1:])
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            found.append(Parameter(layer.name + ".weight", layer.kernel, image))
            found.append(Parameter(layer.name + ".bias", layer.bias, None))
            image = None
    return found
