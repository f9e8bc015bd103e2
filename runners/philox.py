"""Philox4x32-10, the protocol's counter-based generator, in numpy, and the dropout masks it draws.

(Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.)  The bits must
be those of the native engine; tests/test_torch_runner.py compares them.
"""
import numpy as np

DROPOUT_STREAM = 3
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def blocks(counter, key):
    """Words [n, 4] of n counters: `counter` is four arrays or numbers, `key` two numbers."""
    wide = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) for word in counter))
    c0, c1, c2, c3 = (np.atleast_1d(word) for word in wide)
    k0, k1 = key
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = ((p1 >> _HALF) ^ c1 ^ np.uint64(k0), p1 & _LOW,
                          (p0 >> _HALF) ^ c3 ^ np.uint64(k1), p0 & _LOW)
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack((c0, c1, c2, c3), axis=-1).astype(np.uint32)


def uniform(count, seed, step, layer):
    """`count` float32 in [0, 1) for the elements of dropout `layer` (from 0) at `step`."""
    index = np.arange((count + 3) // 4, dtype=np.uint64)
    words = blocks((index, step, layer, DROPOUT_STREAM), (seed & 0xFFFFFFFF, seed >> 32))
    return (words.reshape(-1)[:count] >> np.uint32(8)).astype(np.float32) * np.float32(2.0 ** -24)
