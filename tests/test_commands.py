"""Tests of what the commands do: bench, train, eval, parity, dump, data, runner."""
import json
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
import unittest

from cli_support import (LIMIT_S, PROGRAM, SMALL, FolderTest, floats, has_torch, read_safetensors,
                         run)


class BenchTest(FolderTest):
    ARGUMENTS = ["bench", "mlp-mnist", *SMALL, "--engine", "native", "--threads", "1,2",
                 "--time", "0.05", "--max-time", "0.3"]

    def test_records_have_all_members(self):
        lines = self.good(*self.ARGUMENTS, "--batch", "20,40", "--format", "jsonl").splitlines()
        self.assertEqual(len(lines), 4)
        for line, batch, threads in zip(lines, (20, 20, 40, 40), (1, 2, 1, 2)):
            record = json.loads(line)
            self.check_record(record)
            self.assertEqual((record["batch"], record["threads"]), (batch, threads))

    def check_record(self, record):
        for member in ("schema workload engine device device_name implementation threads batch "
                       "precision data_on mode params flops_per_step step_s samples_per_s "
                       "first_step_s blocks stop_reason peak_rss_bytes data seed warnings "
                       "environment").split():
            self.assertIn(member, record)
        self.assertEqual((record["schema"], record["engine"], record["device"], record["mode"]),
                         (1, "native", "cpu", "train"))
        self.assertEqual((record["params"], record["data"], record["precision"], record["seed"]),
                         (109386, "shapes", "fp32", 42))
        step = record["step_s"]
        self.assertLessEqual(step["low"], step["median"])
        self.assertLessEqual(step["median"], step["high"])
        self.assertTrue(min(record["blocks"]) <= step["median"] <= max(record["blocks"]))
        self.assertAlmostEqual(record["samples_per_s"] * step["median"], record["batch"], places=3)
        self.assertGreater(record["first_step_s"], 0)
        self.assertGreater(record["peak_rss_bytes"], 1 << 20)
        for phase in ("data", "forward", "backward", "optimizer"):
            self.assertGreater(record["phases_s"][phase], 0)
        for member in ("cpu", "system", "kernel", "build", "libraries"):
            self.assertIn(member, record["environment"])
        self.assertEqual(record["asked"]["threads"], record["threads"])
        self.check_evidence(record)

    def check_evidence(self, record):
        """No speed without parity, and none without a proof of where it came from."""
        parity, proof = record["parity"], record["proof"]
        self.assertTrue(0 < parity["error"] < 1e-5, parity)
        self.assertEqual((parity["band"], parity["batch"], parity["steps"]), (1e-4, 8, 3))
        self.assertGreater(proof["work"]["cpu"]["launches"], 0)
        self.assertEqual(list(proof["work"]), ["cpu"])
        self.assertGreater(proof["busy_threads"], 0)
        best, median, worst = (record["reference_s"][key] for key in ("best", "median", "worst"))
        self.assertTrue(0 < best <= median <= worst)
        self.assertTrue(0 <= record["throttled_blocks"] <= len(record["blocks"]))
        self.assertGreaterEqual(record["waited_s"], 0)
        self.assertGreater(record["burst_step_s"], 0)
        self.assertGreater(record["sustained_step_s"], 0)

    def test_no_speed_without_parity(self):
        """An engine that computes wrongly: the native one with half a gradient, in the place of
        PyTorch's runner."""
        proxy = os.path.join(os.environ["BREAKEVEN_SOURCE"], "tests", "proxy_runner.py")
        os.makedirs(self.path("torch"))
        open(self.path("torch", "__init__.py"), "w").close()
        with open(self.path("torch_runner.py"), "w") as file:
            file.write(f"import os, sys\nos.execv(sys.executable, [sys.executable, {proxy!r}, "
                       "'--engine', 'torch', '--gradient', 'fc1.weight=0.5'])\n")
        result = run("bench", "mlp-mnist", *SMALL, "--engine", "native,torch", "--device", "cpu",
                     "--threads", "1", "--max-time", "0.1", "--format", "jsonl",
                     env={"BREAKEVEN_RUNNERS": self.folder, "BREAKEVEN_PYTHON": sys.executable,
                          "PYTHONPATH": self.folder})
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn("torch cpu: expected gradients within 0.0001", result.stderr)
        self.assertIn("at grad.fc1.weight [", result.stderr)
        native, wrong = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual((native["status"], wrong["status"]), ("OK", "NUMERIC"))
        self.assertEqual((wrong["step_s"]["median"], wrong["samples_per_s"]), (None, None))
        self.assertEqual((wrong["blocks"], wrong["stop_reason"]), ([], "refused"))
        self.assertAlmostEqual(wrong["parity"]["error"], 0.5, places=3)
        self.assertIsNone(native["versus"])

    def test_inference(self):
        record = json.loads(self.good(*self.ARGUMENTS, "--infer", "--format", "jsonl")
                            .splitlines()[0])
        self.assertEqual(record["mode"], "infer")
        self.assertEqual(record["phases_s"]["backward"], 0)

    def test_variants(self):
        record = json.loads(self.good(*self.ARGUMENTS, "--width", "2", "--size", "10", "--format",
                                      "jsonl").splitlines()[0])
        self.assertEqual((record["width"], record["size"], record["params"]),
                         (2, 10, 101 * 256 + 257 * 128 + 129 * 10))
        self.bad(2, "bench", "cnn-fashion", "--size", "6", "--engine", "native", *SMALL,
                 says=["cnn-fashion with pictures of 6 pixels"])

    def test_data_on_the_host(self):
        lines = self.good(*self.ARGUMENTS, "--data-on", "host", "--format", "jsonl").splitlines()
        for line in lines:
            self.assertEqual(json.loads(line)["data_on"], "host")

    def test_a_batch_in_turns(self):
        lines = self.good(*self.ARGUMENTS, "--accumulate", "4", "--format", "jsonl").splitlines()
        for line in lines:
            record = json.loads(line)
            self.assertEqual((record["batch"], record["accumulate"]), (64, 4))
        page = self.good(*self.ARGUMENTS, "--accumulate", "4")
        self.assertIn("batch 64 in 4 turns", page)
        plan = self.good("bench", "mlp-mnist", *SMALL, "--accumulate", "4", "--dry-run")
        self.assertIn("[16, 784]", plan)
        for words, text in ((["--infer"], "inference has no gradients"),
                            (["--workers", "2"], "leave --accumulate out")):
            self.bad(2, "bench", "mlp-mnist", *SMALL, "--accumulate", "2", *words, says=[text])
        self.bad(2, "bench", "op:gelu", "--accumulate", "2", says=["a network of the ladder"])

    def test_page(self):
        text = self.good(*self.ARGUMENTS)
        for line in text.splitlines():
            self.assertLessEqual(len(line), 80, line)
        for part in ("machine: ", "data: ", "mlp-mnist: 109,386 parameters", "training, batch 64",
                     "vs. best", "why: ", "advice: train mlp-mnist with native on "):
            self.assertIn(part, text.replace("generated\n  ", "generated "))
        self.assertEqual(len(re.findall(r"^native +cpu", text, re.M)), 2)

    def test_dry_run(self):
        text = self.good("bench", "cnn-fashion", *SMALL, "--dry-run", "--engine", "native")
        for part in ("cnn-fashion, batch 100", "data_batch", "persistent", "without reuse"):
            self.assertIn(part, text)

    def test_lists_and_ranges(self):
        for text, batches in (("7", [7]), ("5,3", [5, 3]), ("8..64*2", [8, 16, 32, 64]),
                              ("8..63*2", [8, 16, 32]), ("10..20+5,7", [10, 15, 20, 7]),
                              ("3..5", [3, 4, 5])):
            plans = self.good("bench", "mlp-mnist", *SMALL, "--dry-run", "--batch", text)
            found = re.findall(r"^mlp-mnist, batch (\d+), training$", plans, re.M)
            self.assertEqual([int(batch) for batch in found], batches)

    def test_interrupt(self):
        arguments = [PROGRAM, *self.NOTHING[:-4], "--time", "100", "--max-time", "100"]
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, env={**os.environ, "TMPDIR": self.folder})
        while not os.listdir(self.folder):
            time.sleep(0.01)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        out, log = child.communicate(timeout=LIMIT_S)
        self.assertEqual(child.returncode, 130, log)
        self.assertIn("stopped by a signal", out + log)
        self.assertEqual(os.listdir(self.folder), [])

    def test_null_device(self):
        """It plans and counts; it is shown, and compared with nobody."""
        arguments = ["bench", "mlp-mnist", *SMALL, "--engine", "native", "--time",
                     "0.02", "--max-time", "0.1", "--device"]
        one = {"OMP_NUM_THREADS": "1"}
        for words in ("null", "null:0,cpu", "cpu,null"):
            lines = self.good(*arguments, words, "--format", "jsonl", env=one).splitlines()
            records = {r["device"]: r for r in map(json.loads, lines)}
            nothing = records.pop("null:0")
            self.assertEqual((nothing["status"], nothing["computes_nothing"]), ("OK", True))
            self.assertGreater(nothing["launches"], 10)
            self.assertGreater(nothing["step_s"]["median"], 0)
            for member in ("samples_per_s", "flops_per_s", "versus"):
                self.assertIsNone(nothing[member])
            self.assertIn("computes nothing: its results were not checked, and its times are no "
                          "speed", " ".join(nothing["warnings"]))
            for record in records.values():
                self.assertFalse(record["computes_nothing"])
                self.assertIsNone(record["versus"])
        text = self.good(*arguments, "null,cpu", env=one)
        self.assertRegex(text, r"(?m)^native +cpu .* best$")
        self.assertRegex(text, r"(?m)^native +null:0 .* computes nothing$")
        self.assertIn("advice: train mlp-mnist with native on 1 thread", text)
        self.assertNotRegex(self.good(*arguments, "null"), "best$|advice:|failed")
        for name in ("null:1", "mps"):  # Apple's GPU is none of the native engine's
            self.bad(3, *arguments, name, says=[f"device {name}: no engine has it here"])

    NOTHING = ["bench", "mlp-mnist", *SMALL, "--engine", "native", "--device", "null", "--time",
               "0.01", "--max-time", "0.05"]

    def test_no_file_stays_behind(self):
        self.good(*self.NOTHING, env={"TMPDIR": self.folder})
        self.assertEqual(os.listdir(self.folder), [])
        self.bad(1, *self.NOTHING, env={"TMPDIR": self.path("none")}, says=[self.path("none")])

    def test_threads_of_the_environment(self):
        lines = self.good("bench", "mlp-mnist", *SMALL, "--engine", "native", "--max-time", "0.05",
                          "--format", "jsonl", env={"OMP_NUM_THREADS": "3"}).splitlines()
        self.assertEqual([json.loads(line)["threads"] for line in lines], [3, 1])
        result = run("train", "mlp-mnist", *SMALL, "--steps", "1", env={"OMP_NUM_THREADS": "many"})
        self.assertEqual(result.returncode, 0)
        self.assertIn('OMP_NUM_THREADS: expected a number from 1 to 1024, found "many"',
                      result.stderr)

    def test_openmp_bound_to_one_core(self):
        """Only OpenMP's own threads are: the program, and the runners that it starts, have all."""
        environment = {"OMP_PROC_BIND": "true", **self.fake_torch("--where")}
        record, = json.loads(self.good("bench", "mlp-mnist", *SMALL, "--engine", "torch",
                                       "--device", "cpu", "--max-time", "0.05", "--format", "json",
                                       env=environment))
        usable = sorted(os.sched_getaffinity(0))
        self.assertEqual(record["environment"]["cpu"]["threads"], len(usable))
        if record["threads"] == len(usable):  # else it is bound, to one thread a core
            self.assertEqual(record["implementation"], ",".join(map(str, usable)))

    @unittest.skipUnless(has_torch(), "PyTorch is not installed")
    def test_pytorch_beside_it(self):
        lines = self.good("bench", "mlp-mnist", *SMALL, "--threads", "1", "--max-time", "0.2",
                          "--format", "jsonl").splitlines()
        records = [json.loads(line) for line in lines]
        self.assertEqual([r["engine"] for r in records], ["native", "torch"])
        self.assertAlmostEqual(records[0]["first_loss"] / records[1]["first_loss"], 1, places=4)
        self.assertIn("BLAS", json.dumps(records[1]["libraries"]) + "BLAS")


class TrainTest(FolderTest):
    ARGUMENTS = ["train", "mlp-mnist", *SMALL, "--threads", "1", "--batch", "20"]

    def test_the_page_is_as_wide_as_the_terminal(self):
        for columns in (40, 60, 80, 160):
            page = self.good(*self.ARGUMENTS, "--epochs", "2", env={"COLUMNS": str(columns)})
            self.assertLessEqual(max(map(len, page.splitlines())), columns, page)
            self.assertEqual(page == page.replace("\n         ", "\n"), columns >= 80, page)
            for title in ("accuracy", "val loss", "val acc", "pictures/s"):
                self.assertEqual(page.count(title), 1, page)
            self.assertEqual(len(re.findall(r"\d%", page)), 7, page)

    def test_table_json_and_export(self):
        weights = self.path("w.safetensors")
        text = self.good(*self.ARGUMENTS, "--epochs", "3", "--export", weights)
        self.assertEqual(len(re.findall(r"^ +[123] +\d\.\d{4} +\d", text, re.M)), 3, text)
        self.assertIn("first step after", text)
        names = list(read_safetensors(weights))
        self.assertEqual(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight",
                                 "fc3.bias"])
        for form in ("json", "jsonl"):
            out = self.good(*self.ARGUMENTS, "--epochs", "3", "--format", form)
            records = json.loads(out) if form == "json" else [json.loads(x) for x in out.split("\n")
                                                              if x]
            self.assertEqual([r["epoch"] for r in records], [1, 2, 3])
            self.assertEqual([r["step"] for r in records], [10, 20, 30])
        result = json.loads(self.good("eval", "mlp-mnist", *SMALL, "--weights", weights, "--format",
                                      "jsonl"))
        self.assertAlmostEqual(result["accuracy"], records[-1]["validation_accuracy"], places=6)
        self.assertAlmostEqual(result["loss"], records[-1]["validation_loss"], places=4)

    def test_quiet_and_progress(self):
        self.assertEqual(run(*self.ARGUMENTS, "--steps", "1", "--quiet").stderr, "")
        primary, secondary = pty.openpty()
        child = subprocess.Popen([PROGRAM, *self.ARGUMENTS, "--epochs", "2"], stderr=secondary,
                                 stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
        os.close(secondary)
        seen = b""
        while select.select([primary], [], [], LIMIT_S)[0]:
            try:
                part = os.read(primary, 4096)
            except OSError:  # the other side has closed
                break
            if not part:
                break
            seen += part
        os.close(primary)
        self.assertEqual(child.wait(), 0)
        self.assertRegex(seen.decode(),
                         r"epoch 1/2  step \d+/10  loss \d.*  acc \d.*pictures/s  .* left")

    def interrupt(self, number, *more):
        """Begin a long training, send the signal once it is saving; the exit code and log."""
        arguments = [PROGRAM, *self.ARGUMENTS, "--epochs", "100000", *more]
        with open(self.path("log"), "w", encoding="utf-8") as log:
            child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True,
                                     env={**os.environ, "XDG_STATE_HOME": self.path("state")})
            child.stdout.readline()  # the head: it trains from here on
            time.sleep(0.1)
            child.send_signal(number)
            child.communicate(timeout=LIMIT_S)
        with open(self.path("log"), encoding="utf-8") as log:
            return child.returncode, log.read()

    def test_signals_save_and_exit(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signal=number):
                folder = self.path(f"checkpoints-{code}")
                found, log = self.interrupt(number, "--checkpoint", folder, "--checkpoint-every",
                                            "1000000")
                self.assertEqual(found, code, log)
                self.assertIn(f"saved, and --resume {folder} goes on from there", log)
                names = set(os.listdir(folder)) - {"mlp-mnist-best.safetensors"}
                self.assertEqual(len(names), 1)

    def test_an_interrupt_saves_without_a_folder_too(self):
        code, log = self.interrupt(signal.SIGINT)
        self.assertEqual(code, 130, log)
        folder = re.search(r"--resume (\S+) goes on", log).group(1)
        self.assertEqual(os.path.dirname(folder), self.path("state", "breakeven", "interrupted"))
        step = int(re.search(r"after step (\d+) of", log).group(1))
        result = run(*self.ARGUMENTS, "--steps", step + 5, "--resume", folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"going on from step {step}", result.stderr)

    def test_rates_follow_the_schedule_and_gradients_are_clipped(self):
        def last(*options):
            result = run(*self.ARGUMENTS, "--lr", "0.04", "--steps", "8", "--format", "jsonl",
                         *options)
            self.assertEqual(result.returncode, 0, result.stderr)
            return json.loads(result.stdout.splitlines()[-1])

        plain = last()
        self.assertAlmostEqual(plain["last_learning_rate"], 0.04, 8)
        self.assertIsNone(plain["last_gradient_norm"])
        self.assertAlmostEqual(last("--warmup", "11")["last_learning_rate"], 0.04 * 8 / 12, 8)
        line = last("--warmup", "2", "--schedule", "linear")["last_learning_rate"]
        self.assertAlmostEqual(line, 0.04 * 1 / 6, 8)
        falling = last("--warmup", "2", "--schedule", "cosine")["last_learning_rate"]
        self.assertAlmostEqual(falling, 0.04 * (1 + math.cos(math.pi * 5 / 6)) / 2, 8)
        clipped = last("--clip", "0.001")
        self.assertGreater(clipped["last_gradient_norm"], 0.001)
        self.assertGreater(clipped["loss"], plain["loss"])

    def test_a_bad_loss_is_a_numerical_failure(self):
        self.bad(4, *self.ARGUMENTS, "--lr", "1e6", says=["step ", "op ", "not finite"])

    def test_an_export_that_cannot_be_written_fails_at_once(self):
        self.bad(1, *self.ARGUMENTS, "--epochs", "100000", "--export", self.path("no", "w"),
                 says=[self.path("no", "w")])

    def test_dry_run(self):
        text = self.good(*self.ARGUMENTS, "--dry-run")
        self.assertIn("parameters", text)
        self.assertIn("linear", text)

    def test_data_that_is_bad_or_missing(self):
        self.bad(1, "train", "mlp-mnist", "--data", self.folder, says=["MNIST", self.folder])
        os.mkdir(self.path("mnist"))
        with open(self.path("mnist", "train-labels-idx1-ubyte"), "wb") as file:
            file.write(b"\0\0\x08\x01\0\0\0\x05abc")
        self.bad(1, "train", "mlp-mnist", "--data", self.folder, says=["train-labels-idx1-ubyte"])

    def test_a_stand_in_is_told(self):
        result = run("train", "mlp-mnist", "--limit", "100", "--steps", "1", "--batch", "10",
                     env={"BREAKEVEN_DATA": self.folder, "XDG_DATA_HOME": self.folder})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("stand in", result.stderr)
        self.assertIn("generated shapes", result.stdout.replace("\n ", ""))

    def test_startup_is_quick_and_memory_small(self):
        # All 60,000 pictures; the limit on the time is generous, for other tests run meanwhile.
        out = self.good("train", "cnn-fashion", "--steps", "2")
        memory = float(re.search(r"peak memory ([\d.]+) MiB", out).group(1))
        if "address" not in self.good("--version"):
            self.assertLess(memory, 250 / 1.048576)


class ParityTest(FolderTest):
    def test_native_against_the_reference(self):
        for workload in ("mlp-mnist", "cnn-mnist", "cnn-cifar", "cnn-fashion"):
            lines = self.good("parity", workload, *SMALL, "--batch", "2", "--steps", "3",
                              "--engine", "native", "--format", "jsonl").splitlines()
            records = [json.loads(line) for line in lines]
            self.assertEqual([r["quantity"] for r in records],
                             ["input", "target", "weights", "logits", "loss", "gradients",
                              "losses"])
            for r in records:
                self.assertTrue(r["good"] and r["error"] <= 1e-4 and r["tensors"] > 0, r)
                self.assertEqual((r["limit"], r["rounding"], r["unproven"]), (1e-4, None, 0))

    @unittest.skipUnless(has_torch(), "PyTorch is not installed")
    def test_pytorch(self):
        # With dropout, whose bits must agree too.
        lines = self.good("parity", "cnn-mnist", *SMALL, "--batch", "2", "--steps", "3",
                          "--engine", "torch", "--format", "jsonl").splitlines()
        records = [json.loads(line) for line in lines]
        pairs = {(r["engine"], r["against"]) for r in records}
        self.assertEqual(pairs, {("native", "reference"), ("native", "torch"),
                                 ("torch", "reference")})
        self.assertTrue(all(r["good"] for r in records))

    @unittest.skipUnless(has_torch(), "PyTorch is not installed")
    def test_a_schedule_is_the_same_in_every_engine(self):
        """30 steps with a warm-up: the losses agree, and are not those without it."""
        lines = self.good("parity", "mlp-mnist", *SMALL, "--batch", "2", "--steps", "30",
                          "--warmup", "20", "--schedule", "cosine", "--engine", "torch",
                          "--format", "jsonl").splitlines()
        losses = [r for r in map(json.loads, lines) if r["quantity"] == "losses"]
        self.assertEqual([r["engine"] for r in losses], ["native", "native", "torch"])
        for r in losses:
            self.assertTrue(r["good"] and r["error"] <= 1e-4 and r["steps"] == 30, r)
        self.bad(2, "parity", "mlp-mnist", *SMALL, "--batch", "2", "--steps", "20", "--warmup",
                 "20", "--schedule", "linear", "--engine", "native",
                 says=["the 20 of the warm-up"])

    def test_table(self):
        if has_torch():
            for workload, width, size in (("cnn-cifar", 2, 40), ("mlp-mnist", 1, 11)):
                lines = self.good("parity", workload, *SMALL, "--batch", "2", "--steps", "2",
                                  "--width", width, "--size", size, "--format", "jsonl")
                engines = {json.loads(line)["engine"] for line in lines.splitlines()}
                self.assertIn("torch", engines)
        text = self.good("parity", "mlp-mnist", *SMALL, "--batch", "2", "--engine", "native")
        self.assertIn("error: max |a - b| / max |b| over a tensor", text)
        self.assertRegex(text, r"gradients +\d\.\d+e-\d+ +0\.0001 +ok +grad\.fc")
        self.assertNotIn("rounding", text)  # nothing rounds in fp32


class DumpTest(FolderTest):
    def test_tensors(self):
        path = self.path("d.safetensors")
        self.good("dump", "cnn-fashion", *SMALL, "--batch", "4", "-o", path)
        tensors = read_safetensors(path)
        parameters = {"conv1.weight": [16, 1, 3, 3], "conv1.bias": [16],
                      "conv2.weight": [32, 16, 3, 3], "conv2.bias": [32], "fc1.weight": [40, 800],
                      "fc1.bias": [40], "fc2.weight": [10, 40], "fc2.bias": [10]}
        shapes = {"input": [4, 1, 28, 28], "target": [4], "logits": [4, 10], "loss": []}
        shapes.update({"param." + name: shape for name, shape in parameters.items()})
        shapes.update({"grad." + name: shape for name, shape in parameters.items()})
        self.assertEqual({name: t[1] for name, t in tensors.items()}, shapes)
        names = [n for n in tensors if n.startswith("param.")]
        self.assertEqual(names, ["param." + name for name in parameters])
        self.assertEqual({t[0] for n, t in tensors.items() if n != "target"}, {"F32"})
        target = struct.unpack("<4q", tensors["target"][2])
        self.assertEqual(tensors["target"][0], "I64")
        logits = floats(tensors["logits"])
        total = 0.0
        for row in range(4):
            values = logits[row * 10:row * 10 + 10]
            total += math.log(sum(math.exp(v) for v in values)) - values[target[row]]
        self.assertAlmostEqual(floats(tensors["loss"])[0], total / 4, places=5)

    def test_seed_changes_the_weights(self):
        for seed in (1, 2):
            self.good("dump", "mlp-mnist", *SMALL, "--batch", "2", "--seed", seed, "-o",
                      self.path(str(seed)))
        one, two = (read_safetensors(self.path(s)) for s in "12")
        self.assertNotEqual(one["param.fc1.weight"][2], two["param.fc1.weight"][2])


class DataTest(FolderTest):
    def test_list_and_verify(self):
        environment = {"BREAKEVEN_DATA": self.folder, "XDG_DATA_HOME": self.folder}
        records = json.loads(self.good("data", "list", "--format", "json", env=environment))
        self.assertEqual({r["set"]: r["state"] for r in records},
                         {"mnist": "missing", "fashion-mnist": "missing", "cifar-10": "missing",
                          "shapes": "generated", "shapes-colour": "generated",
                          "shapes-1000": "generated", "tokens": "generated", "pairs": "generated",
                          "scenes": "generated", "text": "generated"})
        found = {r["set"]: r for r in records}
        for name, train, test, bytes_, users in (
                ("shapes", 60000, 10000, 70000 * 788,
                 "mlp-mnist, cnn-mnist, cnn-fashion, cnn5-fashion"),
                ("scenes", 216, 24, 240 * (3 * 224 * 224 + 4 * 78), "clip, clip-b16, clip-l14"),
                ("text", 2048, 204, 2252 * 4 * 1024, "gpt2"),
                ("tokens", 4096, 1024, 5120 * 4 * (256 + 2), "encoder"),
                ("shapes-1000", 2000, 400, 2400 * (3 * 224 * 224 + 4), "resnet18, resnet50")):
            self.assertEqual([found[name].get(key) for key in
                              ("train", "test", "memory_bytes", "used_by", "bytes")],
                             [train, test, bytes_, users, None])
        self.assertEqual(found["cifar-10"]["used_by"], "cnn-cifar, resnet18-cifar")
        self.assertIn("used by", self.good("data", "list", env=environment))
        self.bad(1, "data", "verify", "mnist", env=environment,
                 says=["mnist is missing or damaged", "breakeven data get mnist"])
        self.good("data", "verify", env=environment)  # nothing is here, so nothing is wrong

    def test_get(self):
        self.bad(2, "data", "get", "shapes", says=["shapes"])
        self.bad(1, "data", "get", "mnist", "--data", self.path("sets"),
                 env={"BREAKEVEN_MIRROR": "http://127.0.0.1:9"}, says=["127.0.0.1:9"])

    @unittest.skipUnless(os.environ.get("BREAKEVEN_DATA"), "BREAKEVEN_DATA is not set")
    def test_the_real_sets(self):
        records = json.loads(self.good("data", "verify", "fashion-mnist", "--format", "json"))
        self.assertEqual((records[0]["state"], records[0]["train"], records[0]["test"]),
                         ("good", 60000, 10000))


class RunnerTest(FolderTest):
    def test_requests(self):
        requests = [{"op": "hello", "schema": 2, "device": "cpu"}, {"op": "run", "steps": 1},
                    {"op": "nonsense"}, {"op": "hello", "schema": 1},
                    {"op": "prepare", "workload": 3}, [], {"op": "quit"}]
        text = "".join(json.dumps(r) + "\n" for r in requests) + "not read\n"
        answers = [json.loads(x) for x in self.good("runner", input="{\n" + text).splitlines()]
        self.assertEqual([a["ok"] for a in answers], [False, True] + 5 * [False] + [True])
        self.assertEqual([a.get("status") for a in answers],
                         ["BAD_DATA", None, "USAGE", "USAGE", "USAGE", "USAGE", "BAD_DATA", None])
        self.assertEqual(answers[1]["engine"], "native")
        self.assertEqual([d["id"] for d in answers[1]["devices"]], ["cpu"])
        for answer, said in zip(answers[2:6], ("send 'prepare' first", "nonsense",
                                               '"schema" to be 2', '"workload" to be a string')):
            self.assertIn(said, answer["error"])


if __name__ == "__main__":
    unittest.main()
