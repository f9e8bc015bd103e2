"""Operations alone, each as one call of PyTorch's: what `op:NAME` measures.

The operands are parameters, so that every engine computes on the same numbers.  Each repetition
works on the result of the one before.  This file may know nothing of measuring.
"""
import torch
import torch.nn.functional as F
from torch import nn

import torch_forms
from torch_transformers import attend, join_heads, split_heads


class _Seeded(torch.autograd.Function):
    """The first number of a result, to which `upstream` comes back as gradient."""

    @staticmethod
    def forward(ctx, y, upstream):
        ctx.save_for_backward(upstream)
        return y[(0,) * y.dim()].clone()

    @staticmethod
    def backward(ctx, _):
        return ctx.saved_tensors[0], None


class NoUpdate:
    """In the place of an optimizer: gradients are computed, and nothing is changed."""

    def __init__(self, parameters):
        self.parameters = parameters

    def zero_grad(self, set_to_none=True):
        assert set_to_none
        for p in self.parameters:
            p.grad = None

    def step(self):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, _):
        pass


class Operation(nn.Module):
    def __init__(self, times, upstream, **operands):
        super().__init__()
        self.times = times
        for name, shape in operands.items():
            setattr(self, name, nn.Parameter(torch.empty(shape)))
        self.register_buffer("upstream", torch.empty(upstream))

    # Compiled with the operation, only this number of its result would be computed.
    @torch_forms.eager_only
    def loss(self, result):
        return _Seeded.apply(result, self.upstream)


class Matmul(Operation):
    def __init__(self, batch, size, m, n, k, times):
        m, n, k = m or size, n or size, k or size
        super().__init__(times, (batch * m, n), a=(batch * m, k), b=(k, n))

    def forward(self):
        y = self.a
        for _ in range(self.times):
            y = y @ self.b
        return y


class Bmm(Operation):
    def __init__(self, batch, size, m, n, k, times):
        m, n, k = m or size, n or size, k or size
        super().__init__(times, (batch, m, n), a=(batch, m, k), b=(batch, k, n))

    def forward(self):
        y = self.a
        for _ in range(self.times):
            y = torch.bmm(y, self.b)
        return y


class Attention(Operation):
    def __init__(self, batch, seq, width, heads, times):
        shape = (batch, seq, width)
        super().__init__(times, shape, q=shape, k=shape, v=shape)
        self.heads = heads

    def forward(self):
        k, v = split_heads(self.k, self.heads), split_heads(self.v, self.heads)
        y = split_heads(self.q, self.heads)
        for _ in range(self.times):
            y = attend(y, k, v)
        return join_heads(y)


class Conv2d(Operation):
    def __init__(self, batch, size, channels, kernel, times):
        shape = (batch, channels, size, size)
        super().__init__(times, shape, x=shape)
        for i in range(times):
            layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
            self.add_module(f"conv{i}", layer)

    def forward(self):
        y = self.x
        for layer in self.children():
            y = layer(y)
        return y


class Add(Operation):
    def __init__(self, batch, size, times):
        shape = (batch * size, size)
        super().__init__(times, shape, a=shape, b=shape)

    def forward(self):
        y = self.a
        for _ in range(self.times):
            y = y + self.b
        return y


class OfOne(Operation):
    """An operation of one matrix."""

    def __init__(self, batch, size, times):
        shape = (batch * size, size)
        super().__init__(times, shape, a=shape)

    def forward(self):
        y = self.a
        for _ in range(self.times):
            y = self.operate(y)
        return y


class Gelu(OfOne):
    operate = staticmethod(F.gelu)


class Softmax(OfOne):
    @staticmethod
    def operate(x):
        return x.softmax(-1)


class Copy(OfOne):
    operate = staticmethod(torch.clone)


class Link(nn.Module):
    """A copy of `a` between the memory of the host and that of the device: forward alone.  Pinned
    memory is copied from and to without a wait; from and to pageable memory PyTorch copies by way
    of pinned memory of its own, or waits."""

    def __init__(self, batch, size, pinned):
        super().__init__()
        self.pinned = pinned
        self.shape = (batch * size, size)
        self.register_buffer("place", torch.empty(0), persistent=False)  # is where the model is

    def on_host(self):
        return torch.empty(self.shape, pin_memory=self.pinned)

    def loss(self, result):
        if self.pinned:  # the host has not waited for its copy
            torch.cuda.synchronize(self.place.device)
        return result[0, 0].clone()


class Upload(Link):
    def __init__(self, batch, size, pinned):
        super().__init__(batch, size, pinned)
        self.register_buffer("a", self.on_host())

    def _apply(self, fn, *args, **kwargs):
        """Elsewhere goes the model but for what lies with the host."""
        a = self._buffers.pop("a")
        super()._apply(fn, *args, **kwargs)
        self._buffers["a"] = a
        return self

    def forward(self):
        return self.a.to(self.place.device, non_blocking=True)


class Download(Link):
    def __init__(self, batch, size, pinned):
        super().__init__(batch, size, pinned)
        self.a = nn.Parameter(torch.empty(self.shape))
        self.result = self.on_host() if pinned else None

    def forward(self):
        if self.pinned:
            return self.result.copy_(self.a.detach(), non_blocking=True)
        return self.a.to("cpu")


class Resize(Operation):
    def __init__(self, batch, size, channels, to, times):
        self.pixels = [size if i % 2 else to for i in range(times)]
        shape = (batch, channels, size, size)
        super().__init__(times, (*shape[:2], *2 * self.pixels[-1:]), x=shape)

    def forward(self):
        y = self.x
        for pixels in self.pixels:
            y = F.interpolate(y, (pixels, pixels), mode="bilinear", align_corners=False)
        return y


class Augment(Operation):
    """torchvision's RandomCrop, RandomHorizontalFlip and Normalize of a whole batch: the picture
    that each pixel shows is looked up, and moved as the draws say."""
    PADDING = 4
    MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)

    def __init__(self, batch, size, times):
        shape = (batch, 3, size, size)
        super().__init__(times, shape, x=shape)
        self.register_buffer("draws", torch.empty(batch, 3))
        for name, values in ("mean", self.MEAN), ("std", self.STD):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.register_buffer("pixels", torch.arange(size), persistent=False)

    def forward(self):
        size, padding = len(self.pixels), self.PADDING
        places = 2 * padding + 1
        moves = ((self.draws[:, :2] + 1) * (0.5 * places)).long().clamp(0, places - 1)
        flips = self.draws[:, 2:] < 0
        columns = torch.where(flips, size - 1 - self.pixels, self.pixels) + moves[:, 1:]
        rows = self.pixels + moves[:, :1]
        pictures = torch.arange(len(rows), device=rows.device).view(-1, 1, 1, 1)
        channels = torch.arange(3, device=rows.device).view(-1, 1, 1)
        y = self.x
        for _ in range(self.times):
            padded = F.pad(y, 4 * (padding,))
            cut = padded[pictures, channels, rows[:, None, :, None], columns[:, None, None, :]]
            y = (cut - self.mean) / self.std
        return y


class Launch(OfOne):
    operate = staticmethod(torch.tanh)

    def __init__(self, batch, times):
        super().__init__(batch, 1, times)


LINKS = ("op:upload", "op:download")


def refusal(workload, form, device):
    """What makes the operation impossible, in the form and on the device: (what is expected, found,
    and to do), or None."""
    if form == "pageable" and workload not in LINKS:
        return f"{' or '.join(LINKS)} for torch-pageable", workload, "use --engine torch"
    if workload in LINKS and device.type != "cuda":
        return (f"a device with memory of its own for {workload}", str(device),
                "name a CUDA device, or measure op:copy")
    if workload in LINKS and form not in (None, "pageable"):
        return f"torch or torch-pageable for {workload}", f"torch-{form}", "use one of these"
    return None


OPERATIONS = {"op:matmul": Matmul, "op:bmm": Bmm, "op:attention": Attention, "op:conv2d": Conv2d,
              "op:add": Add, "op:gelu": Gelu, "op:softmax": Softmax, "op:copy": Copy,
              "op:upload": Upload, "op:download": Download,
              "op:resize": Resize, "op:augment": Augment, "op:launch": Launch}
