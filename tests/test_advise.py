"""Tests of `breakeven advise`: what it says of records with planted times, and of bad ones."""
import csv
import io
import json
import unittest

from cli_support import FORMATS, SMALL, FolderTest

COUNT = 60000
HERE = {"cpu": {"model": "AMD EPYC", "threads": 2}, "memory_bytes": 1 << 34}


def record(engine, device, batch, step_s, start_s=0.1, **more):
    """A record of bench as advise reads it: a step known to ±1 %."""
    return {"schema": 1, "kind": "bench", "workload": "cnn-fashion", "mode": "train",
            "precision": "fp32", "data_on": "device", "engine": engine, "device": device,
            "threads": 2, "batch": batch, "data": "fashion-mnist", "data_count": COUNT,
            "start_s": start_s, "prepare_s": 0.0, "first_step_s": step_s, "width": 1,
            "peak_rss_bytes": 1 << 26, "status": "OK", "error": None, "environment": HERE,
            "step_s": {"median": step_s, "low": 0.99 * step_s, "high": 1.01 * step_s}, **more}


def processor(batch, **more):
    return record("native", "cpu", batch, 2e-5 * batch, **more)


def card(batch, **more):
    return record("native", "cuda:0", batch, 4e-3 + 1e-7 * batch, start_s=2.0, **more)


class AdviseTest(FolderTest):
    def advise(self, records, *arguments):
        path = self.path("records.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(r) + "\n" for r in records)
        return self.good("advise", "cnn-fashion", "--from", path, *arguments)

    def text(self, records, *arguments):
        return " ".join(self.advise(records, *arguments).split())

    def answer(self, records, *arguments):
        return json.loads(self.advise(records, *arguments, "--format", "jsonl"))

    BATCHES = [16, 64, 256, 1024, 4096]

    def test_the_planted_break_even_point(self):
        """Equal at 2e-5·b = 4e-3 + 1e-7·b: about batch 201."""
        both = [make(b) for b in self.BATCHES for make in (processor, card)]
        small = self.answer(both, "--batch", "16")
        self.assertEqual(small["candidates"][0]["device"], "cpu")
        self.assertEqual(small["verdict"], "FASTER")
        large = self.answer(both, "--batch", "1024")
        self.assertEqual(large["candidates"][0]["device"], "cuda:0")
        # Start-up moves it a little: 2 s are 4 % of the training.
        self.assertEqual(len(large["flip"]["batches"]), 1)
        self.assertAlmostEqual(large["flip"]["batches"][0], 201, delta=40)
        self.assertIn("Between batch 16 and 4096 they change places at about batch 2",
                      self.text(both, "--batch", "1024"))

    def test_a_short_training_goes_to_the_processor(self):
        both = [make(b) for b in self.BATCHES for make in (processor, card)]
        answer = self.answer(both, "--batch", "1024", "--steps", "20")
        self.assertEqual(answer["candidates"][0]["device"], "cpu")
        # 1.9 s of start against 16.4 ms a step
        self.assertAlmostEqual(answer["flip"]["samples"], 1.9 / 0.0163776 * 1024, delta=2000)
        text = self.text(both, "--batch", "1024", "--steps", "20")
        self.assertIn("for 20 steps, with native on 2 threads: 510 ms", text)
        self.assertIn("100 ms of it to start", text)
        self.assertIn("A training of more than", text)
        self.assertIn("goes to native on cuda:0, which takes less time per step", text)

    def test_what_was_not_measured_is_said(self):
        text = self.text([processor(b) for b in self.BATCHES], "--batch", "100")
        self.assertIn("Batch 100 was not measured; its step is interpolated", text)
        self.assertIn("left out came within", text)
        self.assertIn("There is nothing to compare it with", text)
        answer = self.answer([processor(b) for b in self.BATCHES], "--batch", "100")
        best = answer["candidates"][0]
        self.assertFalse(best["measured"])
        self.assertAlmostEqual(best["step_s"]["point"], 2e-3, delta=1e-9)
        self.assertAlmostEqual(best["held_out"], 0, delta=1e-9)
        text = self.text([processor(b) for b in (16, 256)], "--batch", "100")
        self.assertIn("too few settings were measured", text)

    def test_what_a_sweep_kept(self):
        """Its points hold the records of all settings; the better one speaks for the device."""
        def slower(batch):
            return record("native", "cpu", batch, 4e-5 * batch,
                          asked={"program": ["breakeven", "--library", "onednn"]})

        points = [{"kind": "sweep", "schema": 1, "environment": HERE}] + [
            {"kind": "point", "x": b, "contenders": [processor(b), slower(b), card(b)]}
            for b in self.BATCHES]
        for point in points[1:]:
            for contender in point["contenders"]:
                del contender["environment"]  # a sweep's file has it once
        answer = self.answer(points, "--batch", "64")
        self.assertEqual([c["device"] for c in answer["candidates"]], ["cpu", "cuda:0"])
        self.assertAlmostEqual(answer["candidates"][0]["step_s"]["point"], 2e-5 * 64)

    def test_close_is_called_close(self):
        near = [processor(64), record("torch", "cpu", 64, 1.3e-3)]
        self.assertIn("too close to call: PyTorch on 2 threads", self.text(near, "--batch", "64"))

    def test_other_goals(self):
        both = [processor(64, energy_per_step_j=0.01), card(64, energy_per_step_j=0.5)]
        self.assertIn("with native on 2 threads: 93.7 J",
                      self.text(both, "--batch", "64", "--goal", "energy", "--epochs", "10"))
        self.assertIn("67", self.text(both, "--batch", "64", "--goal", "memory")[:200]
                      .replace("64.0 MiB", "67"))
        path = self.path("records.jsonl")
        self.advise([processor(64)], "--batch", "64")
        self.bad(3, "advise", "cnn-fashion", "--batch", "64", "--goal", "energy", "--from", path,
                 says=["no device here has a sensor", "--goal time"])

    def test_one_that_failed_is_out(self):
        failed = {**card(64), "step_s": {"median": None}, "status": "FAILED",
                  "error": "its card was lost"}
        self.assertIn("native on cuda:0 is out: its card was lost",
                      self.text([processor(64), failed], "--batch", "64"))
        self.assertNotIn("is out", self.text([processor(64), failed, card(256)], "--batch", "64"))

    def test_every_format(self):
        for form in FORMATS:
            out = self.advise([processor(64), card(64)], "--batch", "64", "--format", form)
            self.assertTrue(out.strip(), form)
            self.assertLessEqual(max(map(len, out.splitlines())) if form == "table" else 0, 80)
        rows = list(csv.DictReader(io.StringIO(
            self.advise([processor(64), card(64)], "--batch", "64", "--format", "csv"))))
        self.assertEqual([row["standing"] for row in rows], ["best", "runner-up"])

    def test_bad_files(self):
        path = self.path("bad.jsonl")
        good = json.dumps(processor(64))
        cases = [(2, "", "records of cnn-fashion, found none"),
                 (1, '{"a": 1}', 'line 1, member "kind": expected "bench" or "point", found none'),
                 (1, '{"kind": "epoch"}', 'expected "bench" or "point", found "epoch"'),
                 (1, '{"kind": "point", "x": 8, "ratio": 2}', "take the file that it kept"),
                 (1, "{", 'line 1: expected a record in JSON'),
                 (1, good + "\n\nrubbish", 'line 3: expected a record in JSON'),
                 (1, good + "\n7", "line 2: expected a record"),
                 (1, '[{"a": 1}', 'line 1: expected a record in JSON'),
                 (1, "[" + good + ", 7]", "record 2: expected a record (an object)")]
        for code, text, says in cases:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.bad(code, "advise", "cnn-fashion", "--from", path, says=[says])
        self.bad(1, "advise", "cnn-fashion", "--from", self.path("none"), says=["none: "])
        self.advise([processor(64), processor(256)], "--batch", "64")
        self.bad(2, "advise", "cnn-fashion", "--from", self.path("records.jsonl"), "--batch", "512",
                 says=["batch 512: expected one between the batches that were measured"])
        self.bad(2, "advise", "cnn-fashion", "--epochs", "1", "--steps", "1",
                 says=["give one of them"])

    @staticmethod
    def changed(path, value):
        """A record with one member changed; without it if the value is ...."""
        changed = json.loads(json.dumps(processor(64)))
        *outer, name = path.split(".")
        inner = changed
        for word in outer:
            inner = inner.setdefault(word, {})
        inner[name] = value
        if value is ...:
            del inner[name]
        return changed

    WRONG = [("schema", 2), ("schema", ...), ("schema", "1"), ("status", "GOOD"), ("status", ...),
             ("status", 7), ("error", "it failed"), ("step_s.median", -1e-3), ("step_s.median", 0),
             ("step_s.median", 1e9), ("step_s.median", "1e-3"), ("step_s.median", None),
             ("step_s.low", 1), ("step_s", None), ("start_s", -1), ("first_step_s", 1e300),
             ("samples_per_s", 12), ("batch", 64.5), ("batch", 0), ("batch", True),
             ("threads", -3), ("workload", None), ("workload", 1), ("engine", ""), ("device", []),
             ("data_count", "many"), ("peak_rss_bytes", -1), ("energy_per_step_j", -2),
             ("blocks", [1e-3, -1e-3]), ("blocks", ["x"]), ("blocks", 3), ("blocks", [1, 2]),
             ("environment", ...), ("environment.cpu.threads", 0), ("width", 0)]

    def test_what_no_bench_wrote_is_not_believed(self):
        path = self.path("records.jsonl")
        for member, value in self.WRONG:
            with self.subTest(member=member, value=value):
                with open(path, "w", encoding="utf-8") as file:
                    for r in (processor(16), self.changed(member, value)):
                        file.write(json.dumps(r) + "\n")
                says = [f"{path}, line 2, member \"{member.split('.')[0]}", "expected", "found"]
                self.bad(1, "advise", "cnn-fashion", "--batch", "32", "--from", path, says=says)
        for value in ("NaN", "Infinity", "1e999"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(json.dumps(processor(64)).replace("0.1", value))
            self.bad(1, "advise", "cnn-fashion", "--from", path, says=["line 1"])

    def test_what_cannot_be_put_together(self):
        """Two machines, two cards, two data sets; a failure and other models are left aside."""
        path = self.path("records.jsonl")
        other = {"cpu": {"model": "Xeon", "threads": 16}, "memory_bytes": 1 << 37}
        cases = [([processor(16), processor(64, environment=other)],
                  ["line 2: expected records of one machine, AMD EPYC with 2 threads and 16.0 GiB "
                   "as in", "found Xeon with 16 threads"]),
                 ([card(16, device_name="H200"), card(64, device_name="A100")],
                  ['line 2: expected device cuda:0 to be "H200"', 'found "A100"']),
                 ([processor(16), processor(64, data_count=200)],
                  ["line 2: expected the 60000 pictures", "found the 200"])]
        for records, says in cases:
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(r) + "\n" for r in records)
            self.bad(1, "advise", "cnn-fashion", "--batch", "32", "--from", path, says=says)
        lost = {**card(64), "status": "FAILED", "error": "lost", "step_s": {"median": 1e-9}}
        wide = record("torch", "cpu", 64, 1e-6, width=4)
        answer = self.answer([processor(64), lost, wide], "--batch", "64")
        self.assertEqual([c["engine"] + c["device"] for c in answer["candidates"]], ["nativecpu"])
        answer = self.answer([processor(64), wide], "--batch", "64", "--width", "4")
        self.assertEqual([c["engine"] for c in answer["candidates"]], ["torch"])

    def test_how_a_file_may_look(self):
        lines = [json.dumps(processor(b)) for b in (16, 64)]
        texts = ["\n".join(lines), "\ufeff" + "\r\n".join(lines) + "\r\n",
                 "\n\n" + lines[0] + "\n  \r\n" + lines[1] + "\n\n",
                 "\ufeff\n[" + ",\n".join(lines) + "]\r\n",
                 "\n".join(lines + ['{"kind": "advice"}'])]
        path = self.path("records.jsonl")
        for text in texts:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            self.good("advise", "cnn-fashion", "--batch", "32", "--from", path)
        with open(path, encoding="utf-8") as file:
            out = self.good("advise", "cnn-fashion", "--batch", "32", "--from", "-", stdin=file)
        self.assertIn("this is from standard input", " ".join(out.split()))

    def test_it_measures_by_itself(self):
        out = json.loads(self.good("advise", "mlp-mnist", "--engine", "native", "--threads", "1",
                                   "--max-time", "0.3", "--format", "jsonl", *SMALL))
        best = out["candidates"][0]
        self.assertEqual((best["engine"], best["threads"], best["standing"]), ("native", 1, "best"))
        self.assertTrue(best["measured"] and best["step_s"]["point"] > 0)
        self.assertIsNone(out["from"])
        self.assertGreater(best["total_s"]["point"], best["start_s"]["point"])

    # ---------------------------------------------------------------- workers

    def scaled(self, *arguments, **more):
        records = [processor(b, params=1000000, **more) for b in self.BATCHES]
        return self.answer(records, "--batch", "1024", *arguments)["scaling"]

    def test_workers_by_hand(self):
        """4 MB over 1 GB/s and 10 us; a step of 2e-5 s a sample."""
        self.assertIsNone(self.scaled())
        told = self.scaled("--workers", "2,4", "--link", "1e9,1e-5")
        self.assertEqual(told["gradient_bytes"], 4e6)
        two, four = told["points"]
        self.assertEqual((two["workers"], two["batch"], two["reduce"]), (2, 512, "ring"))
        self.assertAlmostEqual(two["reduce_s"], 2 * (2e-3 + 1e-5), places=9)
        self.assertAlmostEqual(four["reduce_s"], 6 * (1e-3 + 1e-5), places=9)
        self.assertAlmostEqual(four["step_s"]["point"], 256 * 2e-5, places=7)
        self.assertAlmostEqual(four["speed_up"]["point"], 20.48 / (5.12 + 6.06), places=3)
        self.assertAlmostEqual(four["efficiency"]["point"], 20.48 / (20.48 + 6.06), places=3)

    def test_a_part_that_nobody_measured_is_not_told(self):
        """One sample each lies below the batches of the records; 2048 have no sample."""
        for workers in "1024", "2048":
            point, = self.scaled("--workers", workers, "--link", "1e9,1e-5")["points"]
            self.assertIsNone(point["speed_up"]["point"])
            self.assertIsNotNone(point["efficiency"]["point"])

    def test_workers_in_words(self):
        records = [processor(b, params=1000000) for b in self.BATCHES]
        text = self.text(records, "--batch", "1024", "--workers", "2..8*2", "--link", "1e9,1e-5")
        self.assertIn("pays from 2 workers on, and is fastest on 8, 2.11 times as fast", text)
        text = self.text(records, "--batch", "1024", "--workers", "2..8*2", "--link", "1e8,1e-5")
        self.assertIn("never surely pays among these: at best 2 workers are 0.4", text)
        text = self.text(records, "--batch", "1024", "--workers", "2048", "--link", "1e9,0")
        self.assertIn("What splitting the batch would bring is not known", text)
        self.assertIn("workers with a batch of 1024 each", text)

    def test_workers_of_this_machine_are_measured_beside(self):
        ask = ["advise", "mlp-mnist", "--engine", "native", "--threads", "1", "--max-time", "0.3",
               "--batch", "16", "--workers", "2", "--link", "local", "--no-store", *SMALL]
        told = json.loads(self.good(*ask, "--format", "jsonl"))["scaling"]
        self.assertGreater(told["bytes_per_s"], 0)
        point, = told["points"]
        self.assertGreater(point["measured"]["point"], 0)
        self.bad(2, "advise", "mlp-mnist", "--workers", "2", "--link", "local", "--from", "none",
                 says=["--link local and --from"])

    def test_links_that_are_none(self):
        path = self.path("records.jsonl")
        self.advise([processor(b) for b in self.BATCHES])
        ask = ["advise", "cnn-fashion", "--batch", "64", "--from", path]
        for link in "fast", "1e9", "1e9,", "0,1", "1e9,-1", "inf,0", "1e9,1e-5,3":
            self.bad(2, *ask, "--workers", "2", "--link", link,
                     says=["--link: expected bytes per second", '"%s"' % link])
        self.bad(2, *ask, "--workers", "2", says=["--workers", "--link"])
        self.bad(2, *ask, "--link", "1e9,0", says=["--link", "--workers"])
        self.bad(2, *ask, "--workers", "1", "--link", "1e9,0", says=["--workers"])
        self.bad(1, *ask, "--workers", "2", "--link", "1e9,0",
                 says=['expected records with "params"'])


if __name__ == "__main__":
    unittest.main()
