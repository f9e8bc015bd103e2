"""The residual networks (He et al. 2015) as functional Keras models: pictures as [N, H, W, C], the
names of the layers those of torchvision's files.

This file may know nothing of measuring.
"""
import keras
import tensorflow as tf


class BatchNorm(keras.layers.BatchNormalization):
    """By TensorFlow's fused kernel, and with what PyTorch keeps: the running variance is that of a
    sample (n - 1 in its denominator), as this kernel gives it; the layer's own has n there."""

    def __init__(self, name):
        super().__init__(momentum=0.9, epsilon=1e-5, name=name)  # PyTorch's momentum is 0.1

    def call(self, x, training=False):
        given = {"x": x, "scale": tf.convert_to_tensor(self.gamma),
                 "offset": tf.convert_to_tensor(self.beta), "epsilon": self.epsilon}
        running = (self.moving_mean, self.moving_variance)
        if not training:
            mean, variance = (tf.convert_to_tensor(kept) for kept in running)
            return tf.raw_ops.FusedBatchNormV3(**given, mean=mean, variance=variance,
                                               is_training=False).y
        found = tf.raw_ops.FusedBatchNormV3(**given, mean=[], variance=[], is_training=True)
        for kept, new in zip(running, (found.batch_mean, found.batch_variance)):
            kept.assign(self.momentum * kept + (1 - self.momentum) * new)
        return found.y


def conv(x, channels, size, stride, name):
    """Without bias.  A stride is padded as PyTorch does it, the same on all sides: Keras's "same"
    has less at the top and on the left."""
    if stride > 1 and size > 1:
        x = keras.layers.ZeroPadding2D(size // 2)(x)
    return keras.layers.Conv2D(channels, size, stride, padding="valid" if stride > 1 else "same",
                               use_bias=False, name=name)(x)


def conv_norm(x, channels, size, stride, names):
    return BatchNorm(names[1])(conv(x, channels, size, stride, names[0]))


def relu(x):
    return keras.layers.ReLU()(x)


def shortcut(x, channels, stride, name):
    if stride == 1 and channels == x.shape[-1]:
        return x
    return conv_norm(x, channels, 1, stride, (name + ".downsample.0", name + ".downsample.1"))


def named(name, index):
    return f"{name}.conv{index}", f"{name}.bn{index}"


def basic_block(x, width, stride, name):
    """Two 3×3 convolutions beside the shortcut."""
    y = relu(conv_norm(x, width, 3, stride, named(name, 1)))
    y = conv_norm(y, width, 3, 1, named(name, 2))
    return relu(keras.layers.Add()([y, shortcut(x, width, stride, name)]))


def bottleneck(x, width, stride, name):
    """1×1, 3×3, 1×1 beside the shortcut; v1.5: the 3×3 has the stride."""
    y = relu(conv_norm(x, width, 1, 1, named(name, 1)))
    y = relu(conv_norm(y, width, 3, stride, named(name, 2)))
    y = conv_norm(y, 4 * width, 1, 1, named(name, 3))
    return relu(keras.layers.Add()([y, shortcut(x, 4 * width, stride, name)]))


def groups(x, block, counts, width, classes):
    """Four groups of blocks, then the mean over the picture and a linear layer."""
    for group, count in enumerate(counts):
        for index in range(count):
            stride = 2 if group > 0 and index == 0 else 1
            x = block(x, 64 * width << group, stride, f"layer{group + 1}.{index}")
    return keras.layers.Dense(classes, name="fc")(keras.layers.GlobalAveragePooling2D()(x))


def stem(inputs, width):
    [images] = inputs
    x = relu(conv_norm(images, 64 * width, 7, 2, ("conv1", "bn1")))
    # Behind a ReLU a border of zeros changes no maximum.
    return keras.layers.MaxPooling2D(3, 2)(keras.layers.ZeroPadding2D(1)(x))


def resnet18(inputs, width):
    return groups(stem(inputs, width), basic_block, (2, 2, 2, 2), width, 1000)


def resnet50(inputs, width):
    return groups(stem(inputs, width), bottleneck, (3, 4, 6, 3), width, 1000)


def resnet18_cifar(inputs, width):
    """For small pictures: a 3×3 stem without stride and without pool."""
    [images] = inputs
    x = relu(conv_norm(images, 64 * width, 3, 1, ("conv1", "bn1")))
    return groups(x, basic_block, (2, 2, 2, 2), width, 10)
