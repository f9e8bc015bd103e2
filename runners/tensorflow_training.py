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
import tensorflow_operations
import tensorflow_weights
import tensorflow_workloads as workloads
from runner_protocol import Failure, member

# Members of `optimizer` that this file acts on.
OPTIMIZER = ("name", "lr", "momentum", "weight_decay", "beta1", "beta2", "epsilon",
             "max_gradient_norm", "decay", "schedule")


def check_optimizer(optimizer):
    """A training without what was asked for would be another one."""
    unknown = [name for name, value in optimizer.items() if name not in OPTIMIZER and value]
    if unknown:
        raise Failure("UNAVAILABLE", f"an optimizer of {', '.join(OPTIMIZER)} alone",
                      f"'{unknown[0]}'", "leave it out, or use another engine")


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rates of all steps, worked out before the first and looked up on the device."""

    def __init__(self, rate, schedule):
        last = schedule.last_step()
        self.table = tf.constant([rate * schedule.factor(step) for step in range(last + 1)],
                                 tf.float32)
        self.last = last

    def __call__(self, step):
        return tf.gather(self.table, tf.minimum(tf.cast(step, tf.int64), self.last))


class ScheduledSGD(keras.optimizers.SGD):
    """With momentum as in PyTorch, where a step's rate scales all of what has gathered.

    Keras gathers gradients that are scaled already, each by the rate of its own step: the same only
    where the rate stays.
    """

    def update_step(self, gradient, variable, learning_rate):
        if self.momentum:
            gathered = self.momentums[self._get_variable_index(variable)]
            gradient = self.momentum * gathered + gradient
            self.assign(gathered, gradient)
        self.assign_sub(variable, learning_rate * gradient)


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

    def __init__(self, request, device, threads, form):
        super().__init__(request, workloads.WORKLOADS)
        if self.training:
            check_optimizer(request["optimizer"])
        self.device, self.form = device, form
        libraries.set_precision(device, self.precision)
        fields, order = self.read_data(request)
        normalization = self.read_normalization(request)
        libraries.settle(device, threads)
        with self.on_device():
            self.normalization = {
                name: [tf.constant(numbers, tf.float32) for numbers in both]
                for name, both in normalization.items()}
            self._place_data(fields, order[:self.usable].astype(np.int64))
            self._new_model(self.dropout)
            shapes = {p.name: p.shape for p in self.parameters + self.buffers}
            self.weights = runner_job.load_weights(member(request, "weights", str), shapes)
            self.parameter_count = sum(self.weights[p.name].size for p in self.parameters)
            # The mean over all targets, of which a sample of a text has many.
            self.loss = (keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                         if self.fields else lambda result: self.model.loss(result))
            self._begin()

    def on_device(self):
        return tf.device(self.device.path)

    def _place_data(self, fields, order):
        # A processor's data lies on the host whatever is asked for.
        self.resident = self.device == libraries.CPU or not self.on_host
        self.samples = {name: tensorflow_feed.Samples(values) for name, values in fields.items()}
        self.rows = order.reshape(-1, self.batch)
        if not self.resident:
            return
        try:
            placed = [tf.constant(field.values) for field in self.samples.values()]
        except tf.errors.ResourceExhaustedError:
            self.resident = False
            taken = sum(field.values.nbytes for field in self.samples.values())
            self.warnings.append(f"the {taken >> 20} MiB of data do not fit on the device: each "
                                 "batch is copied there from host memory")
            return
        for field, values in zip(self.samples.values(), placed):
            field.values = values
        # A number given to each step would be copied to the device, which waits for it.
        self.rows, self.turn = tf.constant(self.rows), tf.Variable(0, dtype=tf.int64)

    def _new_model(self, dropout):
        self.model, self.counted = workloads.new_model(self, dropout == "counter")
        found = tensorflow_weights.parameters(self.model)
        self.parameters = [p for p in found if p.trained]
        self.buffers = [p for p in found if not p.trained]
        self.variables = [p.variable for p in self.parameters]

    def reset(self, dropout):
        """A new model with the prepared weights, a new optimizer, step 0."""
        with self.on_device():
            self._new_model(dropout)
            self._begin()

    def _begin(self):
        """The steps are compiled when they are first used."""
        for p in self.parameters + self.buffers:
            p.variable.assign(p.from_file(self.weights[p.name]))
        self.optimizer = self._new_optimizer() if self.training else None
        if self.resident:
            self.turn.assign(0)
        else:
            self._feed_from(0)
        self.step = 0
        self._train, self._infer, self._whole = (
            tf.function(part, jit_compile=True if self.form == "xla" else None)
            for part in (self._train_on, self._infer_on, self._whole_step))
        self.evaluate = tf.function(self._evaluate, input_signature=[
            tf.TensorSpec([None, *field.shape[1:], field.shape[0]], tf.uint8) if field.is_picture
            else tf.TensorSpec([None, *field.shape], tf.int64)
            for field in self.samples.values()])

    def _feed_from(self, step):
        rows = np.roll(self.rows, -(step % len(self.rows)), axis=0)
        self.feed = tensorflow_feed.batches(list(self.samples.values()), rows, self.device.path)

    def layer_names(self):
        return tensorflow_weights.layer_names(self.model)

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
        if settings["name"] == "none":
            self.decays = [0.0] * len(self.variables)
            return tensorflow_operations.NoUpdate()
        spared = [v for v in self.variables if settings["decay"] == "matrices" and len(v.shape) < 2]
        rate, schedule = settings["lr"], settings["schedule"]
        if schedule is not None:
            rate = Rates(rate, schedule)
        # Keras's weight_decay is AdamW's; that of the others is part of their gradient.
        decay = 0.0 if settings["name"] == "adamw" else settings["weight_decay"]
        self.decays = [0.0 if any(v is other for other in spared) else decay
                       for v in self.variables]
        if settings["name"] == "sgd":
            kind = keras.optimizers.SGD if schedule is None else ScheduledSGD
            optimizer = kind(rate, momentum=settings["momentum"])
        else:
            beta_1, beta_2 = settings["betas"]
            decoupled = settings["weight_decay"] if settings["name"] == "adamw" else 0
            optimizer = Adam(rate, beta_1=beta_1, beta_2=beta_2,
                             epsilon=settings["epsilon"], weight_decay=decoupled or None)
        if spared:
            optimizer.exclude_from_weight_decay(var_list=spared)
        optimizer.build(self.variables)
        return optimizer

    # What a step is made of.  The scopes name the operations, for tensorflow_phases.py.

    def _batch(self, *given):
        """(inputs, targets) of the next row, or of what the feed has given."""
        with tf.name_scope("data"):
            gathered = given or self._gather()
            return self._split([field.unpack(values) for field, values
                                in zip(self.samples.values(), gathered)])

    def _gather(self):
        following = self.turn + 1
        row = tf.gather(self.rows, self.turn)
        self.turn.assign(tf.where(following < len(self.rows), following, 0))
        return [field.gather(field.values, row) for field in self.samples.values()]

    def _split(self, values):
        """What the model is given, and the targets; bytes become numbers."""
        named = dict(zip(self.samples, values))
        for name, (mean, scale) in self.normalization.items():
            named[name] = (tf.cast(named[name], tf.float32) - mean) * scale
        return [named[name] for name in self.inputs], [named[name] for name in self.targets]

    def _forward(self, inputs, training):
        """The logits, in float32 also under mixed precision."""
        with tf.name_scope("forward"):
            given = inputs[0] if len(inputs) == 1 else inputs
            return tf.cast(self.model(given, training=training), tf.float32)

    def _gradients(self, inputs, targets):
        with tf.GradientTape() as tape:
            logits = self._forward(inputs, training=True)
            with tf.name_scope("forward"):
                loss = self.loss(*targets, logits)
        gradients = tape.gradient(loss, self.variables)
        with tf.name_scope("gradient_tape/"):
            # An embedding's comes as a list of rows; no optimizer here leaves the others alone.
            return logits, loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _update(self, gradients):
        """Returns the gradients as they were used, clipped where that was asked for."""
        with tf.name_scope("optimizer"):
            if self.optimizer_settings["max_gradient_norm"]:
                gradients, _ = tf.clip_by_global_norm(gradients,
                                                      self.optimizer_settings["max_gradient_norm"])
            decayed = [g + decay * v if decay else g
                       for g, v, decay in zip(gradients, self.variables, self.decays)]
            self.optimizer.apply_gradients(zip(decayed, self.variables))
        return gradients

    def _train_on(self, *given):
        logits, loss, gradients = self._gradients(*self._batch(*given))
        gradients = self._update(gradients)
        # What nobody uses TensorFlow does not compute: an operation's results are given out.
        return loss, () if self.fields else (logits, *gradients)

    def _infer_on(self, *given):
        return self._forward(self._batch(*given)[0], training=False)

    def _whole_step(self, *given):
        """A step that gives all that it computed: (inputs, targets, logits, loss, gradients)."""
        inputs, targets = self._batch(*given)
        if not self.training:
            logits = self._forward(inputs, training=False)
            return inputs, targets, logits, self.loss(*targets, logits), []
        logits, loss, gradients = self._gradients(inputs, targets)
        return inputs, targets, logits, loss, self._update(gradients)

    def _evaluate(self, *values):
        """The sum over the samples of their losses, and how many targets are right."""
        inputs, targets = self._split(values)
        logits = self._forward(inputs, training=False)
        loss = self.loss(*targets, logits) * tf.cast(tf.shape(logits)[0], tf.float32)
        right = tf.equal(tf.argmax(logits, -1), *targets)
        return loss, tf.reduce_sum(tf.cast(right, tf.int64))

    # Steps.  They are called within on_device().

    def _call(self, function):
        for layer in self.counted:
            layer.set_step(self.step)
        given = () if self.resident else next(self.feed)
        self.step += 1
        return function(*given)

    def run_step(self):
        """One step: its loss, or in inference its logits, which nobody has waited for."""
        return self._call(self._train)[0] if self.training else self._call(self._infer)

    def result_to_file(self, value):
        """Logits, or what an operation gave, in the layout of traces."""
        return value if self.fields else self.model.result_to_file(value)

    def whole_step(self):
        return self._call(self._whole)
