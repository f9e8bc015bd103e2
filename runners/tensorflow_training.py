"""One training or inference of a workload by TensorFlow, on one device.

Owns data, model, optimizer and the compiled step.  A step is what a good user's custom loop does:
a tf.function that gathers the batch, computes and updates.  It reads nothing back and never waits.
"""
import keras
import numpy as np
import tensorflow as tf

import runner_job
import tensorflow_feed
import tensorflow_libraries as libraries
import tensorflow_workloads as workloads
from runner_protocol import member

PACKED = 8  # bytes of pictures in one number of 64 bits


def pack(images):
    """[N, C, H, W] bytes as [N, H·W·C / 8] numbers: TensorFlow gathers no bytes on a GPU.

    The last number is filled up with zeros.
    """
    rows = np.moveaxis(images, 1, -1).reshape(len(images), -1)
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % PACKED))).view(np.int64)


class Adam(keras.optimizers.Adam):
    """With epsilon beside the corrected root, as in the paper and in PyTorch.

    Keras adds it to the uncorrected one (the paper's "epsilon hat", the end of section 2): what is
    added there is made smaller by the same correction.
    """

    def update_step(self, gradient, variable, learning_rate):
        epsilon, step = self.epsilon, tf.cast(self.iterations + 1, tf.float32)
        self.epsilon = epsilon * tf.sqrt(1 - tf.pow(self.beta_2, step))
        try:
            super().update_step(gradient, variable, learning_rate)
        finally:
            self.epsilon = epsilon


class Session(runner_job.Job):
    """What `prepare` made: data and model on the device, and the number of the next step."""

    def __init__(self, request, device, threads):
        super().__init__(request, workloads.WORKLOADS)
        self.shape = self.fields["images"].shape
        self.device = device
        libraries.set_precision(device, self.precision)
        fields, order = self.read_data(request)
        images, labels = fields["images"], fields["labels"]
        normalization = self.read_normalization(request)["images"]
        libraries.settle(device, threads)
        with self.on_device():
            self.mean, self.scale = (tf.constant(numbers, tf.float32) for numbers in normalization)
            self._place_data(pack(images), labels.astype(np.int64),
                             order[:self.usable].astype(np.int64))
            self._new_model(self.dropout)
            shapes = {p.name: p.shape for p in self.parameters}
            self.weights = runner_job.load_weights(member(request, "weights", str), shapes)
            self.parameter_count = sum(value.size for value in self.weights.values())
            self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            self._begin()

    def on_device(self):
        return tf.device(self.device.path)

    def _place_data(self, images, labels, order):
        # A processor's data lies on the host whatever is asked for.
        self.resident = self.device == libraries.CPU or not self.on_host
        self.rows, self.images, self.labels = order.reshape(-1, self.batch), images, labels
        if not self.resident:
            return
        try:
            self.images, self.labels = tf.constant(images), tf.constant(labels)
            # A number given to each step would be copied to the device, which waits for it.
            self.rows, self.turn = tf.constant(self.rows), tf.Variable(0, dtype=tf.int64)
        except tf.errors.ResourceExhaustedError:
            self.resident = False
            self.rows, self.images, self.labels = order.reshape(-1, self.batch), images, labels
            self.warnings.append(f"the {images.nbytes >> 20} MiB of images do not fit on the "
                                 "device: each batch is copied there from host memory")

    def _new_model(self, dropout):
        self.model, self.counted = workloads.new_model(self, dropout == "counter")
        self.parameters = workloads.parameters(self.model)
        self.variables = [p.variable for p in self.parameters]

    def reset(self, dropout):
        """A new model with the prepared weights, a new optimizer, step 0."""
        with self.on_device():
            self._new_model(dropout)
            self._begin()

    def _begin(self):
        """The steps are compiled when they are first used."""
        for p in self.parameters:
            p.variable.assign(p.from_file(self.weights[p.name]))
        self.optimizer = self._new_optimizer() if self.training else None
        if self.resident:
            self.turn.assign(0)
        else:
            self._feed_from(0)
        self.step = 0
        self._train = tf.function(self._train_on)
        self._infer = tf.function(self._infer_on)
        self._whole = tf.function(self._whole_step)
        self.evaluate = tf.function(self._evaluate, input_signature=[
            tf.TensorSpec([None, *self.shape[1:], self.shape[0]], tf.uint8),
            tf.TensorSpec([None], tf.int64)])

    def _feed_from(self, step):
        rows = np.roll(self.rows, -(step % len(self.rows)), axis=0)
        self.feed = tensorflow_feed.batches(self.images, self.labels, rows, self.device.path)

    def keep(self):
        """All that steps change, for put_back: weights, optimizer, random numbers, where it is."""
        variables = [*self.model.variables, *(self.optimizer.variables if self.training else [])]
        if self.resident:
            variables.append(self.turn)
        return self.step, [(variable, variable.numpy()) for variable in variables]

    def put_back(self, kept):
        self.step, values = kept
        with self.on_device():
            for variable, value in values:
                variable.assign(value)
            if not self.resident:
                self._feed_from(self.step)

    def _new_optimizer(self):
        settings = self.optimizer_settings
        # Keras's weight_decay is AdamW's; that of the others is part of their gradient.
        self.decay = 0.0 if settings["name"] == "adamw" else settings["weight_decay"]
        if settings["name"] == "sgd":
            optimizer = keras.optimizers.SGD(settings["lr"], momentum=settings["momentum"])
        else:
            beta_1, beta_2 = settings["betas"]
            decoupled = settings["weight_decay"] if settings["name"] == "adamw" else 0
            optimizer = Adam(settings["lr"], beta_1=beta_1, beta_2=beta_2,
                             epsilon=settings["epsilon"], weight_decay=decoupled or None)
        optimizer.build(self.variables)
        return optimizer

    # What a step is made of.  The scopes name the operations, for tensorflow_phases.py.

    def _batch(self, *given):
        """Normalized pictures and labels, of the next row or of what the feed has given."""
        with tf.name_scope("data"):
            packed, labels = given or self._gather()
            return self._normalize(self._unpack(packed)), labels

    def _unpack(self, packed):
        count = int(np.prod(self.shape))
        pixels = tf.reshape(tf.bitcast(packed, tf.uint8), [-1, packed.shape[1] * PACKED])
        if count % PACKED:
            pixels = pixels[:, :count]
        return tf.reshape(pixels, [-1, *self.shape[1:], self.shape[0]])

    def _gather(self):
        following = self.turn + 1
        row = tf.gather(self.rows, self.turn)
        self.turn.assign(tf.where(following < len(self.rows), following, 0))
        return tf.gather(self.images, row), tf.gather(self.labels, row)

    def _normalize(self, pixels):
        return (tf.cast(pixels, tf.float32) - self.mean) * self.scale

    def _forward(self, x, training):
        """The logits, in float32 also under mixed precision."""
        with tf.name_scope("forward"):
            return tf.cast(self.model(x, training=training), tf.float32)

    def _gradients(self, x, labels):
        with tf.GradientTape() as tape:
            logits = self._forward(x, training=True)
            with tf.name_scope("forward"):
                loss = self.loss(labels, logits)
        return logits, loss, tape.gradient(loss, self.variables)

    def _update(self, gradients):
        with tf.name_scope("optimizer"):
            if self.decay:
                gradients = [g + self.decay * v for g, v in zip(gradients, self.variables)]
            self.optimizer.apply_gradients(zip(gradients, self.variables))

    def _train_on(self, *given):
        x, labels = self._batch(*given)
        _, loss, gradients = self._gradients(x, labels)
        self._update(gradients)
        return loss

    def _infer_on(self, *given):
        return self._forward(self._batch(*given)[0], training=False)

    def _whole_step(self, *given):
        """A step that gives all that it computed: (input, labels, logits, loss, gradients)."""
        x, labels = self._batch(*given)
        if not self.training:
            logits = self._forward(x, training=False)
            return x, labels, logits, self.loss(labels, logits), []
        logits, loss, gradients = self._gradients(x, labels)
        self._update(gradients)
        return x, labels, logits, loss, gradients

    def _evaluate(self, pixels, labels):
        """The sum of the losses, and how many are right."""
        logits = self._forward(self._normalize(pixels), training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        right = tf.equal(tf.argmax(logits, 1), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.int64))

    # Steps.  They are called within on_device().

    def _call(self, function):
        for layer in self.counted:
            layer.set_step(self.step)
        given = () if self.resident else next(self.feed)
        self.step += 1
        return function(*given)

    def run_step(self):
        """One step: its loss, or in inference its logits, which nobody has waited for."""
        return self._call(self._train if self.training else self._infer)

    def whole_step(self):
        return self._call(self._whole)
