"""Tests of breakeven sweep: break-even points that are planted by tests/fake_runner.py in PyTorch's
place, found through the whole way from options to the page."""
import json
import os
import re
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree

from cli_support import FORMATS, PROGRAM, FolderTest

# 0.2 ms a sample against 8 ms a step: they meet at a batch of 40.
CROSSING = {"cpu": {"sample": 2e-4}, "cuda:0": {"step": 8e-3}}


class SweepTest(FolderTest):
    def devices(self, devices, *more):
        """What the runner in PyTorch's place is from now on."""
        self.environment = {**self.fake_torch("--devices", json.dumps(devices), "--count",
                                              self.path("count"), "--steady", "--spin", "0.2",
                                              "--noise", "0.01", *more),
                            "XDG_STATE_HOME": self.path("state"), "LC_ALL": "C.UTF-8"}

    def arguments(self, over, *more, threads="1"):
        return ["sweep", "cnn-fashion", "--over", over, "--engine", "torch", "--threads", threads,
                "--synthetic", "--limit", "300", "--max-time", "100", *more]

    def sweep(self, over, *more, **setting):
        return json.loads(self.good(*self.arguments(over, "--format", "json", *more, **setting),
                                    env=self.environment))

    def prepared(self):
        with open(self.path("count"), encoding="utf-8") as file:
            return file.read().split("\n")[:-1]


class Sweep(SweepTest):
    def assert_crossing(self, result):
        pair, = result["pairs"]
        self.assertEqual([pair["first"], pair["second"]],
                         ["PyTorch cpu 1 thread", "PyTorch cuda:0"])
        crossing, = pair["crossings"]
        self.assertEqual(crossing["faster_below"], "PyTorch cpu 1 thread")
        self.assertEqual(crossing["faster_above"], "PyTorch cuda:0")
        self.assertLess(crossing["low"], 44)
        self.assertGreater(crossing["high"], 36)
        self.assertLess(crossing["high"] / crossing["low"], 2)
        self.assertIsNone(pair["winner"])
        for point in pair["points"]:
            x, measured = point["x"], point["first_s"]
            self.assertGreater(measured, 1.9e-4)
            self.assertEqual(point["verdict"], "FASTER" if x < 20 else "SLOWER" if x > 70 else
                             point["verdict"])

    def test_a_planted_crossing(self):
        """Interrupted, gone on with, found, shown in all forms, gone on with once more."""
        self.devices(CROSSING)
        file, plot = self.interrupt(), self.path("plot.svg")
        before = len(self.prepared())
        result = self.sweep("batch=16..128", "--resume", "--svg", plot)
        self.assertEqual(result["file"], file)
        self.assertNotIn("cpu 16", self.prepared()[before:])
        self.assert_crossing(result)
        texts = "".join(xml.etree.ElementTree.parse(plot).getroot().itertext())
        for text in ("PyTorch cuda:0", "batch", "95 % interval"):
            self.assertIn(text, texts)
        self.check_resume(file)
        self.check_page(file)
        self.check_settings(file)
        self.check_refusals(file)

    def interrupt(self):
        """A sweep that is stopped after two points; returns its file."""
        environment = dict(os.environ, **self.environment)
        command = [PROGRAM, *self.arguments("batch=16..128")]
        with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            self.wait_for(lambda: os.path.exists(self.path("count")) and len(self.prepared()) >= 5)
            process.send_signal(signal.SIGINT)
            out, log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, log)
        self.assertIn("Interrupted: these are the results so far", out)
        self.assertIn("cuda:0", out)
        file = re.search(r"--resume=(\S+) goes on", log).group(1)
        self.assertTrue(file.startswith(self.path("state", "breakeven", "sweeps")), file)
        return file

    def wait_for(self, condition):
        end = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def check_resume(self, file):
        """Nothing is measured twice, and a last line that was cut is measured again."""
        before = self.prepared()
        self.assert_crossing(self.sweep("batch=16..128", "--resume", file))
        self.assertEqual(self.prepared(), before)
        with open(file, "rb+") as kept:
            lost = int(json.loads(kept.read().splitlines()[-1])["x"])
            kept.truncate(os.path.getsize(file) - 100)
        result = self.sweep("batch=16..128", "--resume", file)
        self.assert_crossing(result)
        again = self.prepared()[len(before):]
        # On a busy machine what was lost may come out otherwise, and call for more places; never
        # for the far ones of the range.
        self.assertEqual(set(again[:2]), {f"cpu {lost}", f"cuda:0 {lost}"})
        self.assertFalse({"cpu 16", "cpu 128"} & set(again), again)
        with open(file, encoding="utf-8") as kept:
            lines = [json.loads(line) for line in kept]
        self.assertEqual([line["kind"] for line in lines],
                         ["sweep"] + ["point"] * result["measured"])
        self.assertIn("cpu", lines[0]["environment"])
        self.assertIn("blocks", lines[1]["contenders"][0])

    def check_page(self, file):
        pages = {form: self.good(*self.arguments("batch=16..128", "--resume", file, "--format",
                                                 form), env=self.environment) for form in FORMATS}
        table = pages["table"]
        self.assertRegex(table, r"below batch \d+ \(\d+–\d+\) PyTorch cpu 1 thread is faster,"
                                r"\s+above\s+it\s+PyTorch cuda:0\.")
        for text in ("ratio [95 %]", "● PyTorch cpu 1 thread", "▲ PyTorch cuda:0", "╋", "┆",
                     "PyTorch cuda:0 ran as cuda:0; sleep"):
            self.assertIn(text, table)
        for line in table.splitlines():
            self.assertTrue(len(line) <= 80 or file in line, line)
        self.assertIn("|---", pages["md"])
        self.assertEqual(pages["csv"].splitlines()[0].split(",")[:3], ["workload", "axis", "x"])
        lines = [json.loads(line) for line in pages["jsonl"].splitlines()]
        self.assertEqual(lines[-1]["kind"], "pair")
        self.assertEqual(len(lines) - 1, len(pages["csv"].splitlines()) - 1)
        plain = self.good(*self.arguments("batch=16..128", "--resume", file),
                          env=dict(self.environment, LC_ALL="C"))
        self.assertTrue(plain.isascii())
        self.assertIn("=#=", plain)

    def check_settings(self, file):
        """Another setting beside the first: as fast but for noise, then clearly faster once."""
        with open(file, encoding="utf-8") as kept:
            header, *points = [json.loads(line) for line in kept]
        before, last = sorted({point["x"] for point in points})[-2:]
        for clear in (False, True):
            path = self.path(f"settings{clear:d}.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                file.write(json.dumps(header) + "\n")
                for i, point in enumerate(points):
                    other = dict(point["contenders"][0], setting="another")
                    factor = 0.9 if clear and point["x"] == last else 1.01 if i == 0 else 0.98
                    other["step_s"] = {name: value * factor
                                       if value and name not in ("count", "spread") else value
                                       for name, value in other["step_s"].items()}
                    other["blocks"] = [value * factor for value in other["blocks"]]
                    other["samples_per_s"] /= factor
                    more = {**point, "contenders": [*point["contenders"], other]}
                    file.write(json.dumps(more) + "\n")
            found = self.sweep("batch=16..128", "--resume", path)["sides"][0]["settings"]
            expected = [(16, before if clear else last, "1 thread")]
            expected += [(last, last, "another")] * clear
            self.assertEqual([(s["from"], s["to"], s["setting"]) for s in found], expected)

    def check_refusals(self, file):
        for more, text in ((["batch=16..120", "--resume", file],
                            "another last value: 128 there, 120 now"),
                           (["batch=16..128", "--seed", 7, "--resume", file], "another seed"),
                           (["batch=16..128", "--resume", self.path("none")], "found none at"),
                           (["batch=16..128", "--output", file], "found one of"),
                           (["batch=16..128", "--resume=" + file, "-o", "x"], "leave --output"),
                           (["steps=16..160", "--resume"], "expected a sweep cnn-fashion-steps-")):
            self.bad(2, *self.arguments(*more), says=[text], env=self.environment)
        with open(self.path("other"), "w", encoding="utf-8") as other:
            other.write("no\nsweep\n")
        self.bad(1, *self.arguments("batch=16..128", "--resume", self.path("other")),
                 says=["other, line 1: expected one JSON object per line"], env=self.environment)

    def test_none_in_the_range(self):
        """Not even where something disturbed a whole run: that is measured again, after others."""
        self.devices({"cpu": {"sample": 1e-4, "disturbed": {"33": 4}}, "cuda:0": {"sample": 2e-4}})
        pair, = self.sweep("batch=32..34")["pairs"]
        self.assertEqual((pair["crossings"], pair["winner"]), ([], "PyTorch cpu 1 thread"))
        self.assertGreater(pair["least_ratio"], 1.5)
        runs = [line for line in self.prepared() if line.startswith("cpu ")]
        self.assertGreaterEqual(runs.count("cpu 33"), 3)
        self.assertNotIn(("cpu 33", "cpu 33"), list(zip(runs, runs[1:])))
        point = pair["points"][1]
        self.assertEqual((point["x"], point["verdict"]), (33, "FASTER"))
        self.assertLess(point["runs_agreeing"], point["runs"])
        self.assertLess(point["first_s"], 1.5e-4)
        page = self.good(*self.arguments("batch=32..34", "--resume"), env=self.environment)
        self.assertIn("cuda:0, batch 33: runs do not agree; where most of them do, the others are "
                      "left out", " ".join(page.split()))
        self.assertRegex(page, r"no crossing from batch 32 to 34: PyTorch cpu 1 thread is\s+"
                               r"faster\s+everywhere,\s+by\s+at\s+least \d\.\d\d×")

    def test_a_device_without_room_ends_the_range(self):
        self.devices({"cpu": {"sample": 2e-4}, "cuda:0": {"sample": 1e-4, "room": 17}})
        result = self.sweep("batch=16..20")
        pair, = result["pairs"]
        self.assertEqual(pair["to"], 17)
        self.assertEqual(pair["winner"], "PyTorch cuda:0")
        self.assertTrue(any("has no room for batch 18" in note and "about 17 would fit" in note
                            for note in result["notes"]), result["notes"])

    def test_a_device_that_drops_out(self):
        self.devices({"cpu": {"sample": 2e-4}, "cuda:0": {"sample": 1e-4, "drop": 18}})
        result = self.bad(1, *self.arguments("batch=16..20", "--format", "json"),
                          says=["PyTorch cuda:0 dropped out"], env=self.environment)
        page = json.loads(result.stdout)
        pair, = page["pairs"]
        self.assertTrue(pair["points"])
        self.assertTrue(any("dropped out at batch" in note for note in page["notes"]))
        self.assertEqual([side["missing"] for side in page["sides"]], [False, True])

    def test_width_and_size(self):
        """The network changes with the axis: what its runner holds, what it computes, and what it
        is compared with."""
        self.devices({"cpu": {"step": 2e-3}, "cuda:0": {"step": 8e-3}})
        for axis, noun, low, high in (("width", "width", 1, 2), ("size", "size", 29, 30)):
            file = self.path(axis + ".jsonl")
            page = self.good(*self.arguments(f"{axis}={low}..{high}", "--batch", "4", "-o", file),
                             env=self.environment)
            self.assertIn(f"training, fp32: {noun} from {low} to {high}, batch 4\n", page)
            self.assertRegex(page, rf"\n *{axis} +cpu 1 thread +cuda:0 ")
            self.assertIn(f"no crossing from {axis} {low} to {high}: PyTorch cpu", page)
            with open(file, encoding="utf-8") as lines:
                points = [line for line in map(json.loads, lines) if line["kind"] == "point"]
            small, large = ({(c[axis], c["params"], c["flops_per_step"], c["batch"])
                             for point in points if point["x"] == x for c in point["contenders"]
                             if not c["error"]} for x in (low, high))
            (at_low, few, little, batch), = small
            (at_high, many, much, same_batch), = large
            self.assertEqual((at_low, at_high, batch, same_batch), (low, high, 4, 4))
            self.assertEqual((few, many), (37250, 147706 if axis == "width" else 51330))
            self.assertGreater(much, (1.9 if axis == "width" else 1.02) * little)

    def test_the_best_setting_may_be_another_pool_of_threads(self):
        """Of an OpenBLAS that has its own; tried unless the user has chosen."""
        for blas, chosen, setting in (("OpenBLAS 0.3 pthread", "", "2 threads, OpenBLAS on 1"),
                                      ("OpenBLAS 0.3 pthread", "2", "2 threads"),
                                      ("OpenBLAS 0.3 OpenMP", "", "2 threads")):
            self.devices({"cpu": {"step": 4e-3}, "cuda:0": {"step": 8e-3}}, "--blas", blas)
            self.environment["OPENBLAS_NUM_THREADS"] = chosen
            pair, = self.sweep("batch=32..33", threads="2")["pairs"]
            self.assertEqual({p["first_setting"] for p in pair["points"]}, {setting})
            self.assertEqual(pair["least_ratio"] > 3, setting != "2 threads")

    def test_steps(self):
        """0.4 s of start-up against 4 ms a step more: they meet at 100 steps."""
        self.devices({"cpu": {"step": 6e-3}, "cuda:0": {"step": 2e-3, "start": 0.4}})
        result = self.sweep("steps=10..10000")
        pair, = result["pairs"]
        crossing, = pair["crossings"]
        self.assertEqual(crossing["faster_below"], "PyTorch cpu 1 thread")
        self.assertLess(crossing["low"], 115)
        self.assertGreater(crossing["high"], 85)
        self.assertEqual(len(pair["whole"]), 4)
        for run in pair["whole"]:
            # What a busy machine adds has no end; test_study_sweep.c knows what is expected.
            self.assertGreater(run["seconds"], 0.9 * 2e-3 * run["x"])
            self.assertGreater(run["expected_s"], 0)
        page = self.good(*self.arguments("steps=10..10000", "--resume"), env=self.environment)
        self.assertIn("training, fp32: number of steps from 10 to 10,000, batch 100\n", page)
        self.assertRegex(page, r"\n *steps +cpu 1 thread +cuda:0 ")
        with open(result["file"], encoding="utf-8") as lines:
            points = [line for line in map(json.loads, lines) if line["kind"] == "point"]
        self.assertEqual({(c["batch"], c["params"]) for p in points for c in p["contenders"]},
                         {(100, 37250)})
        self.assertRegex(page, r"below \d+ steps \(\d+–\d+\) PyTorch cpu 1 thread is faster")
        self.assertIn("whole trainings, run to check that", page)


class BadInput(FolderTest):
    def test_bad_ranges_and_axes(self):
        for over, text in (("batch", "expected AXIS=FROM..TO"),
                           ("=8..16", "expected AXIS=FROM..TO"),
                           ("batch=", "expected two whole numbers"),
                           ("batch=8", "expected two whole numbers"),
                           ("batch=8..", "expected two whole numbers"),
                           ("batch=8..x", "expected two whole numbers"),
                           ("batch=1.5..9", "expected two whole numbers"),
                           ("batch=8..9..10", "expected two whole numbers"),
                           ("batch=8..99999999999999999999", "expected two whole numbers"),
                           ("batch=8..8", "from a smaller to a larger batch"),
                           ("batch=16..8", "from a smaller to a larger batch"),
                           ("batch=0..8", "expected batch from 1 to"),
                           ("batches=8..16", 'unknown axis "batches" in "batches=8..16"; did you '
                                             "mean batch?"),
                           ("seq=8..16", "cnn-fashion has no sequence length; its axes are batch, "
                                         "steps, width, size"),
                           ("batch=300..400", "expected batches below the 200 pictures of")):
            self.bad(2, "sweep", "cnn-fashion", "--over", over, "--synthetic", "--limit", "200",
                     "--engine", "native", says=[text])
        self.bad(2, "sweep", "cnn-fashion", says=["sweep needs --over AXIS=FROM..TO"])
        self.bad(2, "sweep", "cnn-fashoin", "--over", "batch=1..9",
                 says=["did you mean cnn-fashion"])
        self.bad(2, "sweep", "cnn-fashion", "--over", "batch=1..9", "--batch", "8",
                 says=["leave --batch out"])
        self.bad(2, "sweep", "cnn-fashion", "--over", "batch=1..9", "--engine", "native",
                 "--threads", "1", "--synthetic", "--limit", "200",
                 says=["expected at least two contenders", "native cpu 1 thread alone"])
        self.bad(2, "sweep", "cnn-fashion", "--over", "steps=1..9", "--engine", "native", "--batch",
                 "500", "--synthetic", "--limit", "200", says=["at most the 200 pictures"])

    def test_a_changed_file_is_not_gone_on_with(self):
        path = self.path("sweep.jsonl")
        header = {"kind": "sweep", "schema": 1,
                  "environment": {"cpu": {"model": "AMD EPYC", "threads": 2}}}
        contender = {"schema": 1, "kind": "bench", "workload": "cnn-fashion", "mode": "train",
                     "engine": "native", "device": "cpu", "batch": 8, "status": "OK",
                     "step_s": {"median": -1e-3}, "side": "a", "setting": "b"}
        cases = [({"kind": "point", "x": 8, "contenders": [contender]},
                  'line 2, contender 1, member "step_s.median": expected a number from 1e-09'),
                 ({"kind": "point", "x": "8", "contenders": []}, 'line 2, member "x"'),
                 ({"x": 8}, 'line 2, member "kind"'),
                 ({"kind": "screen", "x": 8}, 'line 2, member "side"'),
                 ({"kind": "whole", "x": 8, "side": "a", "expected_s": 1}, 'member "seconds"')]
        for line, text in cases:
            with open(path, "w", encoding="utf-8") as file:
                file.write(json.dumps(header) + "\n" + json.dumps(line) + "\n")
            self.bad(1, "sweep", "cnn-fashion", "--over", "batch=8..16", "--resume", path,
                     "--engine", "native", "--threads", "1,2", "--synthetic", "--limit", "200",
                     says=[path, text])


if __name__ == "__main__":
    unittest.main()
