"""Tests of a training by workers on several machines, by Open MPI over TCP: namespaces in the place
of machines, and a link between them that delays and loses (tests/machines.py).
"""
import os
import re
import signal
import socket
import subprocess
import time
import unittest

from cli_support import LIMIT_S, PROGRAM, FolderTest
from machines import BROADCAST, Machines, why_none
from test_workers import AS_ROOT, LAUNCHERS, has_mpi, wait_for_checkpoint

NONE = "" if has_mpi("openmpi") else "no Open MPI: install openmpi-bin libopenmpi-dev"
NONE = NONE or why_none()
TRAIN = ["train", "mlp-mnist", "--synthetic", "--limit", "200", "--batch", "16", "--no-store",
         "--threads", "1"]


class LinkTest(unittest.TestCase):
    """The link alone, with sockets in the place of the machines' devices."""

    def test_frames_reach_whom_they_are_for(self):
        machines = Machines(3)
        ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
        for inner, outer in ends:
            self.addCleanup(inner.close)
            self.addCleanup(outer.close)
            inner.setblocking(False)
            outer.settimeout(LIMIT_S)
            machines.taps.append(inner.fileno())
        first, second, third = (outer for _, outer in ends)
        places = [bytes([m] * 6) for m in range(3)]
        machines.thread.start()
        first.send(BROADCAST + places[0] + b"who is there?")
        for other in (second, third):
            self.assertEqual(other.recv(100)[12:], b"who is there?")
        second.send(places[0] + places[1] + b"I am")
        self.assertEqual(first.recv(100)[12:], b"I am")
        machines.unplugged.add(2)
        third.send(places[0] + places[2] + b"lost")
        first.send(places[1] + places[0] + b"you alone")
        self.assertEqual(second.recv(100)[12:], b"you alone")
        os.close(machines.wakes)
        machines.thread.join()
        os.close(machines.woken)
        self.assertEqual((machines.frames, machines.lost), (4, 1))
        for silent in (first, third):
            silent.setblocking(False)
            self.assertRaises(BlockingIOError, silent.recv, 100)


@unittest.skipIf(NONE, NONE)
class MachinesTest(FolderTest):
    def start(self, machines, ranks, *words, mca=()):
        """mpirun on machine 0 of `ranks` ranks on each."""
        agent = self.path("agent")
        machines.write_agent(agent)
        hosts = ",".join(f"{a}:{ranks}" for a in machines.addresses)
        settings = [("plm_rsh_agent", agent), ("btl", "tcp,vader,self"),
                    ("btl_tcp_if_include", "10.77.0.0/24"),
                    ("oob_tcp_if_include", "10.77.0.0/24"), *mca]
        child = subprocess.Popen(
            machines.command(0, LAUNCHERS["openmpi"], "-H", hosts, "-n",
                             str(ranks * len(machines.names)), "--bind-to", "none",
                             *(word for setting in settings for word in ("--mca", *setting)),
                             PROGRAM, *TRAIN, "--quiet", *words),
            env={**os.environ, **AS_ROOT}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True)
        self.addCleanup(child.stderr.close)
        return child

    def end(self, child):
        """Exit code and standard error."""
        _, error = child.communicate(timeout=LIMIT_S)
        return child.returncode, error

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_they_train_as_workers_of_one_machine(self):
        """To the bit, whatever the link does."""
        train = ["--steps", "12"]
        self.good(*TRAIN, *train, "--quiet", "--workers", "4", "--export", self.path("near"))
        with Machines(2, delay_s=0.005, loss=0.01) as machines:
            code, error = self.end(self.start(machines, 2, *train, "--export", self.path("apart")))
            self.assertEqual(code, 0, error)
            self.assertGreater(machines.lost, 0)
            self.assertGreater(machines.bytes, 12 * 2 * 4 * 109386)
        self.assertTrue(self.read("near") == self.read("apart"))

    def unplug_one_of_two(self, machines, mca=()):
        """While they train, after a first checkpoint."""
        folder = self.path("checkpoints")
        child = self.start(machines, 1, "--epochs", "100000", "--checkpoint", folder,
                           "--checkpoint-every", "3", mca=mca)
        wait_for_checkpoint(folder)
        machines.unplugged.add(1)
        return child

    def assert_goes_on(self):
        """The last checkpoint is whole: one step more."""
        folder = self.path("checkpoints")
        step = max(int(n) for name in os.listdir(folder)
                   for n in re.findall(r"-(\d+)\.safetensors$", name))
        self.good(*TRAIN, "--quiet", "--workers", "2", "--resume", folder, "--steps", step + 1)

    def test_a_machine_that_cannot_be_reached_ends_all(self):
        """Its link is pulled out: the others name a rank of it, and it ends, too.  mpirun waits on
        for its answer."""
        with Machines(2, delay_s=0.001) as machines:
            child = self.unplug_one_of_two(machines)
            told = next(line for line in child.stderr if line.startswith("breakeven: "))
            self.assertRegex(told,
                             "^breakeven: rank 1 of 2 ended: it hangs, falls behind or cannot be "
                             r"reached: the others have waited \d+\.\d s for a sign of it$")
            for m in range(2):
                while any(words[0] == PROGRAM for words in machines.processes(m).values()):
                    time.sleep(0.05)
            child.kill()
        self.assertNotIn("breakeven: ", self.end(child)[1])
        self.assert_goes_on()

    def test_an_mpirun_that_asks_sooner_ends_all(self):
        with Machines(2, delay_s=0.001) as machines:
            child = self.unplug_one_of_two(machines, mca=[("oob_tcp_keepalive_time", "2"),
                                                          ("oob_tcp_keepalive_probes", "3"),
                                                          ("oob_tcp_keepalive_intvl", "1")])
            code, error = self.end(child)
            self.assertNotEqual(code, 0)
            self.assertIn("lost communication with a remote daemon", error)
        self.assert_goes_on()

    def test_a_rank_of_another_machine_is_killed(self):
        folder = self.path("checkpoints")
        with Machines(2) as machines:
            child = self.start(machines, 1, "--epochs", "100000", "--checkpoint", folder,
                               "--checkpoint-every", "3")
            wait_for_checkpoint(folder)
            pid, = (pid for pid, words in machines.processes(1).items() if words[0] == PROGRAM)
            os.kill(pid, signal.SIGKILL)
            code, error = self.end(child)
            self.assertNotEqual(code, 0)
            self.assertIn("exited on signal 9", error)
        self.assert_goes_on()

    def test_what_is_of_one_machine_is_refused(self):
        with Machines(2) as machines:
            code, error = self.end(self.start(machines, 1, "--steps", "1", "--device", "cuda"))
        self.assertNotEqual(code, 0)
        self.assertIn("expected all 2 ranks on one machine, whose GPUs NCCL joins", error)


if __name__ == "__main__":
    unittest.main()
