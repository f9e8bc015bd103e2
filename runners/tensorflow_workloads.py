"""The workloads as Keras models, as their users write them: pictures as [N, H, W, C].

The names of the layers are those of the weights file.  This file may know nothing of measuring.
"""
import inspect

import keras
import numpy as np
from keras import layers

import philox
import tensorflow_operations
import tensorflow_resnet
import tensorflow_transformers
from runner_protocol import Failure

CLASSES = 10  # of each of the small networks


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


# Lists of layers.
SMALL = {"mlp-mnist": mlp_mnist, "cnn-mnist": cnn_mnist, "cnn-cifar": cnn_cifar,
         "cnn-fashion": cnn_fashion, "cnn5-fashion": cnn5_fashion}
# Functions of the inputs, in their order, and of the dimensions that make a difference to them.
LARGE = {"resnet18-cifar": tensorflow_resnet.resnet18_cifar,
         "resnet18": tensorflow_resnet.resnet18, "resnet50": tensorflow_resnet.resnet50,
         "encoder": tensorflow_transformers.encoder,
         "bert-base": tensorflow_transformers.bert_base, "gpt2": tensorflow_transformers.gpt2}
WORKLOADS = (*SMALL, *LARGE, *tensorflow_operations.OPERATIONS)


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


def _small_model(job, inputs, counter):
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

    listed = SMALL[job.workload](dropout, job.dimensions["width"])
    return keras.Sequential([*inputs, *listed]), counted


def _check_batch_norms(job, model):
    """What PyTorch refuses too: the variance of one number says nothing."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = job.batch * int(np.prod(layer.input.shape[1:-1]))
            if count < 2:
                raise Failure("USAGE", f"more than one value a channel for the batch norm "
                              f"'{layer.name}' in training", count,
                              "use a larger batch, or larger pictures")


def new_model(job, counter):
    """The model of a job, and its layers of counted dropout, in order (without `counter` none)."""
    if job.workload in tensorflow_operations.OPERATIONS:
        return tensorflow_operations.new_operation(job), []
    inputs = []
    for name in job.inputs:
        shape, is_picture = job.fields[name].shape, job.fields[name].dtype == np.uint8
        inputs.append(keras.Input((*shape[1:], shape[0]) if is_picture else shape, name=name,
                                  dtype="float32" if is_picture else "int64"))
    if job.workload in SMALL:
        return _small_model(job, inputs, counter)
    build = LARGE[job.workload]
    wanted = inspect.signature(build).parameters
    dimensions = {name: value for name, value in job.dimensions.items() if name in wanted}
    model = keras.Model(inputs, build(inputs, **dimensions))
    if job.training:
        _check_batch_norms(job, model)
    return model, []
