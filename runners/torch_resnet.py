"""The residual networks (He et al. 2015), as torchvision's users know them: the names of the layers
are those of torchvision's files.

This file may know nothing of measuring.
"""
import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside the shortcut."""

    expansion = 1

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 beside the shortcut; v1.5: the 3×3 has the stride."""

    expansion = 4

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(channels, 4 * width, stride)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


def _shortcut(channels, out_channels, stride):
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride, bias=False),
                         nn.BatchNorm2d(out_channels))


class ResNet(nn.Module):
    """Four groups of blocks behind a stem, then the mean over the picture and a linear layer."""

    def __init__(self, block, counts, width, classes):
        super().__init__()
        self._add_stem(64 * width)
        channels = 64 * width
        for group, count in enumerate(counts):
            blocks = []
            for index in range(count):
                stride = 2 if group > 0 and index == 0 else 1
                blocks.append(block(channels, 64 * width << group, stride))
                channels = block.expansion * (64 * width << group)
            setattr(self, f"layer{group + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def _add_stem(self, channels):
        self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1)

    def forward(self, images):
        x = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels)


class ResNet18(ResNet):
    def __init__(self, width):
        super().__init__(BasicBlock, (2, 2, 2, 2), width, 1000)


class ResNet50(ResNet):
    def __init__(self, width):
        super().__init__(Bottleneck, (3, 4, 6, 3), width, 1000)


class ResNet18Cifar(ResNet):
    """For small pictures: a 3×3 stem without stride and without pool."""

    def __init__(self, width):
        super().__init__(BasicBlock, (2, 2, 2, 2), width, 10)

    def _add_stem(self, channels):
        self.conv1 = nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.Identity()
