"""How a user's own model is compared between contenders: the same for every engine.

There is no reference of ours for it, so that one contender's first steps are held against those of
another; what of them says nothing is left out here.  Knows numpy alone.
"""
import numpy as np

BATCHES_MOST = 8
BATCHES_BYTES = 256 << 20
COMPARED_MOST = 1 << 16  # elements of a tensor: evenly spaced ones of larger tensors
# A gradient that is zero but for rounding, as of a bias in front of a normalisation, says nothing.
GRADIENT_LEAST = 1e-6
# Of a weight, relative: it moves the outputs of a deep network as far as computing in float32 does
# (1.3e-6 of a ResNet-18's).
ROUNDING = 2.0 ** -19


def count_batches(bytes_of_one):
    """That are made before the clock runs, and gone round."""
    return min(BATCHES_MOST, max(1, BATCHES_BYTES // max(1, bytes_of_one)))


def stride(count):
    """From one compared element of a tensor to the next."""
    return -(-count // COMPARED_MOST)


def without_rounding(found):
    """A trace without the gradients that are nothing but rounding."""
    sizes = {name: np.abs(x).max() for name, x in found.items() if name.startswith("grad.")}
    least = GRADIENT_LEAST * max(sizes.values(), default=0)
    return {name: x for name, x in found.items() if sizes.get(name, least) >= least}


def moved(right, others):
    """How far the gradients and losses of the traces `others` are from those of `right`, at most.

    Of weights that are off by a rounding it is more than that where ReLUs and pools decide
    otherwise.
    """
    most = {"gradients": 0.0, "losses": 0.0}
    for found in others:
        for name, x in right.items():
            if name.startswith("grad."):
                y = found.get(name, 0 * x).astype(np.float64)
                distance = float(np.linalg.norm(y - x) / np.linalg.norm(x))
                most["gradients"] = max(most["gradients"], distance)
        difference = np.abs(found["losses"] - right["losses"]).max()
        most["losses"] = max(most["losses"], float(difference / np.abs(right["losses"]).max()))
    return most
