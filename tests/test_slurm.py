"""Tests of workers that a real slurm starts: its daemons run on this machine, with ports, keys and
folders of their own.
"""
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

from cli_support import LIMIT_S, PROGRAM, FolderTest
from test_workers import has_mpi, srun, wait_for_checkpoint

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "scancel", "sinfo")
MISSING = [p for p in PROGRAMS if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin")]
NONE = f"no {MISSING[0]}: install slurm-wlm and munge" if MISSING else ""
NONE = NONE or ("slurm's daemons need root" if os.geteuid() else "")
TRAIN = ["train", "mlp-mnist", "--synthetic", "--limit", "200", "--batch", "16", "--no-store"]
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES State=UP
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class VariablesTest(FolderTest):
    """Without a slurm."""

    def test_ranks_of_several_machines_need_an_mpi(self):
        self.bad(3, *TRAIN, "--steps", "1", env={**srun(0, 3), "SLURM_STEP_NUM_NODES": "2"},
                 says=["srun started 3 ranks on several machines", "--mpi=pmix", "--nodes=1"])


@unittest.skipIf(NONE, NONE)
class SlurmTest(FolderTest):
    def setUp(self):
        super().setUp()
        path = self.path("slurm")
        os.mkdir(path)
        for name in ("state", "spool"):
            os.mkdir(os.path.join(path, name))
        key = os.path.join(path, "key")
        with open(key, "wb") as file:
            os.chmod(key, 0o600)
            file.write(os.urandom(128))
        host = socket.gethostname().split(".")[0]
        configuration = os.path.join(path, "slurm.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(host=host, ports=free_ports(2), folder=path,
                                            cores=os.cpu_count()))
        self.env = {**os.environ, "SLURM_CONF": configuration}
        self.log = self.path("daemons")
        self.daemon("munged", "--foreground", "--force", "--key-file", key,
                    *(f"--{what}={path}/{name}" for what, name in
                      (("socket", "munge"), ("pid-file", "munge.pid"), ("log-file", "munge.log"),
                       ("seed-file", "munge.seed"))))
        self.wait_until(lambda: os.path.exists(f"{path}/munge"))
        self.daemon("slurmctld", "-D")
        self.daemon("slurmd", "-D")
        self.wait_until(lambda: self.told("sinfo", "-h", "-o", "%t").strip() == "idle")

    def daemon(self, name, *words):
        with open(self.log, "ab") as log:
            child = subprocess.Popen(
                [shutil.which(name, path=self.env["PATH"] + ":/usr/sbin"), *words], env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(child.wait)
        self.addCleanup(child.terminate)

    def told(self, *words):
        return subprocess.run(words, env=self.env, check=False, capture_output=True, text=True,
                              timeout=LIMIT_S).stdout

    def wait_until(self, is_so):
        until = time.monotonic() + LIMIT_S
        while not is_so():
            if time.monotonic() > until:
                with open(self.log, encoding="utf-8", errors="replace") as file:
                    self.fail(file.read())
            time.sleep(0.05)

    def start(self, *words, options=()):
        child = subprocess.Popen(["srun", "-n", "2", "-O", *options, PROGRAM, *TRAIN, *words],
                                 env=self.env, text=True, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.wait)
        self.addCleanup(self.told, "scancel", "-u", "root")
        return child

    def end(self, child):
        """Exit code and standard error."""
        _, error = child.communicate(timeout=LIMIT_S)
        return child.returncode, error

    def test_ranks_train_as_workers_do(self):
        weights = self.path("workers")
        self.good(*TRAIN, "--steps", "20", "--quiet", "--workers", "2", "--export", weights)
        ways = [()] + [(f"--mpi={by}",) for by, family in (("pmix", "openmpi"), ("pmi2", "mpich"))
                       if has_mpi(family)]
        for options in ways:
            with self.subTest(options=options):
                found = self.path("ranks")
                code, error = self.end(self.start("--steps", "20", "--quiet", "--export", found,
                                                  options=options))
                self.assertEqual(code, 0, error)
                with open(weights, "rb") as a, open(found, "rb") as b:
                    self.assertTrue(a.read() == b.read())

    def running(self):
        """A training that has saved once, and one of its ranks."""
        folder = self.path("checkpoints")
        child = self.start("--epochs", "1000000", "--checkpoint", folder, "--checkpoint-every",
                           "20", "--quiet")
        wait_for_checkpoint(folder)
        return child, [int(pid) for pid in filter(str.isdigit, os.listdir("/proc"))
                       if self.is_rank(pid, folder)]

    def is_rank(self, pid, folder):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            return False
        return words[0] == PROGRAM.encode() and folder.encode() in words

    def test_one_that_is_killed_ends_all(self):
        child, ranks = self.running()
        self.assertEqual(len(ranks), 2)
        os.kill(ranks[1], signal.SIGKILL)
        code, error = self.end(child)
        self.assertNotEqual(code, 0)
        self.assertRegex(error, r"breakeven: rank \d of 2 ended \(process \d+\): it is gone "
                         r"without a word: killed, or crashed")

    def test_a_cancelled_job_is_saved(self):
        child, _ = self.running()
        self.told("scancel", "-u", "root")
        code, error = self.end(child)
        self.assertEqual(code, 143, error)
        self.assertRegex(error, r"stopped by a signal after step \d+ of \d+; saved, and --resume ")


if __name__ == "__main__":
    unittest.main()
