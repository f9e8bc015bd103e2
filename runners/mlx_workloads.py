"""The workloads as modules of MLX, as their users write them: pictures as [N, H, W, C].

The names of the layers are those of the weights file.  This file may know nothing of measuring.
"""
import inspect
import types

import mlx.core as mx
import mlx.nn as nn
import numpy as np

import mlx_resnet
import mlx_transformers
import mlx_weights
import philox

CLASSES = 10  # of each of the small networks


class Small(nn.Module):
    """Logits [batch, classes].  A linear layer behind a picture reads it as [H, W, C]."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2)

    def flattened(self):
        """(the weight that reads a flattened picture, or None; the picture's channels)"""
        return None, 1


class MlpMnist(Small):
    def __init__(self, width, size):
        super().__init__()
        self.fc1 = nn.Linear(size * size, 128 * width)
        self.fc2 = nn.Linear(128 * width, 64 * width)
        self.fc3 = nn.Linear(64 * width, CLASSES)

    def __call__(self, x):
        x = nn.relu(self.fc1(x.flatten(1)))
        return self.fc3(nn.relu(self.fc2(x)))


class CnnMnist(Small):
    def __init__(self, width, size):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32 * width, 3)
        self.conv2 = nn.Conv2d(32 * width, 64 * width, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(64 * width * ((size - 4) // 2) ** 2, 128 * width)
        self.dropout2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128 * width, CLASSES)

    def flattened(self):
        return "fc1.weight", self.conv2.weight.shape[0]

    def __call__(self, x):
        x = nn.relu(self.conv2(nn.relu(self.conv1(x))))
        x = self.dropout1(self.pool(x)).flatten(1)
        return self.fc2(self.dropout2(nn.relu(self.fc1(x))))


class CnnCifar(Small):
    def __init__(self, width, size):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6 * width, 5)
        self.conv2 = nn.Conv2d(6 * width, 16 * width, 5)
        self.fc1 = nn.Linear(16 * width * (((size - 4) // 2 - 4) // 2) ** 2, 120 * width)
        self.fc2 = nn.Linear(120 * width, 84 * width)
        self.fc3 = nn.Linear(84 * width, CLASSES)

    def flattened(self):
        return "fc1.weight", self.conv2.weight.shape[0]

    def __call__(self, x):
        x = self.pool(nn.relu(self.conv1(x)))
        x = self.pool(nn.relu(self.conv2(x))).flatten(1)
        return self.fc3(nn.relu(self.fc2(nn.relu(self.fc1(x)))))


class CnnFashion(Small):
    def __init__(self, width, size):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16 * width, 3)
        self.conv2 = nn.Conv2d(16 * width, 32 * width, 3)
        self.fc1 = nn.Linear(32 * width * (((size - 2) // 2 - 2) // 2) ** 2, 40 * width)
        self.fc2 = nn.Linear(40 * width, CLASSES)

    def flattened(self):
        return "fc1.weight", self.conv2.weight.shape[0]

    def __call__(self, x):
        x = self.pool(nn.relu(self.conv1(x)))
        x = self.pool(nn.relu(self.conv2(x))).flatten(1)
        return self.fc2(nn.relu(self.fc1(x)))


class Cnn5Fashion(Small):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32 * width, 3, padding=1)
        self.conv2 = nn.Conv2d(32 * width, 64 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(64 * width, 96 * width, 3, padding=1)
        self.conv4 = nn.Conv2d(96 * width, 128 * width, 3, padding=1)
        self.conv5 = nn.Conv2d(128 * width, 256 * width, 3, padding=1)
        self.fc1 = nn.Linear(256 * width, CLASSES)

    def __call__(self, x):
        x = self.pool(nn.relu(self.conv1(x)))
        x = self.pool(nn.relu(self.conv2(x)))
        x = nn.relu(self.conv3(x))
        x = self.pool(nn.relu(self.conv4(x)))
        return self.fc1(nn.relu(self.conv5(x)).mean((1, 2)))


WORKLOADS = {
    "mlp-mnist": MlpMnist, "cnn-mnist": CnnMnist, "cnn-cifar": CnnCifar,
    "cnn-fashion": CnnFashion, "cnn5-fashion": Cnn5Fashion,
    "resnet18-cifar": mlx_resnet.ResNet18Cifar, "encoder": mlx_transformers.Encoder,
    "gpt2": mlx_transformers.Gpt2,
}


def new_model(job):
    """The job's model in its dimensions; a class names those that make a difference to it."""
    model = WORKLOADS[job.workload]
    wanted = inspect.signature(model).parameters
    return model(**{name: value for name, value in job.dimensions.items() if name in wanted})


def parameters(model):
    """As mlx_weights.py has them."""
    return mlx_weights.parameters(
        model, model.flattened() if isinstance(model, Small) else (None, 1))


class CounterDropout(nn.Module):
    """Dropout with the protocol's masks, the same bits in every engine; for parity, not speed."""

    def __init__(self, p, seed, index):
        super().__init__()
        self.p, self.seed, self.index = p, seed, index
        self.seen = types.SimpleNamespace(shape=None)  # no array: nothing that is trained or kept
        self._factor = mx.array(1.0)

    def set_step(self, step):
        shape = self.seen.shape
        planar = (shape[0], shape[-1], *shape[1:-1])  # the protocol counts in NCHW order
        u = philox.uniform(int(np.prod(shape)), self.seed, step, self.index).reshape(planar)
        factor = np.where(u >= self.p, np.float32(1 / (1 - self.p)), np.float32(0))
        self._factor = mx.array(np.ascontiguousarray(np.moveaxis(factor, 1, -1)))

    def __call__(self, x):
        self.seen.shape = self.seen.shape or x.shape  # an evaluation's last batch may be short
        return x * self._factor if self.training else x


def use_counter_dropout(model, seed):
    """Put CounterDropout in the place of each dropout of the model itself, in their order."""
    names = [name for name, layer in model.children().items() if isinstance(layer, nn.Dropout)]
    for index, name in enumerate(names):
        model[name] = CounterDropout(1 - model[name]._p_1, seed, index)
    return [model[name] for name in names]
