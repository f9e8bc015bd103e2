"""The steps of a session, as MLX's users write them: one function of batch and state, compiled.

A step reads nothing back and never waits: its results are asked for (async_eval) and the next step
is made while the device computes them.
"""
import os

import mlx.core as mx
import mlx.nn as nn


def copy(tree):
    """The same dicts and lists, with the same arrays: nothing changes an array in its place."""
    if isinstance(tree, dict):
        return {key: copy(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [copy(value) for value in tree]
    return tree


def put(tree, kept):
    """The arrays of a copy, back into the dicts and lists that compiled functions look into."""
    for key in (kept if isinstance(kept, dict) else range(len(kept))):
        if isinstance(kept[key], (dict, list)):
            put(tree[key], kept[key])
        else:
            tree[key] = kept[key]


class Loop:
    """A subclass has model, optimizer, training, and says what a batch is and what its loss."""

    compiled = "MLX_DISABLE_COMPILE" not in os.environ

    def next_given(self):
        """What the next step is given: arrays in tuples, lists and dicts."""
        raise NotImplementedError

    def batch_of(self, given):
        """(inputs, targets) of what was given."""
        raise NotImplementedError

    def output_of(self, inputs):
        raise NotImplementedError

    def whole(self, inputs, targets):
        """(loss, output)"""
        raise NotImplementedError

    def change(self, gradients):
        """Between the gradients and the optimizer."""
        return gradients

    # ------------------------------------------------------------ what a step is made of

    def begin(self):
        """After model and optimizer were made: from step 0."""
        self.state = [self.model.state, self.optimizer.state if self.training else {},
                      mx.random.state]
        mx.eval(self.state)

        def step(function):
            return mx.compile(function, self.state, self.state) if self.compiled else function

        self._train, self._infer, self._whole = (
            step(part) for part in (self._train_on, self._infer_on, self._whole_on))
        self.step = 0

    def gradients(self, inputs, targets):
        """(loss, output, gradients)"""
        (loss, output), found = nn.value_and_grad(self.model, self.whole)(inputs, targets)
        return loss, output, self.change(found)

    def update(self, gradients):
        self.optimizer.update(self.model, gradients)

    def _train_on(self, given):
        loss, _, gradients = self.gradients(*self.batch_of(given))
        self.update(gradients)
        return loss

    def _infer_on(self, given):
        return self.output_of(self.batch_of(given)[0])

    def _whole_on(self, given):
        """All that a step computes: (inputs, targets, loss, output, gradients)."""
        inputs, targets = self.batch_of(given)
        if not self.training:
            return inputs, targets, *self.whole(inputs, targets), {}
        loss, output, gradients = self.gradients(inputs, targets)
        self.update(gradients)
        return inputs, targets, loss, output, gradients

    # ------------------------------------------------------------ steps

    def run_step(self):
        """One step: its loss, or in inference its output, which nobody has waited for."""
        given = self.next_given()
        self.step += 1
        found = (self._train if self.training else self._infer)(given)
        mx.async_eval(found, self.state)
        return found

    def whole_step(self):
        given = self.next_given()
        self.step += 1
        found = self._whole(given)
        mx.eval(found, self.state)
        return found

    def keep(self):
        """All that steps change, for put_back."""
        return self.step, copy(self.state)

    def put_back(self, kept):
        self.step, state = kept
        put(self.state, state)
