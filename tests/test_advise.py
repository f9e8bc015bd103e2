"""Tests of `breakeven advise`: what it says of records with planted times, and of bad ones."""
import csv
import io
import json
import unittest

from cli_support import FORMATS, SMALL, FolderTest

COUNT = 60000


def record(engine, device, batch, step_s, start_s=0.1, **more):
    """A record of bench as advise reads it: a step known to ±1 %."""
    return {"schema": 1, "kind": "bench", "workload": "cnn-fashion", "mode": "train",
            "precision": "fp32", "data_on": "device", "engine": engine, "device": device,
            "threads": 2, "batch": batch, "data_count": COUNT, "start_s": start_s, "prepare_s": 0.0,
            "first_step_s": step_s, "peak_rss_bytes": 1 << 26, "error": None,
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
        self.assertAlmostEqual(answer["flip"]["pictures"], 1.9 / 0.0163776 * 1024, delta=2000)
        text = self.text(both, "--batch", "1024", "--steps", "20")
        self.assertIn("for 20 steps, with native on 2 threads: 510 ms", text)
        self.assertIn("100 ms of it to start", text)
        self.assertIn("A training of more than", text)
        self.assertIn("goes to native on cuda:0, which takes less time a step", text)

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

        points = [{"kind": "sweep", "schema": 1}] + [
            {"kind": "point", "x": b, "contenders": [processor(b), slower(b), card(b)]}
            for b in self.BATCHES]
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
        failed = {**card(64), "step_s": {"median": None}, "error": "its card was lost"}
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
        cases = [(2, "", "records of cnn-fashion, found none"),
                 (2, '{"a": 1}', "records of cnn-fashion, found none"),
                 (1, "{", 'line 1: expected a record in JSON'),
                 (1, '{"a": 1}\nrubbish', 'line 2: expected a record in JSON'),
                 (1, '[{"a": 1}', 'line 1: expected a record in JSON')]
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

    def test_it_measures_by_itself(self):
        out = json.loads(self.good("advise", "mlp-mnist", "--engine", "native", "--threads", "1",
                                   "--max-time", "0.3", "--format", "jsonl", *SMALL))
        best = out["candidates"][0]
        self.assertEqual((best["engine"], best["threads"], best["standing"]), ("native", 1, "best"))
        self.assertTrue(best["measured"] and best["step_s"]["point"] > 0)
        self.assertIsNone(out["from"])
        self.assertGreater(best["total_s"]["point"], best["start_s"]["point"])


if __name__ == "__main__":
    unittest.main()
