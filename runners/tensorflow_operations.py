"""Operations alone, each as one call of TensorFlow's: what `op:NAME` measures.

The operands are variables, so that every engine computes on the same numbers.  Each repetition
works on the result of the one before.  This file may know nothing of measuring.
"""
import inspect

import keras
import numpy as np
import tensorflow as tf


LAST = (0, 2, 3, 1)  # pictures with their channels last


class Operand:
    """A variable with its name in the weights file.  `order`: which dimension of the file each of
    its own is; TensorFlow has pictures as [N, H, W, C] and windows as [kh, kw, in, out]."""

    def __init__(self, name, shape, order=None, trained=True):
        self.name, self.layer, self.shape, self.trained = name, name, tuple(shape), trained
        self.order = order or tuple(range(len(shape)))
        self.variable = tf.Variable(np.zeros([shape[d] for d in self.order], np.float32),
                                    trainable=trained)

    def from_file(self, value):
        return np.ascontiguousarray(value.transpose(self.order))

    def to_file(self, value):
        return np.ascontiguousarray(np.asarray(value, np.float32).transpose(np.argsort(self.order)))


@tf.custom_gradient
def _seeded(y, upstream):
    """The first number of a result, to which `upstream` comes back as gradient."""
    return y[(0,) * len(y.shape)], lambda _: (upstream, None)


class NoUpdate:
    """In the place of an optimizer: nothing is changed."""

    variables = ()

    def apply_gradients(self, pairs):
        pass


class Operation:
    """In the place of a Keras model."""

    layers = ()

    def __init__(self, times, upstream, operands, order=None):
        self.times = times
        self.upstream = Operand("upstream", upstream, order, trained=False)
        self.operands = [Operand(name, *more) for name, *more in operands]
        self.parameters = [*self.operands, self.upstream]
        self.variables = [p.variable for p in self.parameters]

    def __call__(self, _, training):
        # As Keras's layers do by their policy.
        kind = keras.config.dtype_policy().compute_dtype
        y, *others = [tf.cast(p.variable, kind) for p in self.operands]
        return self.compute(y, *others)

    def compute(self, y, *others):
        for _ in range(self.times):
            y = self.operate(y, *others)
        return y

    def loss(self, result):
        return _seeded(result, self.upstream.variable)

    def result_to_file(self, result):
        return self.upstream.to_file(result)


class Matmul(Operation):
    operate = staticmethod(tf.matmul)

    def __init__(self, batch, size, m, n, k, times):
        m, n, k = m or size, n or size, k or size
        super().__init__(times, (batch * m, n), [("a", (batch * m, k)), ("b", (k, n))])


class Bmm(Operation):
    operate = staticmethod(tf.matmul)

    def __init__(self, batch, size, m, n, k, times):
        m, n, k = m or size, n or size, k or size
        super().__init__(times, (batch, m, n), [("a", (batch, m, k)), ("b", (batch, k, n))])


class Attention(Operation):
    def __init__(self, batch, seq, width, heads, times):
        shape = (batch, seq, width)
        super().__init__(times, shape, [("q", shape), ("k", shape), ("v", shape)])
        self.heads, self.shape = heads, shape

    def split(self, x):
        batch, seq, width = self.shape
        return tf.transpose(tf.reshape(x, [batch, seq, self.heads, width // self.heads]),
                            [0, 2, 1, 3])

    def compute(self, y, *others):
        y, k, v = self.split(y), *map(self.split, others)
        scale = (self.shape[2] // self.heads) ** -0.5
        for _ in range(self.times):
            y = tf.matmul(tf.nn.softmax(tf.matmul(y, k, transpose_b=True) * scale), v)
        return tf.reshape(tf.transpose(y, [0, 2, 1, 3]), self.shape)


class Conv2d(Operation):
    def __init__(self, batch, size, channels, kernel, times):
        shape, window = (batch, channels, size, size), (channels, channels, kernel, kernel)
        weights = [(f"conv{i}.weight", window, (2, 3, 1, 0)) for i in range(times)]
        super().__init__(times, shape, [("x", shape, LAST), *weights], LAST)

    def compute(self, y, *others):
        for weight in others:
            y = tf.nn.conv2d(y, weight, 1, "SAME")
        return y


class Add(Operation):
    operate = staticmethod(tf.add)

    def __init__(self, batch, size, times):
        shape = (batch * size, size)
        super().__init__(times, shape, [("a", shape), ("b", shape)])


class OfOne(Operation):
    """An operation of one matrix."""

    def __init__(self, batch, size, times):
        shape = (batch * size, size)
        super().__init__(times, shape, [("a", shape)])


class Gelu(OfOne):
    operate = staticmethod(tf.nn.gelu)


class Softmax(OfOne):
    operate = staticmethod(tf.nn.softmax)


class Copy(OfOne):
    @staticmethod
    @tf.custom_gradient
    def operate(x):
        """What tf.identity gives may be the same memory."""
        return tf.raw_ops.DeepCopy(x=x), lambda dy: dy


class Resize(Operation):
    def __init__(self, batch, size, channels, to, times):
        self.pixels = [size if i % 2 else to for i in range(times)]
        shape = (batch, channels, size, size)
        super().__init__(times, (*shape[:2], *2 * self.pixels[-1:]), [("x", shape, LAST)], LAST)

    def compute(self, y, *_):
        for pixels in self.pixels:
            y = tf.cast(tf.image.resize(y, (pixels, pixels)), y.dtype)
        return y


class Augment(Operation):
    """A random crop, flip and normalisation of a whole batch: the picture that each pixel shows is
    looked up, and moved as the draws say."""
    PADDING = 4
    MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)

    def __init__(self, batch, size, times):
        shape = (batch, 3, size, size)
        super().__init__(times, shape, [("x", shape, LAST)], LAST)
        self.draws = Operand("draws", (batch, 3), trained=False)
        self.parameters.insert(1, self.draws)
        self.variables.insert(1, self.draws.variable)
        self.size = size

    def compute(self, y, *_):
        pixels, padding = tf.range(self.size), self.PADDING
        places = 2 * padding + 1
        moves = tf.cast((self.draws.variable[:, :2] + 1) * (0.5 * places), tf.int32)
        moves = tf.clip_by_value(moves, 0, places - 1)
        flips = self.draws.variable[:, 2:] < 0
        columns = tf.where(flips, self.size - 1 - pixels, pixels) + moves[:, 1:]
        rows = pixels + moves[:, :1]
        around = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
        mean, std = (tf.constant(values, y.dtype) for values in (self.MEAN, self.STD))
        for _ in range(self.times):
            y = tf.gather(tf.pad(y, around), rows, axis=1, batch_dims=1)
            y = (tf.gather(y, columns, axis=2, batch_dims=1) - mean) / std
        return y


class Launch(OfOne):
    operate = staticmethod(tf.tanh)

    def __init__(self, batch, times):
        super().__init__(batch, 1, times)


OPERATIONS = {"op:matmul": Matmul, "op:bmm": Bmm, "op:attention": Attention, "op:conv2d": Conv2d,
              "op:add": Add, "op:gelu": Gelu, "op:softmax": Softmax, "op:copy": Copy,
              "op:resize": Resize, "op:augment": Augment, "op:launch": Launch}


def new_operation(job):
    kind = OPERATIONS[job.workload]
    wanted = inspect.signature(kind).parameters
    dimensions = {"batch": job.batch, **job.dimensions}
    return kind(**{name: value for name, value in dimensions.items() if name in wanted})
