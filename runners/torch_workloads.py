"""The workloads as ordinary PyTorch modules, as their users write them.

The names of the layers are those of the weights file.  This file may know nothing of measuring.
"""
import inspect

import torch
import torch.nn.functional as F
from torch import nn

import philox
import torch_forms
import torch_operations
import torch_resnet
import torch_transformers

CLASSES = 10  # of each of the small networks


class Classifier(nn.Module):
    """Logits [batch, classes] for labels [batch]."""

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels)


class MlpMnist(Classifier):
    def __init__(self, width, size):
        super().__init__()
        self.fc1 = nn.Linear(size * size, 128 * width)
        self.fc2 = nn.Linear(128 * width, 64 * width)
        self.fc3 = nn.Linear(64 * width, CLASSES)

    def forward(self, x):
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class CnnMnist(Classifier):
    def __init__(self, width, size):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32 * width, 3)
        self.conv2 = nn.Conv2d(32 * width, 64 * width, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(64 * width * ((size - 4) // 2) ** 2, 128 * width)
        self.dropout2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128 * width, CLASSES)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x).flatten(1)
        x = F.relu(self.fc1(x))
        x = self.dropout2(x)
        return self.fc2(x)


class CnnCifar(Classifier):
    def __init__(self, width, size):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6 * width, 5)
        self.conv2 = nn.Conv2d(6 * width, 16 * width, 5)
        self.fc1 = nn.Linear(16 * width * (((size - 4) // 2 - 4) // 2) ** 2, 120 * width)
        self.fc2 = nn.Linear(120 * width, 84 * width)
        self.fc3 = nn.Linear(84 * width, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class CnnFashion(Classifier):
    def __init__(self, width, size):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16 * width, 3)
        self.conv2 = nn.Conv2d(16 * width, 32 * width, 3)
        self.fc1 = nn.Linear(32 * width * (((size - 2) // 2 - 2) // 2) ** 2, 40 * width)
        self.fc2 = nn.Linear(40 * width, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        return self.fc2(x)


class Cnn5Fashion(Classifier):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32 * width, 3, padding=1)
        self.conv2 = nn.Conv2d(32 * width, 64 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(64 * width, 96 * width, 3, padding=1)
        self.conv4 = nn.Conv2d(96 * width, 128 * width, 3, padding=1)
        self.conv5 = nn.Conv2d(128 * width, 256 * width, 3, padding=1)
        self.fc1 = nn.Linear(256 * width, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv3(x))
        x = F.max_pool2d(F.relu(self.conv4(x)), 2)
        x = F.relu(self.conv5(x))
        x = x.mean((2, 3))
        return self.fc1(x)


WORKLOADS = {
    "mlp-mnist": MlpMnist, "cnn-mnist": CnnMnist, "cnn-cifar": CnnCifar,
    "cnn-fashion": CnnFashion, "cnn5-fashion": Cnn5Fashion,
    "resnet18-cifar": torch_resnet.ResNet18Cifar, "resnet18": torch_resnet.ResNet18,
    "resnet50": torch_resnet.ResNet50, "encoder": torch_transformers.Encoder,
    "clip": torch_transformers.Clip, "bert-base": torch_transformers.BertBase,
    "gpt2": torch_transformers.Gpt2, "clip-b16": torch_transformers.ClipB16,
    "clip-l14": torch_transformers.ClipL14,
    **torch_operations.OPERATIONS,
}


def new_model(job):
    """The job's model in its dimensions; a class names those that make a difference to it."""
    model = WORKLOADS[job.workload]
    wanted = inspect.signature(model).parameters
    dimensions = dict(job.dimensions)
    if job.workload in torch_operations.OPERATIONS:
        dimensions["batch"] = job.batch  # their operands are of it
        dimensions["pinned"] = job.form != "pageable"
    return model(**{name: value for name, value in dimensions.items() if name in wanted})


def count_right(logits, targets):
    """How many rows of logits are largest at their target; a batch of pairs at its diagonal."""
    target = targets[0] if targets else torch.arange(len(logits), device=logits.device)
    return (logits.argmax(-1) == target).sum()


class CounterDropout(nn.Module):
    """Dropout with the protocol's masks, the same bits in every engine; for parity, not speed."""

    def __init__(self, p, seed, layer, place):
        super().__init__()
        self.p, self.seed, self.layer = p, seed, layer
        self.rank, self.workers = place
        self.step = 0

    def forward(self, x):
        if not self.training:
            return x
        return x * self._factor(x)

    @torch_forms.eager_only
    def _factor(self, x):
        drawn = philox.uniform(self.workers * x.numel(), self.seed, self.step, self.layer)
        u = torch.from_numpy(drawn[self.rank * x.numel():][:x.numel()])
        keep = (u >= self.p).to(x.dtype).mul_(1.0 / (1.0 - self.p))
        return keep.view(x.shape).to(x.device)


def use_counter_dropout(model, seed, place=(0, 1)):
    """Put CounterDropout in the place of each nn.Dropout, however deep it lies; returns the new
    layers, in the order in which the model names them.  `place`: of (rank, workers), whose part of
    the batch this is."""
    found = [(parent, name, layer) for parent in model.modules()
             for name, layer in parent.named_children() if isinstance(layer, nn.Dropout)]
    order = [layer for layer in model.modules() if isinstance(layer, nn.Dropout)]
    swapped = [CounterDropout(layer.p, seed, k, place) for k, layer in enumerate(order)]
    for parent, name, layer in found:
        setattr(parent, name, swapped[next(k for k, old in enumerate(order) if old is layer)])
    return swapped
