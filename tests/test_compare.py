"""breakeven compare: its page, its options and its exit code, on planted records."""
import json
import unittest

from cli_support import FORMATS, FolderTest


class Compare(FolderTest):
    def setUp(self):
        super().setUp()
        self.environment = {"XDG_DATA_HOME": self.path("data")}
        self.old, self.new = self.plant("old.jsonl", 0.1), self.plant("new.jsonl", 0.2, threads=4)

    def plant(self, name, step_s, **more):
        """A file with a record of cnn-fashion on two devices."""
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            for device, factor in (("cpu", 1), ("cuda:0", 0.25)):
                step = step_s * factor
                blocks = [step * (1 + 0.001 * (i % 5 - 2)) for i in range(10)]
                record = {"schema": 1, "kind": "bench", "time": "2026-11-20T10:00:00Z",
                          "workload": "cnn-fashion", "engine": "native", "device": device,
                          "device_name": "a card" if factor < 1 else "a processor",
                          "batch": 100, "mode": "train", "status": "OK",
                          "asked": {"precision": "fp32"}, "step_s": {"median": step},
                          "samples_per_s": 100 / step, "blocks": blocks, "data_count": 60000,
                          "environment": {"cpu": {"model": "a processor", "threads": 4},
                                          "memory_bytes": 2 ** 33}, **more}
                file.write(json.dumps(record) + "\n")
        return path

    def page(self, *arguments):
        return " ".join(self.good("compare", *arguments, env=self.environment).split())

    def test_the_page(self):
        page = self.page(self.old, self.new)
        self.assertIn("A: old.jsonl; the others are held against it", page)
        self.assertIn("not alike: threads: 4 in B, unknown in A", page)
        self.assertLess(page.index("not alike"), page.index("workload engine"))
        self.assertRegex(page, r"cnn-fashion native cpu fp32 100 100 ms 200 ms 2 \[.*?\] SLOWER")
        self.assertRegex(page, r"B / A: 2 \[.*?\] SLOWER, the geometric mean over 2 rows")
        self.assertIn("were not measured side by side", page)

    def test_the_table_of_machines(self):
        page = self.page(self.old, self.new, "--epochs", "10", "--price", f"{self.old}=3.6")
        self.assertIn("cnn-fashion, 10 epochs, start included; the speed-up is over A", page)
        # 6,000 steps of 25 ms against 100 ms on the processor; 3.6 an hour is 0.001 a second.
        self.assertRegex(page, r"A native cuda:0 a card fp32 100 2:30 min 4\.00. - 0\.15 ")
        self.assertRegex(page, r"B native cpu a processor fp32 100 20:00 min 0\.50. - -")

    def test_what_a_joule_and_a_price_give(self):
        saving = self.plant("saving.jsonl", 0.2, energy_per_step_j=2.0)
        page = self.page(self.old, saving, "--price", f"{saving}=3.6")
        self.assertIn("samples for a joule (a second's, per watt)", page)
        # 100 samples per step of 2 J; 500 a second at 0.001 a second.
        self.assertIn("workload engine device type batch B, a joule B, a unit of price", page)
        self.assertIn("cnn-fashion native cpu fp32 100 50 500,000", page)
        self.assertNotIn("a joule", self.page(self.old, self.new))

    def test_every_form(self):
        for form in FORMATS:
            text = self.good("compare", self.old, self.new, "-f", form, env=self.environment)
            self.assertIn("SLOWER", text, form)
        rows = json.loads(self.good("compare", self.old, self.new, "-f", "json",
                                    env=self.environment))[0]["rows"]
        self.assertEqual([row["verdict"]["B"] for row in rows], ["SLOWER", "SLOWER"])

    def test_a_name_is_no_markup(self):
        named = self.plant("a<b>|](x).jsonl", 0.2)
        text = self.good("compare", self.old, named, "-f", "md", env=self.environment)
        self.assertIn("\n\nB: a&lt;b>\\|]\\(x).jsonl\n\n", text)
        self.assertIn("B: a<b>|](x).jsonl", self.page(self.old, named))

    def test_what_has_nothing_in_common(self):
        other = self.plant("other.jsonl", 0.2, asked={"precision": "bf16"},
                           engine="torch")
        self.bad(2, "compare", self.old, other, env=self.environment, says=[
            "nothing can be compared; the nearest, of old.jsonl and other.jsonl, differ in "
            "engine (native and torch), precision (fp32 and bf16)"])

    def test_the_exit_code(self):
        slower = self.bad(6, "compare", self.old, self.new, "--fail-if", "slower:5%",
                          env=self.environment, says=["slower by more than 5 %, found 2 rows"])
        self.assertIn("geometric mean", slower.stdout)
        self.page(self.old, self.new, "--fail-if", "slower:150%")
        self.page(self.old, self.new, "--fail-if", "slower:5%", "--baseline", self.new)

    def test_runs_by_number(self):
        for path in (self.old, self.new):
            self.good("runs", "import", path, env=self.environment)
        self.assertIn("B: run 2", self.page("1", "2", "--workload", "cnn-fashion"))

    def test_bad_requests(self):
        for arguments, text in (([self.old], "compare needs more"),
                                ([self.old, "none.jsonl"], 'found "none.jsonl"'),
                                ([self.old, self.new, "--baseline", "x"],
                                 "--baseline: expected one"),
                                ([self.old, self.new, "--price", "x=1"], "NAME=EUR_PER_HOUR"),
                                ([self.old, self.new, "--fail-if", "faster:5%"], "slower:N%"),
                                ([self.old, self.new, "--fail-if", "slower:5"], "slower:N%"),
                                ([self.old, self.new, "--workload", "gpt"], "a speed of gpt")):
            self.bad(2, "compare", *arguments, env=self.environment, says=[text])


if __name__ == "__main__":
    unittest.main()
