"""Batches of a data set in the memory of the host, as tf.data brings them to a device.

The next batch is gathered, and on its way, while the device computes the one before.  Knows no
model.
"""
import tensorflow as tf


def batches(images, labels, rows, device_path):
    """Without end: (images, labels) on the device for each row of indices in `rows`, in order."""
    with tf.device("/CPU:0"):
        images, labels = tf.constant(images), tf.constant(labels)
        dataset = tf.data.Dataset.from_tensor_slices(rows).repeat().map(
            lambda index: (tf.gather(images, index), tf.gather(labels, index)))
    return iter(dataset.apply(tf.data.experimental.prefetch_to_device(device_path, 1)))
