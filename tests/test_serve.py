"""breakeven serve: who is let in, what is answered, events, limits, and what goes wrong."""
import json
import os
import re
import resource
import socket
import sqlite3
import subprocess
import time
import unittest

from cli_support import PROGRAM, FolderTest, run
from serve_support import FAKE, FIXTURE, LIMIT_S, Server, fake_server

VIEWS = ["/", "/try", "/breakeven", "/explain", "/runs"]
EVIL = "<img src=x onerror=alert(1)>\"'&"


def end_well(test, server):
    """A sanitizer's finding is an exit code of its own."""
    code = server.end()
    test.assertEqual(code, 0, server.log)


class Served(FolderTest):
    def setUp(self):
        super().setUp()
        self.log = self.path("commands")
        self.server = fake_server(self.folder, FAKE_COMMAND_LOG=self.log)
        self.addCleanup(self.end_well)

    def end_well(self):
        end_well(self, self.server)

    def commands(self):
        with open(self.log, encoding="utf-8") as file:
            return [json.loads(line) for line in file]


class Door(Served):
    def test_nobody_comes_in_without_the_token(self):
        for path in VIEWS + ["/api/jobs", "/metrics", "/events?job=1", "/style.css", "/nothing"]:
            status, _, text = self.server.ask(path, allowed=False)
            self.assertEqual(status, 401, path)
            self.assertIn("open the address", text)
        status, _, _ = self.server.ask("/api/jobs", "POST", {"study": "machine"}, allowed=False)
        self.assertEqual(status, 401)
        for token in ["", "0" * 32, self.server.token[:-1], self.server.token + "0"]:
            status, headers, _ = self.server.ask("/?token=" + token, allowed=False)
            self.assertEqual((status, headers["Set-Cookie"]), (401, None), token)

    def test_the_token_becomes_a_cookie_that_lets_in(self):
        status, headers, text = self.server.ask("/?token=" + self.server.token, allowed=False,
                                                headers={"Sec-Fetch-Site": "cross-site"})
        self.assertEqual(status, 200)
        cookie = headers["Set-Cookie"]
        self.assertRegex(cookie, r"^breakeven-\d+=[0-9a-f]{32}; HttpOnly; SameSite=Strict; Path=/$")
        self.assertNotIn(self.server.token, cookie + text)
        own = {"Cookie": cookie.split(";")[0]}
        self.assertEqual(self.server.ask("/", headers=own, allowed=False)[0], 200)
        self.assertNotIn(self.server.token, self.server.ask("/", headers=own, allowed=False)[2])
        # Two servers of one machine share the browser's cookies, and tell theirs by the port.
        self.assertIn(str(self.server.port), cookie)

    def test_an_address_for_one_time(self):
        once = self.server.line.split()[1]
        path = once[once.index("/?"):]
        self.assertEqual(self.server.ask(path, allowed=False)[0], 200)
        self.assertEqual(self.server.ask(path, allowed=False)[0], 401)

    def test_pages_of_others(self):
        for headers in [{"Host": "evil.example"}, {"Host": f"evil.example:{self.server.port}"},
                        {"Origin": "http://evil.example"}, {"Origin": "null"},
                        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]:
            for method, body in (("GET", None), ("POST", {"study": "machine"})):
                status, answered, text = self.server.ask("/api/jobs", method, body, headers)
                self.assertEqual(status, 403, (headers, method, text))
                self.assertIsNone(answered["Access-Control-Allow-Origin"])
        status, _, text = self.server.ask("/api/jobs", "POST", '{"study":"machine"}',
                                          {"Content-Type": "text/plain"})
        self.assertEqual(status, 403)
        self.assertIn("Content-Type: application/json", text)
        self.assertEqual(len(self.server.get("/api/jobs")), 1)

    def test_every_answer_is_shut(self):
        for path in VIEWS + ["/api/jobs", "/nothing", "/style.css", "/metrics"]:
            _, headers, _ = self.server.ask(path)
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy, path)
            self.assertIn("script-src 'self'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            self.assertEqual(headers["Cache-Control"], "no-store")

    def test_pages_have_no_script_and_no_style_of_their_own(self):
        job = self.server.study(study="try", device=["cpu"])
        panel = self.server.wait(job)["html"]
        pages = [self.server.get(path) for path in VIEWS + ["/runs/1", f"/try?job={job}"]]
        for page in pages + [panel]:
            self.assertIsNone(re.search(r"<script(?! src=/page\.js)|<style| style=| on\w+=|"
                                        r"javascript:|https?://(?!www\.w3\.org)", page), page)

    def test_methods_and_sizes(self):
        self.assertEqual(self.server.ask("/", "DELETE")[0], 405)
        self.assertEqual(self.server.ask("/", "PUT", {})[0], 405)
        self.assertEqual(self.server.ask("/", "HEAD")[0], 200)
        self.assertEqual(self.server.ask("/api/jobs", "POST", {"text": "x" * 20000})[0], 413)
        self.assertIn(self.server.ask("/?" + "x" * 100000)[0], (414, 431))
        self.assertEqual(self.server.ask("/runs?" + "a=1&" * 100)[0], 400)
        self.assertEqual(self.server.ask("/")[0], 200)

    def test_only_loopback_listens(self):
        with open("/proc/net/tcp", encoding="ascii") as file:
            lines = [line.split() for line in file]
        port = f"{self.server.port:04X}"
        own = [line[1] for line in lines if line[3] == "0A" and line[1].endswith(":" + port)]
        self.assertEqual(own, ["0100007F:" + port])


class Studies(Served):
    def test_a_try_is_what_the_command_line_does(self):
        job = self.server.study(study="try", workload="mlp-mnist", batch=64, epochs=2, rate=0.01,
                                device=["cpu", "opencl:0"], engine=["native"], seconds=0.5,
                                limit=500, synthetic=True, precision="fp32")
        last = self.server.wait(job)
        self.assertEqual(last["state"], "done", last)
        data = ["--limit=500", "--synthetic", "--events"]
        train = ["train", "mlp-mnist", "--batch=64", "--epochs=2", "--lr=0.01", "--precision=fp32"]
        self.assertEqual(self.commands(), [
            ["devices", "--format=jsonl"],
            train + ["--device=cpu"] + data, train + ["--device=opencl:0"] + data,
            ["bench", "mlp-mnist", "--batch=64", "--precision=fp32", "--device=cpu,opencl:0",
             "--engine=native", "--max-time=0.5"] + data])
        # Every one of them is a command that the program takes.
        for command in self.commands():
            self.good(command[0], "--help", env={"XDG_DATA_HOME": self.path("data")})
        self.assertIn("steps done on opencl:0", last["html"])
        self.assertIn("<svg", last["html"])
        whole = self.server.get(f"/api/jobs/{job}")
        self.assertEqual([stage["state"] for stage in whole["stages"]], ["done"] * 3)
        self.assertTrue(whole["stages"][0]["curve"])
        self.assertEqual(whole["settings"]["rate"], "0.01")

    def test_break_even_and_explain(self):
        sweep = self.server.study(study="breakeven", axis="batch", **{"from": 1, "to": 64})
        explain = self.server.study(study="explain", device="cpu")
        swept, explained = self.server.wait(sweep), self.server.wait(explain)
        self.assertEqual((swept["state"], explained["state"]), ("done", "done"))
        self.assertIn("--over=batch=1..64", self.commands()[1])
        self.assertNotIn("--batch=100", self.commands()[1])
        self.assertIn("native cpu 1 thread", swept["html"])
        self.assertIn("forward", explained["html"])

    def test_studies_wait_for_one_another_and_stop(self):
        first = self.server.study(study="try", epochs=1000, device=["cpu"])
        second = self.server.study(study="explain")
        waiting = next(self.server.events(second))
        self.assertEqual(waiting["state"], "waiting")
        self.assertIn("One measurement at a time: 1 study comes before this one", waiting["html"])
        grown = 0
        for event in self.server.events(first):
            grown += "<dt>loss<dd>" in event["html"]
            if grown == 3:
                break
        metrics = self.server.get("/metrics")
        self.assertRegex(metrics, r'breakeven_training_loss\{workload="cnn-fashion",device="cpu"\} '
                                  r'[\d.]+\n')
        self.assertIn("breakeven_studies_running 1\nbreakeven", re.sub("#.*\n", "", metrics))
        status, _, text = self.server.ask(f"/api/jobs/{first}/stop", "POST", {})
        self.assertEqual(status, 202, text)
        self.assertEqual(self.server.wait(first)["state"], "stopped")
        self.assertEqual(self.server.wait(second)["state"], "done")
        self.assertEqual(self.server.ask(f"/api/jobs/{first}/stop", "POST", {})[0], 400)
        # The verdict of a try that was stopped is not measured.
        self.assertEqual([c[0] for c in self.commands()], ["devices", "train", "explain"])

    def test_a_failure_is_told(self):
        job = self.server.study(study="try", device="cpu", rate=10)
        last = self.server.wait(job)
        self.assertEqual(last["state"], "failed")
        self.assertIn("step 3: the loss is no number", last["html"])

    def test_nothing_else_can_be_named(self):
        for asked in [{"workload": "../../etc/passwd"}, {"workload": "model.py"},
                      {"device": "cpu --data=/"}, {"engine": "sh"}, {"data": "/etc"},
                      {"output": "/tmp/x"}, {"program": "/bin/sh"}, {"env": {"PATH": "/tmp"}},
                      {"batch": "1;rm"}, {"batch": 1e9}, {"batch": [1]}, {"seconds": 1e9}]:
            status, _, text = self.server.ask("/api/jobs", "POST", {"study": "try", **asked})
            self.assertEqual(status, 400, (asked, text))
            self.assertIn("expected", json.loads(text)["error"])
        self.assertEqual(len(self.commands()), 1)

    def test_too_many_wait(self):
        self.server.study(study="try", epochs=1000, device=["cpu"])
        for _ in range(8):
            self.server.study(study="explain")
        status, headers, text = self.server.ask("/api/jobs", "POST", {"study": "explain"})
        self.assertEqual((status, headers["Retry-After"]), (503, "2"))
        self.assertIn("8 studies wait already", text)

    def test_settings_are_in_the_address(self):
        page = self.server.get("/try?workload=gpt2&batch=7&device=cpu&engine=torch&synthetic=1")
        self.assertIn("<option selected>gpt2", page)
        self.assertIn('value="7"', page)
        self.assertIn('name=device value="cpu" checked', page)
        self.assertIn('name=engine value="torch" checked', page)
        self.assertIn('name=synthetic value="1" checked', page)
        status, _, page = self.server.ask("/try?batch=%3Cscript%3E")
        self.assertEqual(status, 200)
        self.assertIn("batch: expected a whole number", page)
        self.assertNotIn("<script>", page)


class Events(Served):
    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    def wait_for_descriptors(self, most):
        """The server closes that of the last answer by itself, a moment after."""
        until = time.monotonic() + LIMIT_S
        while self.descriptors() > most and time.monotonic() < until:
            time.sleep(0.01)
        self.assertLessEqual(self.descriptors(), most)

    def resident(self):
        with open(f"/proc/{self.server.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def streams(self):
        return int(re.search(r"\nbreakeven_event_streams (\d+)", self.server.get("/metrics"))[1])

    def open_and_leave(self, times):
        request = (f"GET /events?job=1 HTTP/1.1\r\nHost: {self.server.host}:{self.server.port}\r\n"
                   f"Authorization: Bearer {self.server.token}\r\n\r\n").encode()
        for _ in range(times):
            with socket.create_connection((self.server.host, self.server.port)) as s:
                s.sendall(request)
                self.assertIn(b"200 OK", s.recv(200))
            while self.streams():  # the server sees by itself that the browser left
                pass

    def test_a_thousand_streams_leave_nothing(self):
        self.open_and_leave(20)
        # The three that every program has, and the one that listens.
        before, memory = 4, self.resident()
        self.wait_for_descriptors(before)
        self.open_and_leave(1000)
        self.wait_for_descriptors(before)
        self.assertLess(self.resident() - memory, 1 << 20)

    def test_so_many_streams_and_no_more(self):
        streams = [self.server.events(1) for _ in range(24)]
        for each in streams:
            next(each)
        status, _, text = self.server.ask("/events?job=1")
        self.assertEqual(status, 503)
        self.assertIn("close some", text)
        self.assertEqual(self.server.ask("/events?job=99")[0], 404)
        self.assertEqual(self.server.ask("/events?job=x")[0], 404)

    def test_a_browser_that_leaves_in_the_middle(self):
        """Of its question, of the body of a change, of an answer that it does not take."""
        head = (f"Host: {self.server.host}:{self.server.port}\r\n"
                f"Authorization: Bearer {self.server.token}\r\n")
        questions = ["GET /try HT", "GET /runs HTTP/1.1\r\nHost: ",
                     f"POST /api/jobs HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
                     "Content-Length: 100\r\n\r\n{\"study\": ",
                     f"GET /try HTTP/1.1\r\n{head}\r\n" * 20]
        for question in questions:
            with socket.create_connection((self.server.host, self.server.port)) as s:
                s.sendall(question.encode())
        self.assertEqual(self.server.ask("/")[0], 200)
        self.assertEqual(len(self.server.get("/api/jobs")), 1)
        self.wait_for_descriptors(4)

    def test_it_ends_with_streams_open_and_a_training_at_work(self):
        job = self.server.study(study="try", epochs=1000, device=["cpu"])
        stream = self.server.events(job)
        next(stream)
        self.assertEqual(self.server.end(), 0)


class Paced(FolderTest):
    """Studies of which the test says when they go on."""

    def setUp(self):
        super().setUp()
        pipe = self.path("pace")
        os.mkfifo(pipe)
        self.pace = os.open(pipe, os.O_RDWR)
        self.addCleanup(os.close, self.pace)
        self.server = fake_server(self.folder, FAKE_COMMAND_PACE=pipe)
        self.addCleanup(self.end_well)

    def end_well(self):
        end_well(self, self.server)

    def go_on(self, events=1):
        os.write(self.pace, b"." * events)

    def work(self):
        """Whether the server sleeps (S), how often it was woken or put aside, and its time."""
        with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as file:
            switches = re.findall(r"ctxt_switches:\s*(\d+)", file.read())
        with open(f"/proc/{self.server.process.pid}/stat", encoding="ascii") as file:
            words = file.read().rsplit(")", 1)[1].split()
        return words[0], switches, words[11:13]

    def wait_until_asleep(self):
        before, now, until = None, self.work(), time.monotonic() + LIMIT_S
        while (before != now or now[0] != "S") and time.monotonic() < until:
            time.sleep(0.5)
            before, now = now, self.work()

    def test_while_blocks_are_timed_the_server_sleeps(self):
        """The command tells nothing then (test_events_of_commands), and views that are open, whose
        study goes on, cost no turn of the server's loop."""
        job = self.server.study(study="explain", device="cpu")
        streams = [self.server.events(each) for each in (1, job, job, job)]
        self.assertEqual(next(streams[0])["state"], "done")
        self.go_on(2)
        with open(os.path.join(os.path.dirname(__file__), "serve", "explain.jsonl"),
                  encoding="utf-8") as file:
            told = [json.loads(file.readline())["text"] for _ in range(2)][-1]
        for stream in streams[1:]:
            while told not in next(stream)["html"]:
                pass
        self.wait_until_asleep()
        before = self.work()
        time.sleep(2)
        self.assertEqual(self.work(), before)
        self.go_on(1000)
        self.assertEqual(self.server.wait(job)["state"], "done")

    def test_a_curve_grows_point_by_point(self):
        for axis, most in (("batch", 64), ("steps", 1000)):
            job = self.server.study(study="breakeven", axis=axis, **{"from": 1, "to": most})
            stream = self.server.events(job)
            self.go_on(6)  # what is told before the first point
            marks = 0
            for _ in range(2):
                self.go_on()
                more = marks
                while more <= marks:
                    event = next(stream)
                    self.assertEqual(event["state"], "running", axis)
                    more = event["html"].count("<circle")
                marks = more
            self.go_on(100)
            self.assertEqual(self.server.wait(job)["state"], "done")
            os.set_blocking(self.pace, False)
            os.read(self.pace, 200)  # what the command left
            os.set_blocking(self.pace, True)


class Inherited(FolderTest):
    def test_a_study_begins_as_from_a_shell(self):
        """Whatever a process inherits is the same, so that its times are; of a server, too, whose
        own thread OpenMP has bound to a processor."""
        path = self.path("state")
        env = {"FAKE_COMMAND_STATE": path, "OMP_PROC_BIND": "true", "XDG_DATA_HOME": self.folder}
        server = Server([FIXTURE, FAKE], env)
        self.assertEqual(server.wait(1)["state"], "done")
        end_well(self, server)
        server.process.stdout.close()
        server.process.stderr.close()
        subprocess.run([FAKE, "devices"], check=True, env={**os.environ, **env},
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        with open(path, encoding="utf-8") as file:
            by_page, by_shell = [json.loads(line) for line in file]
        self.maxDiff = None
        self.assertEqual(by_page, by_shell)


class Unkept(FolderTest):
    def test_where_no_results_can_be_kept_that_is_said(self):
        """A file lies in the way of the folder, which not even root can change."""
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        server = fake_server(self.folder, XDG_DATA_HOME=self.path("file"))
        page = server.get("/runs")
        server.end()
        server.process.stdout.close()
        server.process.stderr.close()
        self.assertIn("results are not kept: expected to write in " + self.path("file"), page)
        self.assertNotIn("keep theirs", page)


class Runs(Served):
    def test_list_run_compare_note(self):
        for _ in range(2):
            self.server.wait(self.server.study(study="try", device=["cpu"]))
        listed = self.server.get("/api/runs")["runs"]
        self.assertEqual(len(listed), 4)
        measured = [each["run"] for each in listed if each["engines"]]
        page = self.server.get("/runs?workload=mlp-mnist&last=2")
        self.assertIn("2 older: <a href=\"/runs?last=4&amp;workload=mlp-mnist\"", page)
        self.assertIn("No run is kept that is asked for; Try, ",
                      self.server.get("/runs?engine=torch"))
        self.assertIn("native", self.server.get(f"/runs/{measured[0]}"))
        compared = self.server.get(f"/compare?run={measured[0]}&run={measured[1]}")
        self.assertIn("mlp-mnist", compared)
        answer = self.server.get(f"/api/compare?run={measured[0]}&run={measured[1]}")
        self.assertTrue(answer["rows"])
        status, _, _ = self.server.ask(f"/api/runs/{measured[0]}/note", "POST", {"text": EVIL})
        self.assertEqual(status, 202)
        for path in ("/runs", f"/runs/{measured[0]}"):
            self.assertIn("&lt;img src=x onerror=alert(1)&gt;&quot;", self.server.get(path))
            self.assertNotIn("<img", self.server.get(path))
        lines = self.server.ask(f"/api/runs/{measured[0]}/records")[2].splitlines()
        self.assertEqual([json.loads(line)["kind"] for line in lines], ["bench"] * len(lines))

    def test_what_was_imported_is_text(self):
        with open(os.path.join(os.path.dirname(__file__), "serve", "bench.jsonl"),
                  encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        record = [each["value"] for each in records if each["event"] == "record"][0]
        record["workload"] = record["device"] = EVIL
        record["environment"]["cpu"]["model"] = EVIL
        self.good("runs", "import", "-", input=json.dumps(record) + "\n",
                  env={"XDG_DATA_HOME": self.path("data")})
        for path in ("/runs", "/runs/1", "/api/runs"):
            page = self.server.ask(path)[2]
            self.assertIn("onerror", page, path)
            if not path.startswith("/api"):
                self.assertNotIn("<img", page, path)

    def test_bad_addresses(self):
        for path, code, says in [
                ("/runs/1", 404, "expected a run"), ("/compare", 400, "expected two runs or more"),
                ("/compare?run=1", 400, "expected two runs or more"),
                ("/compare?run=1&run=x", 400, "expected the numbers"),
                ("/compare?run=8&run=9", 400, "expected a run"),
                ("/runs?since=yesterday", 400, "expected a day"),
                ("/runs?last=0", 400, "expected a number of runs"),
                ("/nothing", 404, "there is no such page"), ("/runs/x", 404, "no such page"),
                ("/api/nothing", 404, "docs/api.md"), ("/api/jobs/99", 404, "docs/api.md"),
                ("/api/runs/9", 404, "expected a run"),
                ("/api/runs/9/records", 404, "expected a run")]:
            status, _, text = self.server.ask(path)
            self.assertEqual(status, code, (path, text))
            self.assertIn(says, text, path)

    def test_a_damaged_and_a_newer_database(self):
        path = self.path("data", "breakeven", "results.db")
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"no database at all" * 100)
        status, _, text = self.server.ask("/runs")
        self.assertIn((status, "results.db" in text), [(500, True)])
        os.remove(path)
        run("runs", env={"XDG_DATA_HOME": self.path("data")})
        self.server.wait(self.server.study(study="explain"))
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 99")
        status, _, text = self.server.ask("/api/runs")
        self.assertEqual(status, 500)
        self.assertIn("newer", json.loads(text)["error"])
        self.assertEqual(self.server.ask("/")[0], 200)

    def plant(self, record, **more):
        """A record that no other is like; the number of its run."""
        line = json.dumps({**record, "seed": time.time_ns() % 10**9, **more})
        self.good("runs", "import", "-", input=line + "\n",
                  env={"XDG_DATA_HOME": self.path("data")})
        return self.server.get("/api/runs")["runs"][0]["run"]

    def test_records_without_blocks_and_without_likeness(self):
        with open(os.path.join(os.path.dirname(__file__), "serve", "bench.jsonl"),
                  encoding="utf-8") as file:
            events = [json.loads(line) for line in file]
        record = [each["value"] for each in events if each["event"] == "record"
                  and each["value"]["status"] == "OK"][0]
        bare = self.plant(record, blocks=None)
        whole = self.plant(record)
        other = self.plant(record, workload="cnn-mnist")
        self.assertIn("UNSURE", self.server.get(f"/compare?run={bare}&run={whole}"))
        for path in (f"/runs/{bare}", f"/report?run={bare}"):
            self.assertIn("mlp-mnist", self.server.get(path))
        for path in ("/compare", "/api/compare"):
            status, _, text = self.server.ask(f"{path}?run={bare}&run={other}")
            self.assertEqual(status, 400, path)
            self.assertIn("found none: nothing can be compared", text)
        # The report of both has no comparison, and says what it has.
        self.assertIn("cnn-mnist", self.server.get(f"/report?run={bare}&run={other}"))

    def test_the_files_of_the_page_are_small(self):
        """All that a view loads, and the views together: nothing is left out, and no view asks for
        anything else."""
        files = set()
        for path in VIEWS:
            page = self.server.get(path)
            files |= set(re.findall(r"(?:src|href)=\"?(/[\w-]+\.\w+)", page))
        self.assertEqual(files, {"/style.css", "/page.js", "/icon.svg"})
        whole = sum(len(self.server.ask(path)[2]) for path in [*VIEWS, *files])
        self.assertLess(whole, 60000)


class Command(FolderTest):
    def start(self, *words):
        server = Server([PROGRAM, "serve", "-q", *words], {"XDG_DATA_HOME": self.path("data"),
                                                           "BREAKEVEN_PYTHON": "/bin/false"})
        self.addCleanup(server.process.stderr.close)
        self.addCleanup(server.process.stdout.close)
        self.addCleanup(server.end)
        return server

    def test_a_training_by_the_program_itself(self):
        server = self.start("--port", "0")
        self.assertEqual(server.wait(1)["state"], "done")
        self.assertIn("cpu", [device["device"] for device in server.get("/api/machine")])
        job = server.study(study="try", workload="mlp-mnist", epochs=1000, limit=5000,
                           synthetic=True, device=["cpu"], engine=["native"])
        for event in server.events(job):
            if "<dt>loss<dd>" in event["html"]:
                break
        server.ask(f"/api/jobs/{job}/stop", "POST", {})
        self.assertEqual(server.wait(job)["state"], "stopped")
        self.assertEqual(server.end(), 128 + 15)

    def test_a_disk_without_room(self):
        """A note for which there is no room is refused; all before it are there."""
        server = self.start("--port", "0")
        data = {"XDG_DATA_HOME": self.path("data")}
        line = '{"schema":1,"kind":"epoch","workload":"mlp-mnist"}\n'
        self.good("runs", "import", "-", input=line, env=data)
        hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (40960, hard))
        kept, status = -1, 202
        while status == 202 and kept < 100:
            kept += 1
            status, _, text = server.ask("/api/runs/1/note", "POST", {"text": "x" * 900})
        self.assertEqual(status, 500, text)
        self.assertIn("its folder can be written and has room", json.loads(text)["error"])
        self.assertEqual(self.good("runs", "show", "1", env=data).count("note of"), kept)
        self.assertGreater(kept, 0)
        self.assertEqual(server.ask("/runs/1")[0], 200)

    def test_ports_and_addresses(self):
        server = self.start("--port", "0")
        self.bad(3, "serve", "--port", server.port,
                 says=[f"expected port {server.port} to be free", "--port, 0 takes a free one"])
        self.bad(2, "serve", "--listen", "0.0.0.0", says=["--listen: expected --token beside it"])
        self.bad(2, "serve", "--listen", "here", "--token", "0123456789abcdef",
                 says=["--listen: expected an address"])
        self.bad(2, "serve", "--token", "short", says=["expected 16 to 128 characters"])
        self.bad(2, "serve", "--port", "65536", says=["65536"])
        listening = self.start("--port", "0", "--listen", "127.0.0.1", "--token",
                               "a-token-of-my-own")
        self.assertEqual(listening.token, "a-token-of-my-own")
        self.assertEqual(listening.ask("/")[0], 200)

    def test_the_browser_is_opened_with_an_address_for_one_time(self):
        opener, seen = self.path("xdg-open"), self.path("seen")
        with open(opener, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\necho \"$1\" > {seen}.new\nmv {seen}.new {seen}\n")
        os.chmod(opener, 0o755)
        server = Server([PROGRAM, "serve", "--open", "--port", "0"],
                        {"XDG_DATA_HOME": self.path("data"), "BREAKEVEN_PYTHON": "/bin/false",
                         "PATH": self.folder + ":" + os.environ["PATH"]})
        while not os.path.exists(seen):
            time.sleep(0.01)
        with open(seen, encoding="ascii") as file:
            once = file.read().strip()
        self.assertNotEqual(once, server.address)
        self.assertEqual(server.ask(once[once.index("/?"):], allowed=False)[0], 200)
        server.process.kill()
        server.process.communicate()

    def test_events_of_commands(self):
        lines = self.good("train", "mlp-mnist", "--synthetic", "--limit", "200", "--epochs", "2",
                          "--events", "--no-store").splitlines()
        events = [json.loads(line) for line in lines]
        self.assertEqual({event["event"] for event in events}, {"step", "record"})
        step = [event for event in events if event["event"] == "step"][-1]
        self.assertEqual((step["epoch"], step["epochs"], step["left_s"]), (2, 2, 0))
        measured = run("bench", "mlp-mnist", "--synthetic", "--limit", "200", "--engine", "native",
                       "--threads", "1", "--max-time", "0.2", "--events", "--no-store")
        events = [json.loads(line) for line in measured.stdout.splitlines()]
        self.assertEqual(events[-1]["event"], "result")
        told = [event["text"] for event in events if event["event"] == "progress"]
        self.assertTrue(told)
        # While blocks are timed nothing is told.
        self.assertFalse([text for text in told if ": measuring," in text], told)
        self.bad(2, "bench", "--events", "--format", "csv", says=["leave --format out"])
        self.bad(2, "train", "mlp-mnist", "--events", "--dry-run", says=["leave --events out"])


if __name__ == "__main__":
    subprocess.run([PROGRAM, "--version"], check=True)
    unittest.main()
