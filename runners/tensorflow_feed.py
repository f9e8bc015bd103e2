"""The samples of a data set as TensorFlow gathers them: on the device, or in the memory of the
host, from where tf.data brings the batches.

There the next batch is gathered, and on its way, while the device computes the one before.  Knows
no model.
"""
import numpy as np
import tensorflow as tf

import runner_job

PACKED = 8  # bytes of pictures in one number of 64 bits


def pack(images):
    """[N, C, H, W] bytes as [N, H·W·C / 8] numbers: TensorFlow gathers no bytes on a GPU.

    The last number is filled up with zeros.
    """
    rows = np.moveaxis(images, 1, -1).reshape(len(images), -1)
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % PACKED))).view(np.int64)


class Samples:
    """One field of the data, pictures of bytes or whole numbers: `values` of 64 bits each, which a
    batch is gathered from.  Windows over a text share its memory.
    """

    def __init__(self, values):
        self.shape = values.shape[1:]
        self.is_picture = values.dtype == np.uint8
        self.stride, self.offsets = None, None
        if self.is_picture:
            values = pack(values)
        elif runner_job.overlaps(values):
            self.offsets = np.arange(self.shape[0])
            values, self.stride = runner_job.window_text(values)
        self.values = values if self.is_picture else values.astype(np.int64)

    def gather(self, values, rows):
        """The samples of these rows, of `values` wherever they lie."""
        if self.stride is not None:
            rows = rows[:, None] * self.stride + self.offsets
        return tf.gather(values, rows)

    def unpack(self, gathered):
        """Pictures as bytes [batch, H, W, C]; whole numbers are what they are."""
        if not self.is_picture:
            return gathered
        count = int(np.prod(self.shape))
        pixels = tf.reshape(tf.bitcast(gathered, tf.uint8), [-1, gathered.shape[1] * PACKED])
        if count % PACKED:
            pixels = pixels[:, :count]
        return tf.reshape(pixels, [-1, *self.shape[1:], self.shape[0]])


def batches(fields, rows, device_path):
    """Without end: a batch of each of the fields on the device for each row of indices in `rows`,
    in order."""
    with tf.device("/CPU:0"):
        held = [tf.constant(field.values) for field in fields]
        dataset = tf.data.Dataset.from_tensor_slices(rows).repeat().map(
            lambda index: tuple(field.gather(values, index)
                                for field, values in zip(fields, held)))
    return iter(dataset.apply(tf.data.experimental.prefetch_to_device(device_path, 1)))
