"""train --tensorboard: its files, read here by their form, and by TensorBoard where it is installed
(tensorboard from PyPI, which comes with TensorFlow)."""
import glob
import json
import os
import struct
import subprocess
import sys
import unittest

from cli_support import PROGRAM, SMALL, FolderTest

TRAIN = ["train", "mlp-mnist", *SMALL, "--epochs", "3", "--batch", "50", "--no-store"]
# Prints every scalar that TensorBoard finds in a folder.
READER = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1])
found.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in found.Scalars(tag)]
                  for tag in found.Tags()["scalars"]}))
"""


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def records(data):
    """The records of a file; a sum that is wrong or a record that is cut fails."""
    while data:
        length, = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12])[0] == masked(data[:8]), "sum of a length"
        record, end = data[12:12 + length], 12 + length
        assert struct.unpack("<I", data[end:end + 4])[0] == masked(record), "sum of a record"
        yield record
        data = data[end + 4:]


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """(number, value) of a message; numbers of 4 and 8 bytes are a float and a double."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        else:
            size, at = {1: (8, at), 5: (4, at)}.get(wire) or varint(data, at)
            value = data[at:at + size]
            at += size
            if wire in (1, 5):
                value, = struct.unpack("<d" if wire == 1 else "<f", value)
        yield key >> 3, value


def scalars(events):
    """{tag: [[step, value], …]} of events that follow the first, which tells the version."""
    found = {}
    for event in events:
        parts = dict(fields(event))
        for number, value in fields(parts[5]):
            assert number == 1
            scalar = dict(fields(value))
            found.setdefault(scalar[1].decode(), []).append([parts[2], scalar[2]])
    return found


class TensorBoard(FolderTest):
    def train(self, *more):
        printed = self.good(*TRAIN, "--tensorboard", self.path("events"), "-f", "jsonl", *more)
        return [json.loads(line) for line in printed.splitlines()]

    def files(self):
        return sorted(glob.glob(self.path("events", "events.out.tfevents.*")))

    def test_the_sums_are_those_of_the_standard(self):
        self.assertEqual(crc32c(b"123456789"), 0xe3069283)  # of RFC 3720's polynomial
        self.assertEqual(crc32c(bytes(32)), 0x8a9136aa)  # RFC 3720, B.4

    def check_end(self, found, epochs):
        """The values at the ends of epochs are those of the records."""
        for tag, member in (("loss/train", "loss"), ("accuracy/train", "accuracy"),
                            ("loss/validation", "validation_loss"),
                            ("accuracy/validation", "validation_accuracy"),
                            ("learning_rate", "last_learning_rate"),
                            ("speed/samples_per_s", "samples_per_s")):
            values = dict(map(tuple, found[tag]))
            for epoch in epochs:
                self.assertAlmostEqual(values[epoch["step"]] / epoch[member], 1, 6, tag)
        # Within an epoch a slow machine may tell more; only what the epoch's end adds is counted.
        self.assertEqual([step for step, _ in found["loss/validation"]], [4, 8, 12])
        steps = [step for step, _ in found["loss/train"]]
        self.assertEqual(steps, sorted(set(steps)))

    def test_what_is_in_a_file(self):
        epochs = self.train()
        self.assertEqual(len(self.files()), 1)
        with open(self.files()[0], "rb") as file:
            first, *events = records(file.read())
        head = dict(fields(first))
        self.assertEqual(head[3], b"brain.Event:2")
        self.assertGreater(head[1], 1.7e9)
        found = scalars(events)
        self.check_end(found, epochs)
        self.assertNotIn("gradient_norm", found)

    def test_gradients_where_they_are_clipped(self):
        epochs = self.train("--clip", "0.5", "--warmup", "6")
        with open(self.files()[0], "rb") as file:
            _, *events = records(file.read())
        found = scalars(events)
        self.assertEqual([step for step, _ in found["gradient_norm"]], [4, 8, 12])
        self.check_end(found, epochs)

    def test_of_several_workers_one_writes(self):
        epochs = self.train("--workers", "2", "--threads", "1")
        self.assertEqual(len(self.files()), 1)
        with open(self.files()[0], "rb") as file:
            _, *events = records(file.read())
        self.check_end(scalars(events), epochs)

    def test_tensorboard_reads_it(self):
        python = next((each for each in (os.environ.get("BREAKEVEN_TENSORFLOW_PYTHON"),
                                         sys.executable) if each and
                       subprocess.run([each, "-c", "import tensorboard"], check=False,
                                      capture_output=True).returncode == 0), None)
        if not python:
            self.skipTest("no Python here has tensorboard")
        epochs = self.train()
        done = subprocess.run([python, "-c", READER, self.path("events")], check=False,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_end(json.loads(done.stdout), epochs)

    def test_a_folder_that_cannot_be_written_is_found_first(self):
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        done = self.bad(1, *TRAIN, "--tensorboard", self.path("file", "in"), "-f", "jsonl",
                        says=["cannot make the folder " + self.path("file")])
        self.assertEqual(done.stdout, "")
        self.bad(2, "train", "mlp-mnist", *SMALL, "--dry-run", "--tensorboard", self.path("events"),
                 says=["leave --tensorboard out"])
        self.assertFalse(os.path.exists(self.path("events")))

    def test_a_full_disk_ends_the_file_and_not_the_training(self):
        limited = ["prlimit", "--fsize=300", PROGRAM, *TRAIN, "-f", "jsonl", "--tensorboard",
                   self.path("events")]
        done = subprocess.run(limited, check=False, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 3)
        self.assertEqual(done.stderr.count("TensorBoard's file ends here, the training goes on"), 1)


if __name__ == "__main__":
    unittest.main()
