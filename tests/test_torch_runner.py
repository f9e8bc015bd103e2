"""Tests of runners/torch_runner.py: the runner as a child over pipes.

What it computes is compared with a second computation in double, written in runner_support.py from
docs/runner-protocol.md and the papers' formulas.  The tests that need PyTorch are skipped, and say
so, where it is missing.
"""
import os
import resource
import signal
import sys
import tempfile
import unittest

from runner_support import (ADAM, ADAMW, ANSWER_LIMIT_S, NO_TORCH, SGD, WORKLOADS, Child, Reference,
                            RunnerCase, make_data, make_weights)

if NO_TORCH is None:
    import numpy as np
    import safetensors_io
    import torch


class MissingTorchTest(unittest.TestCase):
    def test_answer_and_clean_stdout(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("torch", "numpy"):
                with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as file:
                    file.write("import os\nprint('noise', flush=True)\nos.write(1, b'noise\\n')\n"
                               "raise ModuleNotFoundError('no such thing here', name='torch')\n")
            child = Child({"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"})
            for op in ("hello", "run"):
                answer = child.ask(op, schema=2)
                self.assertEqual((answer["ok"], answer["status"]), (False, "UNAVAILABLE"))
                for part in ("no such thing here", sys.executable, "pip install torch",
                             "python3-torch libopenblas0-pthread"):
                    self.assertIn(part, answer["error"])
            self.assertEqual(child.ask("quit"), {"ok": True})
            code, rest, log = child.close()
            self.assertEqual((code, rest), (0, b""))
            self.assertEqual(log.count("noise"), 2)


@unittest.skipIf(NO_TORCH, NO_TORCH)
class RunnerTest(RunnerCase):
    def test_hello(self):
        self.assertEqual((self.hello["ok"], self.hello["schema"], self.hello["engine"]),
                         (True, 2, "torch"))
        self.assertEqual(self.hello["version"], torch.__version__)
        self.assertEqual(self.hello["devices"][0]["id"], "cpu")
        self.assertTrue(self.hello["devices"][0]["name"])
        self.assertTrue(self.hello["libraries"]["blas"])
        for name in ("python", "numpy", "openmp"):
            self.assertRegex(self.hello["libraries"][name], r"^\d")
        self.assertEqual(self.child.ask("hello", schema=2, **{"try": True})["devices"],
                         self.hello["devices"])
        for wanted in (0, 1, "2", None, True):
            is_number = type(wanted) is int
            text = f"schema 2 of the protocol, found {wanted}" if is_number else "'schema'"
            self.refused("USAGE", text, "hello", schema=wanted)

    def test_reference_blas_is_warned_of(self):
        reference = "/usr/lib/x86_64-linux-gnu/blas"
        if "openblas-pthread" not in self.hello["libraries"]["blas"] or not os.path.exists(
                reference + "/libblas.so.3"):
            self.skipTest("this PyTorch has no choice between OpenBLAS and reference BLAS")
        request = self.request("mlp-mnist")
        self.assertEqual(self.ok("prepare", **request)["warnings"], [])
        lapack = "/usr/lib/x86_64-linux-gnu/lapack"
        child = Child({"LD_LIBRARY_PATH": reference + ":" + lapack})
        named = child.ask("hello", schema=2)["libraries"]["blas"]
        warned = child.ask("prepare", **request)["warnings"]
        child.close()
        if "OpenBLAS" in named:
            self.skipTest(f"the reference BLAS was not loaded, but {named}")
        self.assertIn(f"reference BLAS ({reference}/libblas.so.3", named)
        self.assertIn("libopenblas0-pthread", warned[0])

    def test_openblas_obeys_its_variable(self):
        """Where it has threads of its own; that is said, and the loops keep theirs."""
        if "pthread" not in self.hello["libraries"]["blas"]:
            self.skipTest("this PyTorch's BLAS has no threads of its own")
        request = self.request("mlp-mnist", threads=2)
        for variables, blas, hint in (({"OPENBLAS_NUM_THREADS": ""}, "", True),
                                      ({"OPENBLAS_NUM_THREADS": "2"}, "", False),
                                      ({"OPENBLAS_NUM_THREADS": "1"}, " on 1 thread", False)):
            child = Child(variables)
            answer = child.ask("prepare", **request)
            child.close()
            self.assertEqual(answer["threads"], 2)
            self.assertRegex(answer["implementation"], r"OpenBLAS \S+ pthread \w+" + blas + "$")
            self.assertEqual(["OPENBLAS_NUM_THREADS=1 may be" in text
                              for text in answer["warnings"]], [True] * hint)
        child = Child({"OPENBLAS_NUM_THREADS": "all"})
        self.assertEqual(child.ask("prepare", **request),
                         {"ok": False, "status": "USAGE", "error":
                          "expected a number of threads in OPENBLAS_NUM_THREADS, found "
                          "'all': correct or unset it"})
        child.close()

    def check_parity(self, workload, optimizer, steps, **changes):
        """The parity file against the double computation; the order wraps after three steps."""
        data, weights = make_data(workload), make_weights(workload)
        request = self.request(workload, data, weights, optimizer=optimizer, **changes)
        prepared = self.ok("prepare", **request)
        self.assertEqual(prepared["parameters"], WORKLOADS[workload][0])
        self.assertEqual(prepared["parameters"], sum(w.size for w in weights.values()))
        self.assertEqual(self.ok("parity", steps=steps, out=self.path("out"))["steps"], steps)
        found = safetensors_io.read(self.path("out"))
        names = list(weights)
        self.assertEqual(list(found), ["input", "target", "logits", "loss"]
                         + ["param." + name for name in names]
                         + ["grad." + name for name in names] + ["losses"])
        reference = Reference(workload, weights, data, request)
        x, target, logits, loss, grads = reference.step()
        losses = [loss.item()] + [reference.step()[3].item() for _ in range(steps - 1)]
        self.assertEqual(found["target"].dtype, np.int64)
        np.testing.assert_array_equal(found["target"], target.numpy())
        self.close(found["input"], x.numpy(), 1e-6, "input")
        self.close(found["logits"], logits.numpy(), 1e-5, "logits")
        self.close(found["loss"], loss.numpy(), 1e-5, "loss")
        for name in names:
            np.testing.assert_array_equal(found["param." + name], weights[name])
            self.close(found["grad." + name], grads[name].numpy(), 5e-5, "grad." + name)
        for name, value in found.items():
            self.assertEqual(value.dtype, np.int64 if name == "target" else np.float32, name)
        self.close(found["losses"], losses, 1e-4, "losses")
        self.assertGreater(max(losses) - min(losses), 1e-3, "losses that stand prove nothing")
        return found["losses"]

    def test_parity_mlp_mnist(self):
        self.check_parity("mlp-mnist", SGD, 10, threads=2)

    def test_parity_cnn_mnist(self):
        self.check_parity("cnn-mnist", SGD, 4, seed=(1 << 63) + 12345)

    def test_parity_cnn_cifar(self):
        self.check_parity("cnn-cifar", ADAMW, 10, threads=2)

    def test_parity_cnn_fashion(self):
        self.check_parity("cnn-fashion", ADAM, 10)

    def test_parity_cnn5_fashion(self):
        self.check_parity("cnn5-fashion", {"name": "adam", "lr": 0.001}, 4)

    def test_rates_follow_the_schedule(self):
        """30 steps and beyond the schedule's end, each kind; phases in between change nothing."""
        for kind, total in (("constant", 0), ("cosine", 25), ("linear", 25)):
            schedule = {"kind": kind, "warmup_steps": 10, "total_steps": total,
                        "final_factor": 0.1 if total else 0.0}
            for optimizer in (dict(SGD, lr=0.05, schedule=schedule),
                              dict(ADAMW, schedule=schedule)):
                with self.subTest(kind=kind, optimizer=optimizer["name"]):
                    losses = self.check_parity("mlp-mnist", optimizer, 30)
                    self.ok("run", steps=4)
                    self.ok("phases", steps=2)
                    found = self.ok("run", steps=3, losses=True)["losses"]
                    self.close(np.array(found), losses[4:7], 1e-5, "losses after the phases")

    def test_schedules_that_are_none_are_refused(self):
        for schedule, text in (({"kind": "steps"}, "constant, cosine"),
                               ({"kind": "cosine", "warmup_steps": 4, "total_steps": 4},
                                "4 of the"),
                               ({"kind": "linear", "warmup_steps": 0, "total_steps": 4,
                                 "final_factor": 2}, "final")):
            schedule = {"warmup_steps": 0, "total_steps": 0, "final_factor": 0.0, **schedule}
            self.refused("USAGE", text, "prepare",
                         **self.request("mlp-mnist", optimizer=dict(SGD, schedule=schedule)))

    def test_run_trains_as_parity_does(self):
        """Same losses; a parity in between leaves what `prepare` left; export gives the weights."""
        request = self.request("cnn-fashion", optimizer=ADAM)
        self.ok("prepare", **request)
        self.ok("parity", steps=5, out=self.path("out"))
        parity = safetensors_io.read(self.path("out"))["losses"]
        self.assertAlmostEqual(self.ok("run", steps=2)["loss"], float(parity[1]), 5)
        self.ok("parity", steps=1, out=self.path("out"))
        answer = self.ok("run", steps=3, losses=True)
        self.assertEqual(answer["steps"], 3)
        self.assertGreater(answer["wall_ns"], 0)
        self.assertIsInstance(answer["wall_ns"], int)
        self.close(np.array(answer["losses"]), parity[:3], 1e-6, "losses")
        self.assertEqual(answer["loss"], answer["losses"][2])
        more = self.ok("run", steps=2, losses=True)
        self.close(np.array(more["losses"]), parity[3:], 1e-6, "losses of the next run")
        self.assertNotIn("losses", self.ok("run", steps=1))

        self.ok("export", out=self.path("weights out"))
        exported = safetensors_io.read(self.path("weights out"))
        weights = safetensors_io.read(self.path("weights"))
        self.assertEqual(list(exported), list(weights))
        data = safetensors_io.read(self.path("data"))
        reference = Reference("cnn-fashion", weights, data, request)
        for _ in range(6):
            reference.step()
        for name, value in exported.items():
            self.close(value, reference.p[name].detach().numpy(), 1e-3, name)

    def test_data_on_the_host(self):
        """On a processor that is where it lies anyway."""
        losses = []
        for where in ("device", "host"):
            prepared = self.ok("prepare", **self.request("cnn-fashion", data_on=where))
            self.assertEqual([text for text in prepared["warnings"] if "memory" in text], [])
            losses.append(self.ok("run", steps=9, losses=True)["losses"])
        self.assertEqual(losses[0], losses[1])

    def test_a_batch_in_turns(self):
        """The training of the whole batch, up to the order of sums."""
        request = self.request("mlp-mnist")
        if self.hello["engine"] != "torch":
            self.refused("UNAVAILABLE", "a batch in one turn", "prepare",
                         **{**request, "accumulate": 2})
            return
        found = []
        for turns in (1, 4):
            self.ok("prepare", **{**request, "accumulate": turns})
            found.append(self.ok("run", steps=6, losses=True)["losses"])
            phases = self.ok("phases", steps=2)["phases"]
            self.assertGreater(phases["backward"], 0)
        self.close(np.array(found[1]), np.array(found[0]), 1e-5, "losses")
        self.assertNotEqual(found[0], found[1])

    def test_dropout(self):
        """`counter` gives parity's losses; `engine` others, the same ones from the same seed."""
        def losses(**changes):
            self.ok("prepare", **self.request("cnn-mnist", **changes))
            return self.ok("run", steps=3, losses=True)["losses"]

        counter = losses(dropout="counter")
        self.ok("parity", steps=3, out=self.path("out"))
        parity = safetensors_io.read(self.path("out"))["losses"]
        self.close(np.array(counter), parity, 1e-5, "losses")
        engine = losses(dropout="engine")
        self.assertNotAlmostEqual(engine[0], counter[0], 4)
        self.close(np.array(losses(dropout="engine")), engine, 1e-5, "the same seed")
        self.assertNotAlmostEqual(losses(dropout="engine", seed=78)[0], engine[0], 4)

    def test_order_repeats_without_the_remainder(self):
        """Of 11 entries a batch of 4 uses 8; entries may repeat."""
        data = make_data("mlp-mnist", order=[3, 3, 0, 1, 29, 28, 27, 26, 9, 9, 9])
        frozen = {"name": "sgd", "lr": 0.0}
        self.ok("prepare", **self.request("mlp-mnist", data, batch=4, optimizer=frozen))
        losses = self.ok("run", steps=6, losses=True)["losses"]
        self.assertEqual(losses[0:2], losses[2:4])
        self.assertEqual(losses[0:2], losses[4:6])
        self.assertNotEqual(losses[0], losses[1])
        self.ok("parity", steps=1, out=self.path("out"))
        self.assertEqual(safetensors_io.read(self.path("out"))["target"].tolist(),
                         data["labels"][[3, 3, 0, 1]].tolist())

    def test_evaluate(self):
        """All images in their order, no dropout, the last batch short; training is not moved."""
        held = make_data("cnn-mnist", count=21, seed=9)
        del held["order"]
        held["images"][20:] = 255  # the short batch must weigh one image, no more
        safetensors_io.write(self.path("held"), held)
        request = self.request("cnn-mnist", dropout="counter")
        self.ok("prepare", **request)
        answer = self.ok("evaluate", data=self.path("held"))
        reference = Reference("cnn-mnist", safetensors_io.read(self.path("weights")), held, request)
        logits = reference.logits(reference.input(held["images"]), dropout=False)
        target = torch.tensor(held["labels"]).long()
        self.assertEqual(answer["count"], 21)
        self.assertEqual(answer["correct"], int((logits.argmax(1) == target).sum()))
        self.assertAlmostEqual(answer["loss"], reference.loss(logits, target).item(), 5)
        evaluated = self.ok("run", steps=2, losses=True)["losses"]
        self.ok("prepare", **request)
        alone = self.ok("run", steps=2, losses=True)["losses"]
        self.close(np.array(alone), evaluated, 1e-6, "losses")

    def test_infer(self):
        request = self.request("cnn-mnist", mode="infer")
        del request["optimizer"]
        self.ok("prepare", **request)
        answer = self.ok("run", steps=4, losses=True)
        self.assertEqual((answer["steps"], answer["loss"], answer["losses"]),
                         (4, None, [None] * 4))
        phases = self.ok("phases", steps=2)["phases"]
        self.assertEqual({name for name, ns in phases.items() if ns},
                         {"data", "forward", "idle_other"})
        self.ok("parity", steps=2, out=self.path("out"))
        found = safetensors_io.read(self.path("out"))
        self.assertFalse([name for name in found if name.startswith("grad.")])
        reference = Reference("cnn-mnist", safetensors_io.read(self.path("weights")),
                              safetensors_io.read(self.path("data")), request)
        x, target = reference.batch()
        logits = reference.logits(x, dropout=False)
        self.close(found["logits"], logits.detach().numpy(), 1e-5, "logits")
        self.ok("export", out=self.path("weights out"))
        for name, value in safetensors_io.read(self.path("weights out")).items():
            np.testing.assert_array_equal(value, make_weights("cnn-mnist")[name])

    def test_phases_add_up(self):
        self.ok("prepare", **self.request("cnn-fashion"))
        self.ok("run", steps=2)
        answer = self.ok("phases", steps=5)
        self.check_phases(answer, 5, "cpu")
        self.assertEqual((answer["synchronisations"], answer["upload_bytes"],
                          answer["phases"]["upload"]), (0, 0, 0))
        self.check_ops(answer)

    def check_phases(self, answer, steps, device):
        """By construction they add up to the wall time, whatever else the machine does."""
        phases = answer["phases"]
        self.assertEqual(answer["steps"], steps)
        self.assertEqual(set(phases), {"data", "upload", "forward", "backward", "optimizer",
                                       "loss_read", "idle_host", "idle_other"})
        self.assertEqual(sum(ns or 0 for ns in phases.values()), answer["wall_ns"])
        for phase in ("data", "forward", "backward", "optimizer", "loss_read"):
            self.assertGreater(phases[phase], 0, phase)
        self.assertEqual(set(answer["work"]), {device})
        self.assertEqual(answer["work"][device]["launches"], answer["launches"])
        self.assertGreater(answer["work"][device]["busy_ns"], 0)

    def check_ops(self, answer):
        """They are in the phases in which they run, in the order of their time."""
        found = {(op["op"], op["phase"]) for op in answer["ops"]}
        for pair in (("aten::index_select", "data"), ("aten::addmm", "forward"),
                     ("aten::convolution_backward", "backward"), ("aten::add_", "optimizer")):
            self.assertIn(pair, found)
        self.assertNotIn(("aten::convolution_backward", "forward"), found)
        times = [op["ns"] for op in answer["ops"]]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertLessEqual(len(times), 40)

    def test_phases_change_nothing(self):
        """Dropout, momentum, the order of the pictures: all go on as if nobody had looked."""
        found = []
        for look in (False, True):
            self.ok("prepare", **self.request("cnn-cifar"))
            losses = self.ok("run", steps=3, losses=True)["losses"]
            if look:
                self.ok("phases", steps=4)
                self.ok("reference")
            losses += self.ok("run", steps=5, losses=True)["losses"]
            self.ok("export", out=self.path("trained"))
            found.append((losses, safetensors_io.read(self.path("trained"))))
        self.assertEqual(found[0][0], found[1][0])
        for name, value in found[0][1].items():
            np.testing.assert_array_equal(value, found[1][1][name])

    def test_reference(self):
        self.ok("prepare", **self.request("mlp-mnist"))
        for _ in range(2):
            self.assertGreater(self.ok("reference")["wall_ns"], 10_000)

    def test_prepare_and_sync_answers(self):
        prepared = self.ok("prepare", **self.request("mlp-mnist", threads=1))
        self.assertEqual((prepared["precision"], prepared["threads"]), ("fp32", 1))
        self.assertEqual(prepared["device_name"], self.hello["devices"][0]["name"])
        self.assertIn("PyTorch " + torch.__version__, prepared["implementation"])
        self.assertGreater(prepared["prepare_ns"], 0)
        self.assertIsInstance(prepared["warnings"], list)
        prepared = self.ok("prepare", **self.request("mlp-mnist", threads=2))
        self.assertEqual(prepared["threads"], 2)
        self.assertEqual([text for text in prepared["warnings"] if "threads" in text], [])
        self.assertGreaterEqual(self.ok("sync")["wall_ns"], 0)

    def test_bf16_is_computed_or_refused(self):
        """Never silently fp32."""
        weights = make_weights("mlp-mnist")
        answer = self.child.ask("prepare", **self.request("mlp-mnist", precision="bf16"))
        if not answer["ok"]:
            self.assertEqual(answer["status"], "UNAVAILABLE")
            self.assertRegex(answer["error"], "bf16|bfloat16")
            return
        self.assertEqual(answer["precision"], "bf16")
        self.ok("parity", steps=1, out=self.path("out"))
        data = safetensors_io.read(self.path("data"))
        reference = Reference("mlp-mnist", weights, data, self.request("mlp-mnist"))
        expected = reference.step()[2].numpy()
        found = safetensors_io.read(self.path("out"))["logits"]
        error = np.abs(found - expected).max() / np.abs(expected).max()
        self.assertTrue(1e-4 < error < 5e-2, error)

    def test_not_a_number_is_null(self):
        huge = {"name": "sgd", "lr": 1e30}
        self.ok("prepare", **self.request("mlp-mnist", optimizer=huge))
        answer = self.ok("run", steps=8, losses=True)
        self.assertGreater(answer["losses"][0], 0)
        self.assertEqual((answer["losses"][7], answer["loss"]), (None, None))
        self.assertIsNone(self.ok("run", steps=1)["loss"])
        self.assertIsNone(self.ok("evaluate", data=self.path("data"))["loss"])

    def test_refused_members(self):
        good = self.request("cnn-fashion")
        for member, value, status, text in (
                ("workload", "gpt3", "UNAVAILABLE", "found 'gpt3'"),
                ("workload", 7, "USAGE", "expected 'workload' to be a text, found 7"),
                ("device", "cuda:99", "UNAVAILABLE", "CUDA"),
                ("device", "mps:1", "UNAVAILABLE", "found 'mps:1'"),
                ("device", "opencl:0", "UNAVAILABLE", "found 'opencl:0'"),
                ("precision", "tf32", "UNAVAILABLE", "which has no TF32"),
                ("precision", "fp8", "UNAVAILABLE", "found 'fp8'"),
                ("threads", 0, "USAGE", "at least 1, found 0"),
                ("threads", True, "USAGE", "a whole number, found true"),
                ("batch", 0, "USAGE", "at least 1, found 0"),
                ("batch", 2.5, "USAGE", "a whole number, found 2.5"),
                ("batch", 31, "BAD_DATA", "one batch of 31 in data, found 30 samples"),
                ("accumulate", 0, "USAGE", "at least 1, found 0"),
                ("mode", "test", "USAGE", "one of train, infer"),
                ("data_on", "disk", "USAGE", "one of device, host"),
                ("seed", -1, "USAGE", "at least 0"), ("seed", 1 << 64, "USAGE", "below 2^64"),
                ("dropout", "none", "USAGE", "one of engine, counter"),
                ("data", self.path("none"), "IO", "No such file"),
                ("weights", self.path("none"), "IO", "No such file"),
                ("weights", "a\0b", "IO", "null byte"),
                ("data", self.folder.name, "IO", "Is a directory"),
                ("normalize", {"images": {"mean": [0]}}, "USAGE", "'std'"),
                ("normalize", {"images": {"mean": [0, 0], "std": [1]}}, "USAGE",
                 "1 values in 'normalize.images"),
                ("normalize", {"images": {"mean": [0], "std": [0]}}, "USAGE",
                 "'normalize.images.std' above 0"),
                ("normalize", {"images": {"mean": ["x"], "std": [1]}}, "USAGE",
                 "'mean' to be a number"),
                ("optimizer", {"name": "lion", "lr": 1}, "USAGE", "one of sgd, adam, adamw"),
                ("optimizer", {"name": "sgd"}, "USAGE", "the member 'lr', found none"),
                ("optimizer", {"name": "sgd", "lr": -1}, "USAGE", "'lr' to be at least 0"),
                ("optimizer", {"name": "adam", "lr": 1, "beta2": 1}, "USAGE", "below 1, found 1")):
            with self.subTest(member=member, value=value):
                self.refused(status, text, "prepare", **dict(good, **{member: value}))
        for member in ("workload", "device", "batch", "data", "weights", "normalize", "optimizer"):
            bad = {key: value for key, value in good.items() if key != member}
            self.refused("USAGE", f"the member '{member}', found none", "prepare", **bad)
        self.refused("USAGE", "send 'prepare' first", "run", steps=1)
        self.ok("prepare", **dict(good, unknown="ignored"))
        for steps in (0, -1, 1.5, "1", None):
            self.refused("USAGE", "'steps'", "run", steps=steps)
        self.refused("USAGE", "'losses' to be true or false", "run", steps=1, losses=1)
        self.refused("IO", "cannot be written", "export", out=self.path("none/x"))
        self.refused("IO", "cannot be written", "parity", steps=1, out=self.path("none/x"))
        self.refused("IO", "No such file", "evaluate", data=self.path("none"))
        self.ok("run", steps=1)

    def test_refused_files(self):
        good_data, good_weights = make_data("cnn-fashion"), make_weights("cnn-fashion")

        def data(name, change):
            return dict(good_data, **{name: change(good_data[name])}), good_weights

        def weights(name, value):
            return good_data, dict(good_weights, **{name: value})

        def outside(value):
            return lambda x: np.concatenate((x[:-1], np.array([value], x.dtype)))

        missing = {k: v for k, v in good_weights.items() if k != "fc2.bias"}
        for (d, w), text in (
                (data("labels", outside(10)), "'labels' from 0 to 9 in data, found 0 to 10"),
                (data("labels", outside(-1)), "'labels' from 0 to 9 in data, found -1 to"),
                (data("order", outside(30)), "'order' from 0 to 29 in data, found 0 to 30"),
                (data("order", lambda x: x[:0]), "'order' as int32 of 1 dimensions, not empty"),
                (data("labels", lambda x: x[1:]), "found [29]: use the data of this workload"),
                (data("labels", lambda x: x.astype(np.int64)), "found int64 [30]"),
                (data("images", lambda x: x.astype(np.float32)), "found float32 [30, 1, 28, 28]"),
                (data("images", lambda x: x[:, :, 1:]), "found [30, 1, 27, 28]"),
                (({"images": good_data["images"]}, good_weights), "expected 'labels' as int32"),
                ((good_data, missing), "'fc2.bias' as float32 [10] in weights, found none"),
                (weights("extra", np.float32(0)), "found also 'extra'"),
                (weights("fc2.bias", np.zeros(11, np.float32)), "found float32 [11]"),
                (weights("fc2.bias", np.zeros(10)), "found float64 [10]"),
                ((good_data, make_weights("cnn-mnist")), "'conv1.weight' as float32 [16, 1,")):
            with self.subTest(text=text):
                self.refused("BAD_DATA", text, "prepare", **self.request("cnn-fashion", d, w))
        with open(self.path("weights"), "r+b") as file:
            file.truncate(1000)
        request = self.request("cnn-fashion")
        with open(request["weights"], "r+b") as file:
            file.truncate(1000)
        self.refused("BAD_DATA", "bytes of tensors in weights, found 408", "prepare", **request)

    def test_broken_lines(self):
        for line, status, text in (
                (b"", "BAD_DATA", "one JSON object"), (b"{", "BAD_DATA", "one JSON object"),
                (b"\xff\xfe{}", "BAD_DATA", "one JSON object"), (b"[1]", "BAD_DATA", "found [1]"),
                (b'{"op": NaN}', "BAD_DATA", "'NaN' is no number of JSON"),
                (b"[" * 100000, "BAD_DATA", "one JSON object"),
                (b"9" * 5000, "BAD_DATA", "one JSON object"),
                (b"{}", "USAGE", "the member 'op', found none"),
                (b'{"op": 7}', "USAGE", "'op' to be a text, found 7"),
                (b'{"op": "fly"}', "USAGE", 'found "fly"'),
                (b'{"op": "failure_of"}', "USAGE", 'found "failure_of"'),
                (b'{"op": "__init__"}', "USAGE", 'found "__init__"')):
            with self.subTest(line=line[:20]):
                self.child.send(line)
                answer = self.child.answer()
                self.assertEqual((answer["ok"], answer["status"]), (False, status))
                self.assertIn(text, answer["error"])


@unittest.skipIf(NO_TORCH, NO_TORCH)
class EndTest(unittest.TestCase):
    """How a runner ends, and what it says of memory; each with a child of its own."""

    def test_end_of_requests(self):
        child = Child()
        child.process.stdin.close()
        self.assertEqual(child.process.wait(ANSWER_LIMIT_S), 0)
        self.assertEqual(child.process.stdout.read(), b"")
        child.process.stdout.close()
        child.process.stderr.close()

    def test_interrupt_is_quiet(self):
        child = Child()
        self.assertTrue(child.ask("hello", schema=2)["ok"])
        child.process.send_signal(signal.SIGINT)
        code, rest, log = child.close()
        self.assertEqual((code, rest, log), (130, b"", ""))

    def test_out_of_memory(self):
        """With the address space full: NO_MEMORY, no crash, and the session is gone."""
        if not sys.platform.startswith("linux"):
            self.skipTest("the address space of another process can be limited on Linux alone")
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: os.path.join(folder, name) for name in ("data", "weights")}
            safetensors_io.write(paths["data"], make_data("cnn-mnist", count=600))
            safetensors_io.write(paths["weights"], make_weights("cnn-mnist"))
            child = Child()
            prepared = child.ask("prepare", workload="cnn-mnist", device="cpu", threads=1,
                                 normalize={"images": {"mean": [0], "std": [1]}},
                                 optimizer=SGD, batch=600,
                                 **paths)
            self.assertTrue(prepared["ok"], prepared)
            with open(f"/proc/{child.process.pid}/statm", encoding="ascii") as file:
                now = int(file.read().split()[0]) * resource.getpagesize()
            limit = now + (16 << 20)
            resource.prlimit(child.process.pid, resource.RLIMIT_AS, (limit, limit))
            answer = child.ask("run", steps=1)
            self.assertEqual((answer["ok"], answer.get("status")), (False, "NO_MEMORY"), answer)
            self.assertIn("use a smaller batch, then prepare again", answer["error"])
            answer = child.ask("run", steps=1)
            self.assertEqual((answer["ok"], answer.get("status")), (False, "USAGE"), answer)
            self.assertEqual(child.ask("quit"), {"ok": True})
            self.assertEqual(child.close()[0], 0)

    def test_unforeseen_errors(self):
        import torch_engine
        for error, status in ((RuntimeError("CUDA out of memory. Tried"), "NO_MEMORY"),
                              (MemoryError(), "NO_MEMORY"),
                              (RuntimeError("MPS backend out of memory (MPS"), "NO_MEMORY"),
                              (RuntimeError("CUDA error: an illegal access\nmore"), "DRIVER"),
                              (KeyError("x"), "FAILED")):
            failure = torch_engine.Engine().failure_of(error)
            self.assertEqual(failure.status, status)
            self.assertNotIn("\n", str(failure))


if __name__ == "__main__":
    unittest.main()
