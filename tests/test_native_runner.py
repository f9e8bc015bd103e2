"""The native engine as a runner, by the tests of the PyTorch runner: the same protocol, the same
double computation to compare with.
"""
import json
import os
import struct
import unittest
from unittest import mock

import test_torch_runner as shared
from runner_support import NO_TORCH, Child

PROGRAM = os.environ["BREAKEVEN_PROGRAM"]


class NativeChild(Child):
    COMMAND = [PROGRAM, "runner"]


def read_as_declared(path, read=shared.safetensors_io.read if NO_TORCH is None else None):
    """The tensors in the order of the header: in the data the wider items lie first."""
    tensors = read(path)
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {name: tensors[name] for name in header if name != "__metadata__"}


@unittest.skipIf(NO_TORCH, NO_TORCH)
class NativeRunnerTest(shared.RunnerTest):
    # What the native engine does not have: another BLAS, a dropout of its own.
    test_hello = test_reference_blas_is_warned_of = test_prepare_and_sync_answers = None
    test_dropout = test_openblas_obeys_its_variable = None
    # Its texts are its own.
    test_refused_members = test_refused_files = test_broken_lines = None
    test_schedules_that_are_none_are_refused = None

    @classmethod
    def setUpClass(cls):
        cls.folder = shared.tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        reading = mock.patch.object(shared.safetensors_io, "read", read_as_declared)
        reading.start()
        cls.addClassCleanup(reading.stop)
        cls.child = NativeChild()
        cls.hello = cls.child.ask("hello", schema=2)

    def request(self, workload, data=None, weights=None, **changes):
        """With a seed that fits jansson's integers, and no learning rate of 0."""
        request = super().request(workload, data, weights, **changes)
        request["seed"] %= 1 << 63
        optimizer = request.get("optimizer")
        if optimizer and optimizer["lr"] == 0:
            request["optimizer"] = dict(optimizer, lr=1e-30)
        return request

    def test_hello_names_the_engine(self):
        self.assertEqual((self.hello["schema"], self.hello["engine"]), (2, "native"))
        self.assertIn("oneDNN", self.hello["libraries"]["blas"])
        self.assertEqual(self.hello["devices"][0]["id"], "cpu")
        for device in self.hello["unusable_devices"]:
            self.assertIn("install", device["reason"], device)

    def check_ops(self, answer, trains=True):
        """One an op of the plan, named by layer."""
        ops = [(op["op"], op["name"], op["phase"]) for op in answer["ops"]]
        self.assertEqual((ops[0], ops[-2][2], ops[-1]),
                         (("data_batch", "", "data"), "optimizer" if trains else "forward",
                          ("advance", "", "loss_read")))
        self.assertIn(("linear", "fc1", "forward"), ops)
        self.assertEqual(("linear_backward", "fc1", "backward") in ops, trains)
        self.assertEqual(sum(op["launches"] for op in answer["ops"]), answer["launches"])
        for op in answer["ops"]:
            self.assertRegex(op["implementation"], "native|oneDNN")

    def check_sizes(self, ops, phases, steps):
        """Op by op the same as `phases` says, of one step."""
        self.assertEqual(len(ops), len(phases))
        for op, told in zip(ops, phases):
            self.assertEqual((op["op"], op["implementation"]), (told["op"], told["implementation"]))
            self.assertEqual((op["seconds"], steps * op["launches"]), (0, told["launches"]))
            for amount in ("flops", "bytes"):
                self.assertAlmostEqual(steps * op[amount], told[amount],
                                       delta=1e-6 * told[amount] + steps)

    def test_calibrate(self):
        """The ops of the step, their sizes and the arithmetic of phases; points of other shapes."""
        self.ok("prepare", **self.request("mlp-mnist", threads=2))
        phases = self.ok("phases", steps=4)["ops"]
        answer = self.ok("calibrate", seconds=0)
        self.assertEqual(answer["points"], [])
        self.check_sizes(answer["ops"], phases, 4)
        layers = [op for op in answer["ops"] if op["op"] == "linear"]
        self.assertEqual((layers[0]["in"], layers[0]["passes"]), (784, 1))
        self.assertAlmostEqual(layers[0]["pixels"], 1, delta=0.1)  # the bias among it
        self.assertEqual(layers[-1]["out"], 10)
        points, seconds = [], 0.05
        while len(points) <= 5:  # a busy machine takes longer for them
            self.assertLess(seconds, 60)
            points, seconds = self.ok("calibrate", seconds=seconds)["points"], 2 * seconds
        for point in points:
            self.assertGreater(point["seconds"], 0, point)
            if point["op"] != "advance":
                self.assertGreater(point["flops"] + point["bytes"], 0, point)
        # It disturbs nothing of the session.
        self.assertEqual(self.ok("run", steps=2)["steps"], 2)

    def test_phases_on_opencl(self):
        if "opencl:0" not in [device["id"] for device in self.hello["devices"]]:
            self.skipTest("there is no OpenCL device")
        for where, mode in (("device", "train"), ("host", "train"), ("device", "infer")):
            self.ok("prepare", **self.request("mlp-mnist", device="opencl:0", data_on=where,
                                              mode=mode))
            for _ in range(50):  # a lap that something disturbed can take all time from the others
                answer = self.ok("phases", steps=3)
                if answer["phases"]["forward"] + answer["phases"]["backward"] > 0:
                    break
            self.assertEqual(sum(ns or 0 for ns in answer["phases"].values()), answer["wall_ns"])
            self.assertGreater(answer["phases"]["forward"] + answer["phases"]["backward"], 0)
            self.assertEqual(list(answer["work"]), ["opencl:0"])
            # Whatever was sent ahead, and however often it was asked: the batches of three steps.
            self.assertEqual(answer["upload_bytes"],
                             3 * 8 * (784 + 4) if where == "host" else 0)
            if mode == "train":
                self.assertGreater(answer["download_bytes"], 0)
            else:
                self.assertEqual(answer["phases"]["backward"], 0)
            self.check_ops(answer, mode == "train")
            self.check_sizes(self.ok("calibrate", seconds=0)["ops"], answer["ops"], 3)
        for _ in range(2):
            self.assertGreater(self.ok("reference")["wall_ns"], 10_000)

    def test_a_batch_in_turns(self):
        """The training of the whole batch, up to the order of sums."""
        found = []
        for turns in (1, 4):
            self.ok("prepare", **{**self.request("mlp-mnist"), "accumulate": turns})
            found.append(self.ok("run", steps=6, losses=True)["losses"])
        for a, b in zip(*found):
            self.assertLess(abs(a - b), 1e-5 * abs(b))
        self.assertNotEqual(*found)

    def test_data_on_the_host_of_a_gpu(self):
        """The same bits as with the data on the device, in all that a runner is asked."""
        if "opencl:0" not in [device["id"] for device in self.hello["devices"]]:
            self.skipTest("there is no OpenCL device")
        found = []
        for where in ("device", "host"):
            self.ok("prepare", **self.request("mlp-mnist", device="opencl:0", data_on=where))
            self.ok("parity", steps=5, out=self.path("out"))
            losses = self.ok("run", steps=11, losses=True)["losses"]
            losses += self.ok("run", steps=4, losses=True)["losses"]
            self.ok("phases", steps=2)
            self.ok("export", out=self.path("trained"))
            evaluated = self.ok("evaluate", data=self.path("data"))
            files = []
            for name in ("out", "trained"):
                with open(self.path(name), "rb") as file:
                    files.append(file.read())
            found.append((losses, evaluated, files))
        self.assertEqual(found[0], found[1])

    def test_infer(self):
        request = self.request("cnn-mnist", mode="infer")
        del request["optimizer"]
        self.ok("prepare", **request)
        answer = self.ok("run", steps=4, losses=True)
        self.assertEqual((answer["steps"], answer["loss"], answer["losses"]),
                         (4, None, [None] * 4))
        phases = self.ok("phases", steps=2)["phases"]
        self.assertEqual((phases["backward"], phases["optimizer"]), (0, 0))
        self.ok("parity", steps=2, out=self.path("out"))
        found = shared.safetensors_io.read(self.path("out"))
        self.assertFalse([name for name in found if name.startswith("grad.")])
        files = [shared.safetensors_io.read(self.path(name)) for name in ("weights", "data")]
        reference = shared.Reference("cnn-mnist", *files, request)
        logits = reference.logits(reference.batch()[0], dropout=False)
        self.close(found["logits"], logits.detach().numpy(), 1e-5, "logits")

    def test_prepare_tells_what_is_used(self):
        prepared = self.ok("prepare", **self.request("mlp-mnist", threads=2))
        self.assertEqual((prepared["precision"], prepared["threads"]), ("fp32", 2))
        self.assertEqual(prepared["device_name"], self.hello["devices"][0]["name"])
        self.assertRegex(prepared["implementation"], "native|oneDNN")
        self.assertGreater(prepared["prepare_ns"], 0)
        self.assertGreaterEqual(self.ok("sync")["wall_ns"], 0)

    def check_refused(self, status, text, op, **members):
        answer = self.child.ask(op, **members)
        self.assertEqual((answer["ok"], answer.get("status")), (False, status), answer)
        self.assertIn(text, answer["error"])

    def test_limits_are_measured_beside_a_session(self):
        self.ok("prepare", **self.request("mlp-mnist"))
        limits = self.ok("measure", device="cpu", threads=1, seconds=0.02)["limits"]
        self.assertEqual((limits["device"], limits["threads"]), ("cpu", 1))
        self.ok("run", steps=2)
        self.check_refused("UNAVAILABLE", "it computes nothing", "measure", device="null",
                           threads=1)
        self.check_refused("USAGE", '"device"', "measure", threads=1)
        self.check_refused("USAGE", '"threads" to be an integer from 1', "measure", device="cpu",
                           threads=0)
        self.check_refused("USAGE", '"seconds"', "measure", device="cpu", threads=1, seconds="x")

    def test_members_that_are_refused(self):
        good = self.request("cnn-fashion")
        for member, value, status, text in (
                ("workload", "gpt3", "USAGE", '"gpt3": expected one of'),
                ("workload", 7, "USAGE", "\"workload\" to be a string"),
                ("device", "cuda:99", "UNAVAILABLE", "cuda:99"),
                ("precision", "tf32", "UNAVAILABLE", "precision tf32"),
                ("precision", "fp8", "USAGE", 'expected fp32, tf32 or bf16, found "fp8"'),
                ("threads", 0, "USAGE", "\"threads\" to be an integer from 1 to 1024, found 0"),
                ("threads", True, "USAGE", "\"threads\" to be an integer"),
                ("batch", 0, "USAGE", "\"batch\" to be an integer from 1"),
                ("batch", 2.5, "USAGE", "\"batch\" to be an integer"),
                ("batch", 31, "USAGE", "at most the 30 pictures"),
                ("workers", 2, "UNAVAILABLE", "expected one worker"),
                ("accumulate", 0, "USAGE", "\"accumulate\" to be an integer from 1"),
                ("accumulate", 3, "USAGE", "a batch that 3 turns can cut into equal parts, found"),
                ("mode", "test", "USAGE", "train or infer"),
                ("data_on", "disk", "USAGE", "'data_on' to be device or host"),
                ("data_on", 7, "USAGE", "\"data_on\" to be a string"),
                ("seed", -1, "USAGE", "\"seed\" to be an integer of at least 0"),
                ("data", None, "USAGE", "'data' to name a data file"),
                ("data", self.path("none"), "IO", "none"),
                ("weights", self.path("none"), "IO", "none"),
                ("normalize", {"images": {"mean": [0]}}, "USAGE", '"std"'),
                ("normalize", {"images": {"mean": [0, 0], "std": [1]}}, "USAGE", "found 2 and 1"),
                ("normalize", {"images": {"mean": [0], "std": [0]}}, "USAGE",
                 "\"normalize.images.std\" above 0"),
                ("normalize", {"images": {"mean": ["x"], "std": [1]}}, "USAGE",
                 "\"mean\" to be a list of numbers"),
                ("normalize", {"images": {"mean": [0] * 3, "std": [1] * 3}}, "USAGE",
                 "expected 1 values"),
                ("optimizer", {"name": "lion", "lr": 1}, "USAGE", "sgd, adam, adamw or none"),
                ("optimizer", {"name": "sgd"}, "USAGE", "learning rate"),
                ("optimizer", {"name": "adam", "lr": 1, "beta2": 1}, "USAGE", "beta2"),
                ("optimizer", {"name": "sgd", "lr": 1, "schedule": {"kind": "steps"}}, "USAGE",
                 'expected "schedule.kind" to be constant, cosine or linear, found "steps"'),
                ("optimizer", {"name": "sgd", "lr": 1,
                               "schedule": {"kind": "linear", "warmup_steps": 4, "total_steps": 4}},
                 "USAGE", "more steps in all than the 4 of the warm-up")):
            with self.subTest(member=member, value=value):
                self.check_refused(status, text, "prepare", **dict(good, **{member: value}))
        self.check_refused("USAGE", "send 'prepare' first", "run", steps=1)
        self.ok("prepare", **dict(good, unknown="ignored"))
        for steps in (0, -1, 1.5, "1", None):
            self.check_refused("USAGE", '"steps"', "run", steps=steps)
        self.check_refused("IO", "none/x", "export", out=self.path("none/x"))
        self.check_refused("IO", "none/x", "parity", steps=1, out=self.path("none/x"))
        self.check_refused("IO", "none", "evaluate", data=self.path("none"))
        self.ok("run", steps=1)

    def test_files_that_are_refused(self):
        np = shared.np
        good = shared.make_data("cnn-fashion")
        weights = shared.make_weights("cnn-fashion")
        for change, text in (
                ({"labels": np.append(good["labels"][:-1], np.int32(10))}, "'labels' from 0 to 9"),
                ({"labels": np.append(good["labels"][:-1], np.int32(-1))}, "found -1 at element"),
                ({"order": np.append(good["order"][:-1], np.int32(30))}, "'order' from 0 to 29"),
                ({"order": good["order"][:0]}, "'order' to have one dimension"),
                ({"labels": good["labels"][1:]}, "expected I32 [30], found I32 [29]"),
                ({"labels": good["labels"].astype(np.int64)}, "expected I32 [30], found I64 [30]"),
                ({"labels.stride": np.array(0, np.int32)}, "'labels.stride' to be at least 1"),
                ({"labels.stride": np.array(3, np.int32)}, "windows of 1 elements, 3 apart"),
                ({"labels.stride": np.array(1.0)}, "expected I32 [], found F64 []"),
                ({"labels.stride": np.array(29, np.int32)}, "expected 30 samples of 'labels', "
                                                            "found 2"),
                ({"images": good["images"][:, :, 1:]}, "found U8 [30, 1, 27, 28]")):
            with self.subTest(text=text):
                request = self.request("cnn-fashion", dict(good, **change), weights)
                self.check_refused("BAD_DATA", text, "prepare", **request)
        request = self.request("cnn-fashion", good, shared.make_weights("cnn-mnist"))
        self.check_refused("BAD_DATA", "conv1.weight", "prepare", **request)

    def test_tokens_and_lengths_that_are_refused(self):
        np = shared.np
        good = {"tokens": np.ones((8, 16), np.int32), "lengths": np.full(8, 16, np.int32),
                "labels": np.zeros(8, np.int32), "order": np.arange(8, dtype=np.int32)}
        for name, value, text in (("tokens", 300, "'tokens' from 0 to 299, found 300 at element 3"),
                                  ("tokens", -1, "'tokens' from 0 to 299, found -1"),
                                  ("lengths", 0, "'lengths' from 1 to 16, found 0 at element 3"),
                                  ("lengths", 17, "'lengths' from 1 to 16, found 17")):
            with self.subTest(name=name, value=value):
                data = {member: field.copy() for member, field in good.items()}
                data[name].flat[3] = value
                shared.safetensors_io.write(self.path("sequences"), data)
                request = dict(self.request("cnn-fashion"), workload="encoder", layers=1, width=32,
                               heads=2, seq=16, vocab=300, data=self.path("sequences"))
                self.check_refused("BAD_DATA", text, "prepare", **request)

    def test_lines_that_are_no_requests(self):
        for line in (b"", b"{", b"\xff\xfe{}", b"[1]", b"7", b'{"op": NaN}', b"[" * 100000,
                     b"9" * 5000, b'{"op": "quit", "op": "hello"}'):
            with self.subTest(line=line[:20]):
                self.child.send(line)
                answer = self.child.answer()
                self.assertEqual((answer["ok"], answer["status"]), (False, "BAD_DATA"))
                self.assertIn("one JSON object", answer["error"])
        self.check_refused("USAGE", '"fly"', "fly")


if __name__ == "__main__":
    unittest.main()
