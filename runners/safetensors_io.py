"""Reads and writes tensors by name in safetensors files (github.com/huggingface/safetensors).

Owns the checks that make a broken file an error with a reason: eight bytes of header length, a JSON
header, then the tensors without gap or overlap.  It may know nothing of what the tensors mean.
"""
import contextlib
import json
import math
import os
import struct

import numpy as np

from runner_protocol import Failure

DTYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
          "F16": "<f2", "F32": "<f4", "F64": "<f8"}
HEADER_LIMIT = 100_000_000  # the limit that the format's own library has


def read(path):
    """All tensors of the file: a dict from name to array, in the file's order of bytes."""
    try:
        with open(path, "rb") as file:
            entries, start = _read_header(path, file)
            return {name: _read_tensor(path, file, start, entry) for name, entry in entries}
    except (OSError, ValueError) as error:
        raise Failure("IO", "a readable file", f"'{path}' ({error})", "check the path") from error


def write(path, tensors):
    """Write a dict from name to array; the file appears whole or not at all.

    Only a regular file is replaced, behind a link the one that it leads to; a device or pipe is
    written to as it stands.
    """
    codes = {np.dtype(code): name for name, code in DTYPES.items()}
    header, position, arrays = {}, 0, []
    for name, value in tensors.items():
        array = np.asarray(value, order="C")
        end = position + array.nbytes
        header[name] = {"dtype": codes[array.dtype], "shape": list(array.shape),
                        "data_offsets": [position, end]}
        position = end
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors start aligned
    pieces = [struct.pack("<Q", len(text)) + text, *(array.data for array in arrays)]
    try:
        _write_whole(path, pieces)
    except (OSError, ValueError) as error:
        raise Failure("IO", f"to write '{path}'", f"that it cannot be written ({error})",
                      "check the folder and the space left") from error


def _write_pieces(path, pieces):
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)


def _write_whole(path, pieces):
    if os.path.exists(path) and not os.path.isfile(path):
        _write_pieces(path, pieces)
        return
    target = os.path.realpath(path)
    part = f"{target}.part"
    try:
        _write_pieces(part, pieces)
        os.replace(part, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def _bad(path, expected, found):
    return Failure("BAD_DATA", f"{expected} in {path}", found, "write the file again")


def _unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _read_header(path, file):
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    if len(prefix) < 8:
        raise _bad(path, "8 bytes of header length", f"a file of {size} bytes")
    length = struct.unpack("<Q", prefix)[0]
    if length > min(size - 8, HEADER_LIMIT):
        raise _bad(path, "a header that fits", f"a length of {length} bytes in {size}")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad(path, "a header in JSON", f"what cannot be read ({error})") from None
    if not isinstance(header, dict):
        raise _bad(path, "a JSON object as header", type(header).__name__)
    header.pop("__metadata__", None)
    entries = [(name, _check_entry(path, name, entry)) for name, entry in header.items()]
    entries.sort(key=lambda item: item[1][2:])
    position = 0
    for name, (_, _, begin, end) in entries:
        if begin != position:
            raise _bad(path, f"'{name}' to begin at byte {position}", f"byte {begin}")
        position = end
    if position != size - 8 - length:
        raise _bad(path, f"{position} bytes of tensors", f"{size - 8 - length}")
    return entries, 8 + length


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _check_entry(path, name, entry):
    """(type, shape, first byte, last byte + 1) of one tensor's entry in the header."""
    if not isinstance(entry, dict):
        raise _bad(path, f"an object for '{name}'", type(entry).__name__)
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _bad(path, f"a type of '{name}' among {', '.join(DTYPES)}", repr(dtype))
    if not isinstance(shape, list) or not all(map(_is_count, shape)):
        raise _bad(path, f"a list of sizes as shape of '{name}'", repr(shape))
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise _bad(path, f"two offsets of '{name}'", repr(offsets))
    expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if offsets[1] - offsets[0] != expected:
        raise _bad(path, f"{expected} bytes of '{name}'", f"{offsets[1] - offsets[0]}")
    return DTYPES[dtype], shape, offsets[0], offsets[1]


def _read_tensor(path, file, start, entry):
    dtype, shape, begin, end = entry
    file.seek(start + begin)
    array = np.fromfile(file, dtype=np.uint8, count=end - begin)
    if array.size != end - begin:
        raise _bad(path, f"{end - begin} bytes at {start + begin}", f"{array.size}")
    return array.view(dtype).reshape(shape)
