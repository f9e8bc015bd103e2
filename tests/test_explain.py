"""Tests of breakeven explain on the real program: one cheap contender, and bad input."""
import json
import os
import unittest

from cli_support import SMALL, FolderTest, run

PHASES = "data upload forward backward optimizer loss_read idle_host idle_other".split()
ARGUMENTS = ["explain", "mlp-mnist", *SMALL, "--engine", "native", "--device", "cpu",
             "--threads", "1", "--time", "0.05", "--max-time", "0.2"]


class ExplainTest(FolderTest):
    def explained(self, *more):
        return self.good(*ARGUMENTS, *more, env={"XDG_CACHE_HOME": self.folder})

    def test_everything_is_in_the_record_and_adds_up(self):
        trace = self.path("trace.json")
        record = json.loads(self.explained("--format", "json", "--trace", trace))[0]
        found = record["explain"]
        self.assertEqual(found["schema"], 1)
        self.assertIsNone(found["error"])
        self.assertEqual(sorted(found["phases_s"]), sorted(PHASES))
        self.assertAlmostEqual(sum(found["phases_s"].values()), found["phases_sum_s"], delta=1e-9)
        self.assertLess(abs(found["missing"]), 0.03)
        self.assertAlmostEqual(sum(op["share"] for op in found["ops"]), 1, delta=0.05)
        for op in found["ops"]:
            self.assertGreater(op["predicted_s"], 0, op)
            self.assertIn(op["bound"], ("launch", "arithmetic", "memory"))
            self.assertAlmostEqual(op["limit_share"], op["floor_s"] / op["seconds"], delta=1e-6)
        self.assertAlmostEqual(found["predicted_s"],
                               sum(op["predicted_s"] for op in found["ops"]), delta=1e-9)
        self.assertGreater(found["calibration"]["points"], 0)  # how many is a question of time
        self.assertGreater(found["limits"]["flops_fp32"], 0)
        self.assertGreater(found["floor_s"], 0)
        self.assertAlmostEqual(sum(record["cause"]["winner"].values()), found["wall_s"], delta=1e-9)
        self.check_trace(trace, found)
        self.assertAlmostEqual(found["ops_sum_s"], sum(op["seconds"] for op in found["ops"]),
                               delta=1e-9)
        self.assertAlmostEqual(found["launches"], sum(op["launches"] for op in found["ops"]),
                               delta=1e-6)
        self.check_tried(record)
        # What the processor attains is found anew each time, beside the measurement.
        self.assertEqual([name for _, _, names in os.walk(self.folder) for name in names
                          if "-points" in name], [])
        page = self.explained()
        self.check_page(page)
        self.check_quick_verdict()

    def check_quick_verdict(self):
        """For programs it is what explain and advise say of the same records."""
        path = self.path("quick.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.good(*SMALL, "--engine", "native", "--device", "cpu", "--threads", "1",
                                 "--max-time", "0.2", "--format", "json",
                                 env={"XDG_CACHE_HOME": self.folder}))
        with open(path, encoding="utf-8") as file:
            record, advice = json.load(file)
        self.assertEqual(record["workload"], "cnn-fashion")
        self.assertGreater(record["explain"]["wall_s"], 0)
        self.assertIn("kind", record["cause"])
        later, = json.loads(self.good("advise", "cnn-fashion", "--from", path, "--batch",
                                      record["batch"], "--format", "json"))
        self.assertEqual((advice["kind"], advice["candidates"][0]["standing"]), ("advice", "best"))
        self.assertEqual((advice["from"], later["from"]), (None, path))
        self.assertEqual(advice.keys(), later.keys())
        self.assertAlmostEqual(advice["candidates"][0]["total_s"]["point"],
                               later["candidates"][0]["total_s"]["point"], places=6)

    def check_tried(self, record):
        """A sample of the trial against one of the measurement, by its own verdict."""
        cause = record["cause"]
        tried = cause["tried"]
        self.assertEqual(cause["kind"] is None, cause.get("reason") is not None)
        self.assertEqual(cause["kind"] is None, tried is None)
        if tried is None:  # on a busy machine
            return
        self.assertIn(tried["verdict"], ("FASTER", "SLOWER", "SAME", "UNSURE"))
        self.assertEqual(tried["reason"] is not None, tried["verdict"] == "UNSURE")
        if tried["error"] is None:
            self.assertTrue(0.02 < tried["ratio"] < 50, tried)

    def check_trace(self, path, found):
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        for track, count, total in ((1, None, found["phases_sum_s"]),
                                    (2, len(found["ops"]),
                                     sum(op["seconds"] for op in found["ops"]))):
            mine = [e for e in events if e["ph"] == "X" and e["tid"] == track]
            self.assertTrue(mine if count is None else len(mine) == count)
            end = 0
            for event in mine:
                self.assertGreaterEqual(event["ts"], end - 1e-3)
                end = event["ts"] + event["dur"]
                self.assertTrue(event["name"] and event["args"])
            self.assertAlmostEqual(end, total * 1e6, delta=1e-3)
        names = [e["args"]["name"] for e in events if e["ph"] == "M"]
        self.assertEqual(names, ["native on 1 thread", "phases", "ops"])

    def check_page(self, page):
        for text in ("native on 1 thread", "phases add up to", "Predicted: ", "hardware's floor is",
                     "░ data", "why: nothing competes with native on 1 thread"):
            self.assertIn(text, " ".join(page.split()), page)
        for line in page.splitlines():
            self.assertLessEqual(len(line), 80, line)

    def test_bad_input_is_told_before_anything_is_measured(self):
        cases = [
            (["explain", "mlp-mnist", "--trace", "/nowhere/trace.json"], 1, "/nowhere"),
            (["explain"], 2, "WORKLOAD"),
            (["explain", "mpl"], 2, "mlp-mnist"),
            (["explain", "mlp-mnist", "--device", "cuda:77", *SMALL], 3, "cuda:77"),
            (["explain", "mlp-mnist", "--batch", "8,16", *SMALL], 2, "--batch"),
        ]
        for arguments, code, text in cases:
            result = run(*arguments)
            self.assertEqual(result.returncode, code, (arguments, result.stderr))
            self.assertIn(text, result.stderr)
            self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
