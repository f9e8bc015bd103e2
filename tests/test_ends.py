"""How the program ends before its end: signals, a closed pipe, the limit of a file's size, a kill.
Nothing of it is left in the temporary folder or beside an output, and no runner goes on."""
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import time
import unittest

from cli_support import LIMIT_S, PROGRAM, SMALL, FolderTest, run

ENDLESS = ["train", "mlp-mnist", *SMALL, "--threads", "1", "--epochs", "1000000"]
SIGPIPE_CODE = 128 + signal.SIGPIPE


def is_alive(pid):
    """A zombie that nobody has waited for has ended too."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class EndsTest(FolderTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("tmp"))
        self.environment = {**os.environ, "TMPDIR": self.path("tmp"), "LC_ALL": "C.UTF-8",
                            "XDG_STATE_HOME": self.path("state"),
                            "XDG_CACHE_HOME": self.path("cache")}

    def start(self, *command, **more):
        """A hangup means it, though nohup may have started the tests."""
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
               "preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), **more}
        process = subprocess.Popen([PROGRAM, *command], env=self.environment, text=True, **how)
        self.addCleanup(self.finish, process)
        return process

    def finish(self, process):
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def start_training(self, *more, **how):
        """A training without end, whose first epoch is over."""
        process = self.start(*ENDLESS, *more, **how)
        while not re.match(r" +1 ", process.stdout.readline()):
            self.assertIsNone(process.poll())
        return process

    def start_bench(self, engine="torch"):
        """A measurement whose runner is at work: of a fake engine, it never answers."""
        self.environment.update(self.fake_torch("--fault", "hang"))
        process = self.start("bench", "mlp-mnist", *SMALL, "--engine", engine, "--device", "cpu",
                             "--threads", "1")
        self.wait_for(lambda: self.runners(process.pid) and os.listdir(self.path("tmp")))
        return process

    def runners(self, pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return list(map(int, file.read().split()))

    def wait_for(self, condition):
        end = time.monotonic() + LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def assert_nothing_left(self):
        self.assertEqual(os.listdir(self.path("tmp")), [])


class Signals(EndsTest):
    def test_each_saves_and_has_its_code(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            folder = self.path(number.name)
            process = self.start_training("-c", folder, "--checkpoint-every", "1000000")
            process.send_signal(number)
            _, log = process.communicate(timeout=LIMIT_S)
            self.assertEqual(process.returncode, 128 + number, log)
            self.assertIn(f"saved, and --resume {folder} goes on from there", log)
            name, = set(os.listdir(folder)) - {"mlp-mnist-best.safetensors"}
            step = int(re.fullmatch(r"mlp-mnist-(\d{10})\.safetensors", name).group(1))
            self.assertIn(f"going on from step {step}", run(
                "train", "mlp-mnist", *SMALL, "--threads", "1", "--steps", step, "--resume",
                folder).stderr)

    def test_hangup_that_is_ignored_stays_so(self):
        """As nohup sets it."""
        process = self.start_training(
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        for _ in range(3):
            self.assertTrue(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)

    def test_a_measurement_leaves_nothing(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start_bench()
            runners = self.runners(process.pid)
            process.send_signal(number)
            _, log = process.communicate(timeout=LIMIT_S)
            self.assertEqual(process.returncode, 128 + number, log)
            self.assert_nothing_left()
            self.assertFalse(any(map(is_alive, runners)))

    def test_a_killed_runner_leaves_nothing(self):
        process = self.start_bench()
        while process.poll() is None:  # the next one too, where the first was not the last
            with contextlib.suppress(OSError):
                for pid in self.runners(process.pid):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        _, log = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 1, log)
        self.assert_nothing_left()


class ClosedPipe(EndsTest):
    def test_a_training_ends_quietly_and_saves(self):
        process = self.start_training("-c", self.path("c"))
        process.stdout.close()
        log = process.stderr.read()
        self.assertEqual((process.wait(LIMIT_S), log), (SIGPIPE_CODE, ""))
        names = os.listdir(self.path("c"))
        self.assertTrue(names and all(n.endswith(".safetensors") for n in names), names)

    def test_the_notes_count_too(self):
        process = self.start_training()
        process.stderr.close()
        process.stdout.read()
        self.assertEqual(process.wait(LIMIT_S), SIGPIPE_CODE)

    def test_a_measurement_ends_though_it_has_nothing_to_print_yet(self):
        process = self.start_bench()
        runners = self.runners(process.pid)
        process.stdout.close()
        self.assertEqual(process.stderr.read(), "")
        self.assertEqual(process.wait(LIMIT_S), SIGPIPE_CODE)
        self.assert_nothing_left()
        self.assertFalse(any(map(is_alive, runners)))

    def test_what_is_printed_at_once(self):
        """The reader has gone before the first byte: the page is met by a write error."""
        for command in (["help"], ["completion", "bash"], ["workloads", "-f", "json"]):
            reading, writing = os.pipe()
            os.close(reading)
            process = self.start(*command, stdout=writing)
            os.close(writing)
            log = process.stderr.read()
            self.assertEqual((process.wait(LIMIT_S), log), (SIGPIPE_CODE, ""), command)

    def test_a_pipe_that_is_read_to_its_end_is_no_such(self):
        self.assertTrue(self.good("help"))
        self.assertIn("best", self.good("train", "mlp-mnist", *SMALL, "--steps", "3"))


class FileSize(EndsTest):
    def limited(self, *command, **more):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        process = self.start(*command, preexec_fn=limit, **more)
        out, log = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 1, (command, log))
        self.assert_nothing_left()
        return out, log

    def test_outputs_say_so_and_leave_nothing(self):
        big = self.path("big")
        training = ["train", "mlp-mnist", *SMALL, "--steps", "1"]
        for command in (["dump", "mlp-mnist", *SMALL, "-o", big], [*training, "--export", big],
                        [*training, "-c", self.path("c")]):
            _, log = self.limited(*command)
            self.assertIn("File too large", log)
            self.assertIn("raise the limit of a file's size with ulimit -f", log)
        self.assertEqual(sorted(os.listdir(self.folder)), ["tmp"])

    def test_what_runners_are_given(self):
        _, log = self.limited("bench", "mlp-mnist", *SMALL, "--engine", "native")
        self.assertIn("File too large", log)

    def test_standard_output(self):
        with open(self.path("page"), "wb") as page:
            page.write(b" " * 4000)
            page.flush()
            _, log = self.limited("help", stdout=page)
        self.assertIn("standard output could not be written", log)


class Memory(EndsTest):
    @unittest.skipUnless("BREAKEVEN_SCARCE_JSON" in os.environ, "needs Linux")
    def test_an_epoch_without_its_record_is_told(self):
        self.environment["LD_PRELOAD"] = os.environ["BREAKEVEN_SCARCE_JSON"]
        for form in ("jsonl", "json", "table"):
            process = self.start("train", "mlp-mnist", *SMALL, "--epochs", "3", "-f", form)
            out, log = process.communicate(timeout=LIMIT_S)
            self.assertEqual(process.returncode, 5, (form, log))
            self.assertIn("no memory was left for the record of epoch 2", log)
            if form != "table":
                records = json.loads(out) if form == "json" else map(json.loads, out.splitlines())
                self.assertEqual([record["epoch"] for record in records], [1, 3])


class Kill(EndsTest):
    @unittest.skipUnless(os.path.exists("/proc/self/stat"), "Linux tells who is alive")
    def test_its_runner_ends_and_the_next_start_cleans(self):
        process = self.start_bench("native")
        runners = self.runners(process.pid)
        process.kill()
        process.wait()
        self.wait_for(lambda: not any(map(is_alive, runners)))
        left, = os.listdir(self.path("tmp"))
        other = self.start_bench()
        self.wait_for(lambda: left not in os.listdir(self.path("tmp")))
        self.wait_for(lambda: os.listdir(self.path("tmp")))
        kept, = os.listdir(self.path("tmp"))  # in use, by a live process
        os.mkdir(self.path("tmp", "breakeven-others"))
        os.mkdir(self.path("tmp", "breakeven-AbCdEf"))
        run("bench", "mlp-mnist", *SMALL, "--engine", "native", "--threads", "1", "--max-time",
            "0.1", env=self.environment)
        self.assertIsNone(other.poll(), other.poll() is not None and other.stderr.read())
        self.assertEqual(sorted(os.listdir(self.path("tmp"))),
                         sorted([kept, "breakeven-others", "breakeven-AbCdEf"]))
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=LIMIT_S)


if __name__ == "__main__":
    unittest.main()
