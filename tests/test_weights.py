"""Weights between breakeven and PyTorch, as torchvision and Hugging Face name them: what one writes
the other loads, for every network of the ladder at a small size; and dumps say what they are of.
"""
import json
import os
import struct
import tempfile
import types
import unittest

from cli_support import PROGRAM, SMALL, FolderTest, run
from runner_support import NO_TORCH, Child

if NO_TORCH is None:
    import numpy as np
    import torch

    import safetensors_io
    import torch_workloads
    import workload_fields

TOKENS = {"layers": 2, "width": 32, "heads": 2, "seq": 12, "vocab": 50}
TOWERS = {"layers": 1, "seq": 9, "size": 32, "vocab": 50}
VARIANTS = {"resnet18-cifar": {"size": 16}, "resnet18": {"size": 32}, "resnet50": {"size": 32},
            "encoder": TOKENS, "bert-base": TOKENS, "gpt2": TOKENS,
            "clip": {**TOWERS, "width": 32, "heads": 2}, "clip-b16": TOWERS}


def make_job(workload):
    own, fields, _ = workload_fields.WORKLOADS[workload]
    dimensions = {**own, **VARIANTS[workload]}
    return types.SimpleNamespace(workload=workload, dimensions=dimensions,
                                 fields=fields(**dimensions))


def make_model(job):
    """With numbers of its own everywhere, so that no tensor can stand for another."""
    torch.manual_seed(1)
    model = torch_workloads.new_model(job)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.dtype == torch.float32:
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return model


def make_data(job, count=4):
    rng = np.random.default_rng(2)
    data = {name: rng.integers(f.least, f.below or 256, (count, *f.shape)).astype(f.dtype)
            for name, f in job.fields.items()}
    data["order"] = np.arange(count, dtype=np.int32)
    return data


class NativeChild(Child):
    COMMAND = [PROGRAM, "runner"]


@unittest.skipIf(NO_TORCH, NO_TORCH)
class TorchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.child = NativeChild()
        self.addCleanup(self.child.close)
        self.assertTrue(self.child.ask("hello", schema=2)["ok"])

    def path(self, name):
        return os.path.join(self.folder, name)

    def through(self, job, weights):
        """What the native engine exports that was given this file of weights."""
        safetensors_io.write(self.path("data"), make_data(job))
        request = {"workload": job.workload, "device": "cpu", "precision": "fp32", "threads": 1,
                   "batch": 2, "mode": "infer", "seed": 3, "data": self.path("data"),
                   "normalize": {}, "weights": weights, **VARIANTS[job.workload]}
        if "images" in job.fields:
            request["normalize"] = {"images": {"mean": [0.4] * 3, "std": [0.25] * 3}}
        answer = self.child.ask("prepare", **request)
        self.assertTrue(answer["ok"], answer)
        self.assertTrue(self.child.ask("export", out=self.path("out"))["ok"])
        return safetensors_io.read(self.path("out"))

    def check(self, model, found):
        """Names, shapes and bits are those of the module, which loads it strictly."""
        state = {name: value.detach().numpy() for name, value in model.state_dict().items()
                 if not name.endswith("num_batches_tracked")}
        self.assertEqual({name: value.shape for name, value in found.items()},
                         {name: value.shape for name, value in state.items()})
        for name, value in state.items():
            self.assertEqual(found[name].tobytes(), value.tobytes(), name)
        model.load_state_dict({name: torch.from_numpy(value.copy())
                               for name, value in found.items()})

    def test_what_torch_saves_is_loaded_and_what_is_exported_torch_loads(self):
        for workload in VARIANTS:
            with self.subTest(workload=workload):
                job = make_job(workload)
                model = make_model(job)
                # With the counters of batch norm, as torchvision's files have them.
                safetensors_io.write(self.path("in"), {
                    name: value.detach().numpy() for name, value in model.state_dict().items()})
                self.check(model, self.through(job, self.path("in")))

    def test_files_of_the_hub(self):
        masks = {f"h.{layer}.attn.{name}": value for layer in range(2) for name, value in (
            ("bias", np.tril(np.ones((1, 1, 16, 16), np.float32))),
            ("masked_bias", np.float32(-1e4)))}
        for workload, prefix, extra in (
                ("gpt2", "transformer.", masks),
                ("bert-base", "", {"bert.embeddings.position_ids": np.arange(512)[None],
                                   "cls.predictions.bias": np.ones(50, np.float32)}),
                ("clip", "", {"text_model.embeddings.position_ids": np.arange(9)[None],
                              "vision_model.embeddings.position_ids": np.arange(5)[None]})):
            with self.subTest(workload=workload):
                job = make_job(workload)
                model = make_model(job)
                named = {name[len(prefix):]: value.detach().numpy()
                         for name, value in model.state_dict().items()}
                if workload == "bert-base":
                    named = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                        "LayerNorm.bias", "LayerNorm.beta"): v for name, v in named.items()}
                safetensors_io.write(self.path("in"), {**named, **extra})
                self.check(model, self.through(job, self.path("in")))

    def test_several_files(self):
        job = make_job("bert-base")
        model = make_model(job)
        state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        places = {name: f"model-{1 + (index % 3)}.safetensors" for index, name in enumerate(state)}
        for file in set(places.values()):
            safetensors_io.write(self.path(file), {
                name: value for name, value in state.items() if places[name] == file})
        with open(self.path("model.safetensors.index.json"), "w", encoding="utf-8") as file:
            json.dump({"metadata": {"total_size": 1}, "weight_map": places}, file)
        self.check(model, self.through(job, self.path("model.safetensors.index.json")))


class HeadTest(FolderTest):
    """A network for another task: its head has another size."""

    FEW = ["--synthetic", "--limit", "16", "--batch", "8"]

    def files(self):
        self.good("train", "resnet18-cifar", *self.FEW, "--steps", "1", "--export",
                  self.path("own"))
        with open(self.path("own"), "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header, data = json.loads(file.read(length)), file.read()
        # The head comes last: of four classes instead of ten.
        begin = header["fc.weight"]["data_offsets"][0]
        self.assertEqual(header.pop("__metadata__")["format"], "pt")
        rest = {name: entry for name, entry in header.items() if not name.startswith("fc.")}
        weight = {"dtype": "F32", "shape": [4, 512], "data_offsets": [0, 8192]}
        bias = {"dtype": "F32", "shape": [4], "data_offsets": [8192, 8208]}
        size = header["fc.bias"]["data_offsets"][1] - begin
        for entry in rest.values():
            low, high = entry["data_offsets"]
            less = size if low > begin else 0
            entry["data_offsets"] = [low - less + 8208, high - less + 8208]
        text = json.dumps({**rest, "fc.weight": weight, "fc.bias": bias}).encode()
        with open(self.path("other"), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + bytes(8208) + data[:begin] +
                       data[begin + size:])
        return self.path("own"), self.path("other")

    def test_it_starts_anew_on_request_alone(self):
        own, other = self.files()
        says = ['tensor "fc.weight" of the head: expected F32 [10, 512], found F32 [4, 512]; '
                "to start the head anew, train with --new-head"]
        training = ["train", "resnet18-cifar", *self.FEW, "--steps", "1"]
        self.bad(1, *training, "--weights", other, says=says)
        self.bad(1, "eval", "resnet18-cifar", *self.FEW, "--weights", other, says=says)
        found = run(*training, "--weights", other, "--new-head")
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertIn('the head "fc" starts anew (in the file: F32 [4, 512])', found.stderr)
        self.good(*training, "--weights", own)
        self.bad(2, "train", "mlp-mnist", *self.FEW, "--weights", self.small(), "--new-head",
                 says=["--new-head: expected a network whose head is classifier, fc or head"])

    def small(self):
        self.good("train", "mlp-mnist", *self.FEW, "--steps", "1", "--export",
                  self.path("small"))
        return self.path("small")


class StartTest(FolderTest):
    def test_training_starts_with_the_weights(self):
        """A step of no length leaves the weights as they were in the file, not as the seed has
        them."""
        first, second = self.path("first"), self.path("second")
        training = ["train", "cnn-fashion", *SMALL, "--batch", "8", "--steps", "1"]
        self.good(*training, "--lr", "1e-12", "--export", first)
        self.good(*training, "--seed", "7", "--lr", "1e-12", "--weights", first, "--export", second)
        with open(first, "rb") as a, open(second, "rb") as b:
            found, expected = b.read(), a.read()
        self.assertEqual(len(found), len(expected))
        self.good(*training, "--seed", "7", "--lr", "1e-12", "--export", second)
        with open(second, "rb") as b:
            self.assertNotEqual(found, b.read())
        near = struct.unpack_from("<20000f", expected, len(expected) - 80000)
        for x, y in zip(near, struct.unpack_from("<20000f", found, len(found) - 80000)):
            self.assertAlmostEqual(x, y, delta=1e-6)


class MeasuredTest(FolderTest):
    """bench, explain and parity of weights from a file: what each engine is given."""
    FEW = [*SMALL, "--threads", "1"]

    def trained(self, workload, *variant):
        path = self.path(workload)
        self.good("train", workload, *self.FEW, *variant, "--batch", "8", "--steps", "3",
                  "--export", path)
        return path

    def rows(self, *arguments):
        lines = self.good(*arguments, "--format", "jsonl").splitlines()
        return [json.loads(line) for line in lines]

    def test_parity_begins_with_them(self):
        weights = self.trained("mlp-mnist")
        losses = []
        for more in ([], ["--weights", weights]):
            rows = self.rows("parity", "mlp-mnist", *self.FEW, "--batch", "4", "--steps", "2",
                             *more)
            self.assertTrue(all(row["good"] for row in rows), rows)
            self.assertIn("reference", {row["against"] for row in rows})
            losses.append([(row["quantity"], row["error"]) for row in rows])
        self.assertNotEqual(*losses)  # of other weights

    @unittest.skipIf(NO_TORCH, NO_TORCH)
    def test_a_network_beyond_the_reference_is_compared_between_engines(self):
        small = ["--layers", "3", "--width", "32", "--heads", "2", "--seq", "12", "--vocab", "64"]
        weights = self.trained("gpt2", *small, "--synthetic")
        found = run("parity", "gpt2", "--synthetic", "--threads", "1", "--engine", "torch",
                    "--batch", "2", "--steps", "3", "--weights", weights, "--format", "jsonl")
        self.assertEqual(found.returncode, 0, found.stderr)
        rows = [json.loads(line) for line in found.stdout.splitlines()]
        self.assertEqual({(row["engine"], row["against"]) for row in rows}, {("native", "torch")})
        self.assertTrue(all(row["good"] for row in rows), rows)
        self.assertIn("the engines are compared with each other", " ".join(found.stderr.split()))

    def test_bench_measures_with_them(self):
        weights = self.trained("cnn-fashion")
        bench = ["bench", "cnn-fashion", *self.FEW, "--batch", "8", "--engine", "native",
                 "--device", "cpu", "--time", "0.02", "--no-store"]
        record, = self.rows(*bench, "--weights", weights)
        self.assertEqual(record["weights"], weights)
        self.assertLess(record["parity"]["error"], 1e-5)
        self.assertNotIn("weights", self.rows(*bench)[0])

    def test_what_is_wrong_is_told(self):
        weights = self.trained("mlp-mnist")
        bench = ["bench", "--engine", "native", "--device", "cpu", "--time", "0.02", *self.FEW]
        self.bad(1, *bench, "cnn-fashion", "--weights", weights,
                 says=[weights + ": "])
        self.bad(1, *bench, "mlp-mnist", "--weights", self.path("none"), says=["found none"])
        self.bad(2, *bench, "mlp-mnist", "cnn-fashion", "--weights", weights,
                 says=["weights are of one network, found 2; give one name"])
        self.bad(2, *bench, "op:gelu", "--weights", weights,
                 says=["op:gelu is an operation alone, which no file has; leave it out"])
        with open(weights, "r+b") as file:
            file.truncate(100)
        self.bad(1, *bench, "mlp-mnist", "--weights", weights, says=[weights + ": "])


class DumpTest(FolderTest):
    def test_the_variant_stands_in_the_file(self):
        path = self.path("d")
        self.good("dump", "bert-base", *SMALL, "--batch", "2", "--layers", "1", "--width", "24",
                  "--heads", "3", "--seq", "16", "--vocab", "160", "-o", path)
        with open(path, "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        self.assertEqual(header["__metadata__"], {
            "format": "pt", "workload": "bert-base", "layers": "1", "width": "24", "heads": "3",
            "seq": "16", "vocab": "160", "classes": "2", "batch": "2", "seed": "42"})
        for field in ("tokens", "segments", "lengths"):
            self.assertIn("input." + field, header)
        self.assertNotIn("losses", header)


if __name__ == "__main__":
    unittest.main()
