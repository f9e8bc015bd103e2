"""An MLP, for `breakeven bench examples/mymodel.py` (docs/own-models.md)."""
import torch
from torch import nn


def model():
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(),
                         nn.Linear(256, 128), nn.ReLU(),
                         nn.Linear(128, 10))


def batch(n):
    return torch.rand(n, 784), torch.randint(10, (n,))
