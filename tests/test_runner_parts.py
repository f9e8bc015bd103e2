"""Tests of what the Python runners share: runners/philox.py, safetensors_io.py and runner_job.py.

The random bits are compared with published vectors and with src/core/rng.c, which is compiled here.
"""
import ctypes
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from runner_support import NO_NUMPY, ROOT

if NO_NUMPY is None:
    import numpy as np
    import philox
    import runner_job
    import safetensors_io
    from runner_protocol import Failure, serve


@unittest.skipIf(NO_NUMPY, NO_NUMPY)
class ServeTest(unittest.TestCase):
    def test_what_an_engine_cannot_do_is_unavailable(self):
        answers = io.BytesIO()
        self.assertEqual(serve(object(), [b'{"op": "measure"}', b'{"op": "quit"}'], answers), 0)
        refused, ended = map(json.loads, answers.getvalue().splitlines())
        self.assertEqual((refused["ok"], refused["status"]), (False, "UNAVAILABLE"))
        self.assertIn("an engine that knows 'measure'", refused["error"])
        self.assertTrue(ended["ok"])


# A runner in the middle of a long request, with a temporary folder, whose conductor is killed.
ORPHAN = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
import runner_protocol
parent = os.getpid()
if os.fork() == 0:
    runner_protocol.exit_on_interrupt()
    with runner_protocol.temporary_folder(sys.argv[2]) as folder:
        open(os.path.join(folder, "x"), "w").close()
        open(os.path.join(sys.argv[2], "ready"), "w").close()
        while True:
            time.sleep(1)
while not os.path.exists(os.path.join(sys.argv[2], "ready")):
    time.sleep(0.01)
os.kill(parent, signal.SIGKILL)
"""


class OrphanTest(unittest.TestCase):
    @unittest.skipUnless(sys.platform == "linux", "elsewhere a runner ends with its input alone")
    def test_a_runner_ends_with_its_conductor(self):
        with tempfile.TemporaryDirectory() as folder:
            # The runner has standard output too: it is at its end when both are gone.
            subprocess.run([sys.executable, "-c", ORPHAN, os.path.join(ROOT, "runners"), folder],
                           stdout=subprocess.PIPE, timeout=60, check=False)
            self.assertEqual(os.listdir(folder), ["ready"])


@unittest.skipIf(NO_NUMPY, NO_NUMPY)
class PhiloxTest(unittest.TestCase):
    def test_known_answers(self):
        """The vectors of Random123's kat_vectors for philox4x32-10."""
        ones = 0xFFFFFFFF
        pi = ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0))
        for counter, key, words in (
                ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
                ((ones,) * 4, (ones,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
                (pi[0], pi[1], (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1))):
            self.assertEqual(tuple(philox.blocks(counter, key)[0]), words)

    def test_same_bits_as_the_engine(self):
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            self.skipTest("no C compiler to build src/core/rng.c with")

        class Key(ctypes.Structure):
            _fields_ = [("seed", ctypes.c_uint64), ("stream", ctypes.c_uint32),
                        ("sub", ctypes.c_uint32)]

        with tempfile.TemporaryDirectory() as folder:
            library = os.path.join(folder, "rng.so")
            subprocess.run([compiler, "-shared", "-fPIC", "-std=gnu17", "-D_GNU_SOURCE",
                            "-I" + os.path.join(ROOT, "src"), "-I" + os.path.join(ROOT, "include"),
                            os.path.join(ROOT, "src", "core", "rng.c"), "-lm", "-o", library],
                           check=True)
            native = ctypes.CDLL(library).rng_uniform
        native.argtypes, native.restype = [Key, ctypes.c_uint64], ctypes.c_float
        for seed, step, layer, count in ((0, 0, 0, 7), (1, 0, 1, 64),
                                         (0xFEDCBA9876543210, 9, 0, 33),
                                         ((1 << 64) - 1, 123456, 4, 1001)):
            ours = philox.uniform(count, seed, step, layer)
            theirs = [native(Key(seed, 3, layer), (step << 34) + i) for i in range(count)]
            self.assertEqual(ours.dtype, np.float32)
            self.assertEqual(ours.tolist(), theirs)


@unittest.skipIf(NO_NUMPY, NO_NUMPY)
class SafetensorsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "x.safetensors")

    def test_a_link_and_a_device_stay(self):
        target = os.path.join(self.folder.name, "target")
        os.symlink(target, self.path)
        for value in (1.0, 2.0):  # it dangles first
            safetensors_io.write(self.path, {"a": np.float32([value])})
            self.assertEqual(safetensors_io.read(target)["a"].tolist(), [value])
        self.assertTrue(os.path.islink(self.path))
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["target", "x.safetensors"])
        device = os.path.join(self.folder.name, "null")
        os.symlink("/dev/null", device)
        safetensors_io.write(device, {"a": np.float32([1])})
        self.assertTrue(os.path.islink(device))

    def put(self, header, data=b"", length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        with open(self.path, "wb") as file:
            file.write(struct.pack("<Q", len(text) if length is None else length) + text + data)

    def test_bytes_of_the_format(self):
        safetensors_io.write(self.path, {"b": np.array([[1, -2]], np.int32), "a": np.float32(0.5)})
        with open(self.path, "rb") as file:
            raw = file.read()
        length = struct.unpack("<Q", raw[:8])[0]
        self.assertEqual(length % 8, 0)
        self.assertEqual(json.loads(raw[8:8 + length]),
                         {"b": {"dtype": "I32", "shape": [1, 2], "data_offsets": [0, 8]},
                          "a": {"dtype": "F32", "shape": [], "data_offsets": [8, 12]}})
        self.assertEqual(raw[8 + length:], struct.pack("<iif", 1, -2, 0.5))
        self.assertEqual(os.listdir(self.folder.name), ["x.safetensors"])

    def test_round_trip(self):
        sent = {"u": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "l": np.array([], np.int64),
                "t": np.arange(6, dtype=np.float32).reshape(2, 3).T}
        safetensors_io.write(self.path, sent)
        got = safetensors_io.read(self.path)
        self.assertEqual(list(got), list(sent))
        for name, value in sent.items():
            self.assertEqual(got[name].dtype, value.dtype)
            np.testing.assert_array_equal(got[name], value)

    def test_weights_are_taken_exactly(self):
        """PyTorch's counters of batch norm alone are passed over, whatever asks for them."""
        shapes = {"bn.weight": (2,), "bn.running_mean": (2,), "bn.num_batches_tracked": ()}
        two = np.float32([1, 2])
        good = {"bn.weight": two, "bn.running_mean": two}
        for counted in ({}, {"bn.num_batches_tracked": np.int64(3)}):
            safetensors_io.write(self.path, {**good, **counted})
            found = runner_job.load_weights(self.path, shapes)
            self.assertEqual(list(found), list(good))
        for wrong, text in (({"bn.weight": two}, "bn.running_mean"),
                            ({**good, "bn.extra": two}, "also 'bn.extra'"),
                            ({**good, "bn.running_mean": np.float32([1])}, "float32 [1]")):
            safetensors_io.write(self.path, wrong)
            with self.assertRaises(Failure) as caught:
                runner_job.load_weights(self.path, shapes)
            self.assertEqual(caught.exception.status, "BAD_DATA")
            self.assertIn(text, str(caught.exception))

    def test_broken_files(self):
        def entry(dtype="U8", shape=(4,), offsets=(0, 4)):
            return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}

        for header, data, expected in (
                ({"a": entry()}, b"123", "4 bytes of tensors in PATH, found 3"),
                ({"a": entry()}, b"12345", "4 bytes of tensors in PATH, found 5"),
                ({"a": entry(shape=(5,))}, b"1234", "expected 5 bytes of 'a' in PATH, found 4"),
                ({"a": entry(dtype="Q9")}, b"1234", "found 'Q9'"),
                ({"a": entry(shape=(-4,))}, b"1234", "found [-4]"),
                ({"a": entry(shape=(True, 4))}, b"1234", "found [True, 4]"),
                ({"a": entry(shape=(1 << 60,))}, b"1234", "list of sizes"),
                ({"a": entry(offsets=(4, 0))}, b"1234", "found -4"),
                ({"a": entry(offsets=(0,))}, b"1234", "two offsets of 'a'"),
                ({"a": entry(), "b": entry()}, b"1234", "begin at byte 4 in PATH, found byte 0"),
                ({"a": entry(offsets=(1, 5))}, b"12345", "begin at byte 0 in PATH, found byte 1"),
                ({"a": 7}, b"", "an object for 'a' in PATH, found int"),
                ([], b"", "a JSON object as header in PATH, found list"),
                (b'{"a":1,"a":2}', b"", "a name stands twice"),
                (b"{", b"", "expected a header in JSON"), (b"\xff\xfe", b"", "a header in JSON"),
                (b"[" * 100000, b"", "expected a header in JSON")):
            with self.subTest(expected=expected):
                self.put(header, data)
                with self.assertRaises(Failure) as caught:
                    safetensors_io.read(self.path)
                self.assertEqual(caught.exception.status, "BAD_DATA")
                self.assertIn(self.path, str(caught.exception))
                self.assertIn(expected, str(caught.exception).replace(self.path, "PATH"))
        for length in (1 << 63, 100):
            self.put(b"{}", length=length)
            with self.assertRaisesRegex(Failure, f"a length of {length} bytes in 10"):
                safetensors_io.read(self.path)
        with open(self.path, "wb") as file:
            file.write(b"1234567")
        with self.assertRaisesRegex(Failure, "found a file of 7 bytes"):
            safetensors_io.read(self.path)

    def test_paths(self):
        for action in (lambda path: safetensors_io.read(path),
                       lambda path: safetensors_io.write(path, {"a": np.float32(1)})):
            for path in (os.path.join(self.folder.name, "none", "x"), "a\0b"):
                with self.assertRaises(Failure) as caught:
                    action(path)
                self.assertEqual(caught.exception.status, "IO")

    def test_full_disk_leaves_nothing(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        os.symlink("/dev/full", self.path + ".part")
        with self.assertRaisesRegex(Failure, "No space left"):
            safetensors_io.write(self.path, {"a": np.zeros(100000, np.float32)})
        self.assertEqual(os.listdir(self.folder.name), [])


if __name__ == "__main__":
    unittest.main()
