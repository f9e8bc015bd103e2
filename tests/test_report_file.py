"""breakeven report: its documents, on planted records: nothing in them is markup but ours, what
they say is what the records have, and they stay small."""
import base64
import csv
import gzip
import html.parser
import json
import os
import re
import subprocess
import threading
import unittest

from cli_support import PROGRAM, FolderTest

EVIL = "<img src=x onerror=alert(1)>&\"'</pre></title><script>alert(2)</script>"
# Elements whose end HTML lets one leave out, and those that have none.
OPEN = {"td", "th", "tr", "tbody", "thead", "p", "li", "dt", "dd", "meta", "br"}
ENVIRONMENT = {"cpu": {"model": "a processor", "threads": 4, "cores": 4}, "memory_bytes": 2 ** 33,
               "system": "a system", "build": {"version": "0.1.0", "commit": "abc1234"}}


def bench(number=0, **more):
    step = 0.1 * (1 + 0.01 * number)
    blocks = [step * (1 + 0.001 * (i % 5 - 2)) for i in range(30)]
    return {"schema": 1, "kind": "bench", "time": "2026-11-20T10:00:00Z",
            "workload": "cnn-fashion", "engine": "native", "device": "cpu", "threads": 1 + number,
            "device_name": "a processor", "batch": 100, "mode": "train", "status": "OK",
            "precision": "fp32", "asked": {"precision": "fp32"}, "peak_rss_bytes": 2 ** 26 + number,
            "step_s": {"median": step, "low": step * 0.99, "high": step * 1.01, "count": 30},
            "samples_per_s": 100 / step, "blocks": blocks, "data_count": 60000, "seed": 42,
            "data_source": "Fashion-MNIST", "implementation": "native avx2",
            "versus": {"engine": "native", "device": "cpu", "threads": 1, "batch": 100,
                       "ratio": 1 + 0.01 * number, "low": 1.005 + 0.01 * number,
                       "high": 1.015 + 0.01 * number, "verdict": "SLOWER", "reason": None},
            "environment": ENVIRONMENT, **more}


def epochs(count, **more):
    return [{"schema": 1, "kind": "epoch", "workload": "mlp-mnist", "device": "cpu", "epoch": e,
             "step": 100 * e, "loss": 2 / e, "accuracy": 1 - 0.5 / e, "validation_loss": 2.2 / e,
             "validation_accuracy": 1 - 0.6 / e, "seconds": 1.5, "samples_per_s": 4000,
             "environment": ENVIRONMENT, **more} for e in range(1, count + 1)]


def sweep(**more):
    points = []
    for x in (8, 64, 512, 4096):
        first, second = 1e-5, 2e-6 + 2e-3 / x
        points.append({"x": x, "ratio": first / second, "low": 0.95 * first / second,
                       "high": 1.05 * first / second, "verdict": "SLOWER", "first_s": first,
                       "second_s": second})
    return {"schema": 1, "kind": "sweep", "workload": "mlp-mnist", "axis": "batch",
            "noun": "batch", "mode": "train", "precision": "fp32", "from": 8, "to": 4096,
            "total": False, "data": "MNIST", "sides": [], "notes": [], "ended": "decided",
            "file": "", "measured": 9, "elapsed_s": 12, "environment": ENVIRONMENT,
            "pairs": [{"first": "native cpu", "second": "native cuda:0", "beside": False,
                       "points": points, "undecided": [],
                       "crossings": [{"x": 250, "low": 240, "high": 260,
                                      "faster_below": "native cpu",
                                      "faster_above": "native cuda:0"}]}], **more}


class Page(html.parser.HTMLParser):
    """What a browser would make of it: elements, texts, links; and whether every element ends."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.links, self.open, self.wrong = {}, [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.wrong += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in OPEN:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in OPEN:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in OPEN:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


class Report(FolderTest):
    def setUp(self):
        super().setUp()
        self.environment = {"XDG_DATA_HOME": self.path("data")}

    def plant(self, records, name="records.jsonl"):
        with open(self.path(name), "w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
        return self.path(name)

    def report(self, name, *arguments):
        out = self.path(name)
        self.good("report", *arguments, "-o", out, env=self.environment)
        with open(out, encoding="utf-8") as file:
            return file.read()

    def page(self, *arguments):
        text = self.report("report.html", *arguments)
        page = Page(text)
        self.assertEqual((page.wrong, page.open), ([], []))
        self.assertNotIn("script", page.elements)
        self.assertNotIn("img", page.elements)
        for link in page.links:
            self.assertRegex(link, r"^(#run-\d+$|data:application/gzip;base64,)")
        return page, text

    def test_the_verdict_comes_first(self):
        page, _ = self.page(self.plant([bench(), bench(1)]))
        first = page.text.index("native on 1 thread is fastest, 100 ms a step. native on 2 threads")
        self.assertIn("takes 1.01× as long", page.text)
        self.assertLess(first, page.text.index("Run 1: import records.jsonl"))
        self.assertIn("a processor, 4 threads, 8.00 GiB; a system", page.text)
        self.assertIn("time of a step, with its 95 % interval", page.text)
        self.assertIn("peak memory", page.text)
        self.assertEqual(page.elements["svg"], 2 * 2)

    def test_what_explain_tried_is_no_rival(self):
        """Another form of the same contender, of which the cause tells."""
        explained = bench(explain={"schema": 1, "wall_s": 0.1})
        tried = bench(versus=None, seed=43)
        page, _ = self.page(self.plant([explained, tried]))
        self.assertIn("native on 1 thread takes 100 ms a step; nobody else", page.text)
        rows = self.report("report.csv", self.plant([explained, tried])).splitlines()
        self.assertEqual(len(rows), 3)
        page, _ = self.page(self.plant([explained, bench(1)]))
        self.assertIn("native on 1 thread is fastest, 100 ms a step. native on 2 thr", page.text)

    def test_a_document_names_no_option_of_a_command(self):
        """What a sweep of its command says of going on is for whoever ran it."""
        for ended, says in (("time limit", "The time was over before all was decided. 9 runs"),
                            ("failed", "It failed: these are the results so far. 9 runs")):
            path = self.plant([sweep(ended=ended, file="kept.jsonl")])
            page, _ = self.page(path)
            self.assertIn(says, page.text)
            self.assertNotIn("--resume", page.text)

    def test_the_records_can_be_saved(self):
        records = [bench(), bench(1, data_note="grüße"), *epochs(2)]
        page, _ = self.page(self.plant(records))
        data = [link for link in page.links if link.startswith("data:")][0].split(",", 1)[1]
        with open(self.path("records.jsonl"), "rb") as file:
            self.assertEqual(gzip.decompress(base64.b64decode(data, validate=True)), file.read())
        # What is saved is imported as it is, and reported again.
        with open(self.path("saved.jsonl.gz"), "wb") as file:
            file.write(base64.b64decode(data))
        for name in ("saved.jsonl.gz", "records.jsonl"):
            self.good("runs", "import", self.path(name), env=self.environment)
        self.assertEqual(self.good("runs", "export", env=self.environment).count("\n"), 4)
        self.assertIn("0.0998 0.0999 0.1 0.1001 0.1002", page.text)

    def test_texts_of_records_and_notes_are_texts(self):
        evil = [bench(data_source=EVIL, implementation=EVIL, device_name=EVIL,
                      environment={**ENVIRONMENT, "cpu": {"model": EVIL, "threads": 4},
                                   EVIL: {EVIL: EVIL}}),
                bench(1, engine=EVIL, workload=EVIL, warnings=[EVIL], stop_reason=EVIL),
                bench(2, workload=EVIL, status="FAILED", error=EVIL, step_s=None, blocks=None,
                      samples_per_s=None, versus=None),
                *epochs(2, workload=EVIL, device=EVIL),
                sweep(workload=EVIL, noun=EVIL, axis=EVIL, notes=[EVIL], data=EVIL)]
        evil[-1]["pairs"][0].update(first=EVIL, second=EVIL)
        self.good("runs", "import", self.plant(evil, EVIL.replace("/", "")), env=self.environment)
        self.good("runs", "note", "1", EVIL, env=self.environment)
        page, text = self.page("--last", "9")
        self.assertGreater(page.text.count("<img src=x onerror=alert(1)>"), 10)
        self.assertNotIn("<img", text)
        self.assertNotIn("onerror=alert(1)>&", re.sub("&lt;img[^;]*&gt;", "", text))
        document = self.report("report.md", "--last", "9")
        self.assertGreater(document.count("&lt;img"), 10)
        drawn = re.compile(r"(?ms)^```$.*?^```$")  # text as it stands
        self.assertNotRegex(drawn.sub("", document), r"<(img|script|/pre)")

    def test_a_long_note_is_whole(self):
        note = " ".join(f"word{i}" for i in range(1500))
        self.good("runs", "import", self.plant([bench()]), env=self.environment)
        self.good("runs", "note", "1", note, env=self.environment)
        page, _ = self.page("1")
        self.assertIn(note, page.text)
        self.assertIn(note, self.report("report.md", "1"))

    def test_curves_of_a_training(self):
        page, text = self.page(self.plant(epochs(12)))
        self.assertIn("mlp-mnist on cpu: 12 epochs in 18.0 s, the loss 0.1667 in the last; at best "
                      "95.00 % right in the validation, after epoch 12.", page.text)
        for quantity in ("loss", "right answers"):
            for axis in ("steps", "time"):
                self.assertIn(f"mlp-mnist: {quantity} by {axis}", page.text)
        self.assertEqual(page.elements["svg"], 4)
        self.assertIn("training, cpu: 2 at 100, 0.167 at 1,200.", page.text)
        self.assertIn("validation, cpu: 2.2 at 1.50 s, 0.183 at 18.0 s.", page.text)
        self.assertEqual(text.count("<circle"), 4 * 2 * (12 + 1))

    def test_break_even_points(self):
        page, text = self.page(self.plant([sweep(), bench(workload="mlp-mnist")]))
        found = "below batch 250 (240–260) native cpu is faster, above it native cuda:0."
        self.assertEqual(page.text.count(found), 2)
        self.assertIn("Crossing at 250 (240 to 260).", page.text)
        self.assertEqual(text.count('class="mark"'), 2)
        # What the sweep was made from is no bench of its own, and stays among the numbers.
        self.assertNotIn("is fastest", page.text)
        self.assertIn("how each was measured", page.text)

    def test_runs_side_by_side(self):
        one, two = self.plant([bench()], "one.jsonl"), self.plant([bench(100)], "two.jsonl")
        page, _ = self.page(one, two)
        self.assertRegex(page.text, r"Side by side A: run 1, a processor.* B / A")
        self.assertIn("2 [", page.text)
        page, _ = self.page(one)
        self.assertNotIn("Side by side", page.text)

    def test_markdown(self):
        document = self.report("report.md", self.plant([bench(), bench(1), *epochs(3), sweep()]))
        self.assertTrue(document.startswith("# breakeven report\n\n"))
        self.assertIn("\n## Run 1: import records.jsonl\n", document)
        self.assertIn("\n### cnn-fashion: ", document)
        self.assertIn("| native | cpu | 1 | 100 ±1 ms |", document)
        self.assertEqual(document.count("```") % 2, 0)
        self.assertIn("loss by steps", document)
        for row in re.findall(r"(?m)^\|.*\n(?!\|)", document):
            self.assertTrue(row.endswith("|\n"), row)

    def test_rows(self):
        text = self.report("report.csv", self.plant([bench(), bench(1, status="FAILED"), sweep(),
                                                     *epochs(2)]))
        rows = list(csv.DictReader(text.splitlines()))
        self.assertEqual([row["kind"] for row in rows],
                         ["bench"] * 2 + ["point"] * 4 + ["crossing"] + ["epoch"] * 2)
        self.assertEqual(float(rows[0]["step_s.median"]), 0.1)
        self.assertEqual((rows[2]["x"], rows[6]["x"]), ("8", "250"))
        self.assertEqual((rows[6]["faster_below"], rows[6]["first"]), ("native cpu", "native cpu"))
        self.assertEqual({row["run"] for row in rows}, {"1"})
        self.assertEqual(float(rows[8]["validation_loss"]), 1.1)

    def test_a_thousand_records_stay_small(self):
        path = self.plant([bench(i) for i in range(1000)])
        page, text = self.page(path)
        records = os.path.getsize(path)
        # The records compressed, their blocks as text, and little more.
        self.assertLess(len(text), 0.6 * records + 1.0e6)
        self.assertLess(sum(page.elements.values()), 30000)
        self.assertLess(page.elements["svg"], 10)
        page, text = self.page(self.plant(epochs(1000)))
        self.assertLess(page.elements.get("circle", 0), 20)

    def test_where_it_is_written(self):
        records = self.plant([bench()])
        os.symlink("real.html", self.path("link.html"))
        self.report("link.html", records)
        self.assertTrue(os.path.islink(self.path("link.html")))
        self.assertGreater(os.path.getsize(self.path("real.html")), 1000)
        fifo = self.path("fifo.html")
        os.mkfifo(fifo)
        read = []

        def take():
            with open(fifo, "rb") as file:
                read.append(file.read())

        reader = threading.Thread(target=take)
        reader.start()
        self.good("report", records, "-o", fifo, env=self.environment)
        reader.join(60)
        self.assertTrue(read[0].endswith(b"</html>\n"))

    def test_bad_requests(self):
        records = self.plant([bench()])
        for arguments, text in (
                (["-o", "report.pdf"], 'ends in .html, .md or .csv, found "report.pdf"'),
                (["-o", "report"], 'found "report"'),
                ([], "as in -o report.html"),
                (["-o", "a.html"], "report: no run is kept"),
                (["7", "-o", "a.html"], "none of number 7"),
                ([records, "--last", "2", "-o", "a.html"], "leave it out"),
                (["nothing like it", "-o", "a.html"], "'breakeven runs' lists what is kept")):
            self.bad(2, "report", *arguments, env=self.environment, cwd=self.folder, says=[text])
        self.assertFalse(os.path.exists(self.path("a.html")))
        with open(self.path("records.jsonl"), "a", encoding="utf-8") as file:
            file.write("{]\n")
        self.bad(1, "report", records, "-o", "a.html", env=self.environment, cwd=self.folder,
                 says=["records.jsonl, line 2"])
        self.bad(1, "report", self.plant([bench()]), "-o", self.path("none", "a.html"),
                 env=self.environment, says=["none/a.html"])

    def test_a_full_disk_leaves_the_old_one(self):
        self.report("report.html", self.plant([bench()]))
        before = os.path.getsize(self.path("report.html"))
        limited = ["prlimit", "--fsize=5000", PROGRAM, "report", self.path("records.jsonl"), "-o",
                   self.path("report.html")]
        done = subprocess.run(limited, env={**os.environ, **self.environment}, check=False,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("report.html", done.stderr)
        self.assertEqual(os.path.getsize(self.path("report.html")), before)


if __name__ == "__main__":
    unittest.main()
