"""The residual network for small pictures (He et al. 2015) as a module of MLX: pictures as
[N, H, W, C], the names of the layers those of torchvision's files.

This file may know nothing of measuring.
"""
import mlx.nn as nn

CLASSES = 10


def conv(inputs, outputs, size, stride=1):
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside the shortcut."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm(width)
        if stride > 1 or inputs != width:
            self.downsample = [conv(inputs, width, 1, stride), nn.BatchNorm(width)]

    def __call__(self, x):
        y = nn.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        for layer in self.get("downsample", ()):
            x = layer(x)
        return nn.relu(x + y)


def group(inputs, width, stride):
    return [BasicBlock(inputs, width, stride), BasicBlock(width, width, 1)]


class ResNet18Cifar(nn.Module):
    """A 3×3 stem without stride and without pool."""

    def __init__(self, width):
        super().__init__()
        width = 64 * width
        self.conv1, self.bn1 = conv(3, width, 3), nn.BatchNorm(width)
        self.layer1 = group(width, width, 1)
        self.layer2 = group(width, 2 * width, 2)
        self.layer3 = group(2 * width, 4 * width, 2)
        self.layer4 = group(4 * width, 8 * width, 2)
        self.fc = nn.Linear(8 * width, CLASSES)

    def __call__(self, x):
        x = nn.relu(self.bn1(self.conv1(x)))
        for block in (*self.layer1, *self.layer2, *self.layer3, *self.layer4):
            x = block(x)
        return self.fc(x.mean((1, 2)))
