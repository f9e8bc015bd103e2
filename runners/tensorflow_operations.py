"""Operations alone, each as one call of TensorFlow's: what `op:NAME` measures.

The operands are variables, so that every engine computes on the same numbers.  Each repetition
works on the result of the one before.  This file may know nothing of measuring.
"""
import inspect

import keras
import numpy as np
import tensorflow as tf


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

    def __init__(self, batch, size, times):
        rows = (batch * size, size)
        super().__init__(times, rows, [("a", rows), ("b", (size, size))])


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
        super().__init__(times, shape, [("x", shape, (0, 2, 3, 1)), *weights], (0, 2, 3, 1))

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


class Launch(OfOne):
    operate = staticmethod(tf.tanh)

    def __init__(self, batch, times):
        super().__init__(batch, 1, times)


OPERATIONS = {"op:matmul": Matmul, "op:attention": Attention, "op:conv2d": Conv2d, "op:add": Add,
              "op:gelu": Gelu, "op:softmax": Softmax, "op:launch": Launch}


def new_operation(job):
    kind = OPERATIONS[job.workload]
    wanted = inspect.signature(kind).parameters
    dimensions = {"batch": job.batch, **job.dimensions}
    return kind(**{name: value for name, value in dimensions.items() if name in wanted})
