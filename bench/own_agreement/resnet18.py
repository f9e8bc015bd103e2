"""torchvision's resnet18 at 64×64, or, where torchvision is not installed, a network as deep."""
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shorter = None
        if stride != 1 or inputs != outputs:
            self.shorter = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                         nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.shorter is None else self.shorter(x)))


def model():
    try:
        import torchvision
    except ImportError:
        blocks, inputs = [], 64
        for outputs in (64, 128, 256, 512):
            for k in range(2):
                stride = 2 if k == 0 and outputs > 64 else 1
                blocks.append(Block(inputs, outputs, stride))
                inputs = outputs
        return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                             nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1),
                             nn.Flatten(), nn.Linear(512, 1000))
    return torchvision.models.resnet18(weights=None)


def batch(n):
    return torch.rand(n, 3, 64, 64), torch.randint(1000, (n,))
