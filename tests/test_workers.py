"""Tests of a training by several workers, as processes: started by --workers, and by the launchers
of Open MPI and MPICH where these are installed.

BREAKEVEN_WORKER_KILLS sets the number of kills (6), BREAKEVEN_SEED their moments.
"""
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import time
import unittest

from cli_support import LIMIT_S, PROGRAM, FolderTest, floats, read_safetensors

KILLS = int(os.environ.get("BREAKEVEN_WORKER_KILLS", "6"))
SEED = int(os.environ.get("BREAKEVEN_SEED", time.time_ns() % 1000000))
TRAIN = ["train", "mlp-mnist", "--synthetic", "--limit", "200", "--batch", "16", "--no-store"]
CLIP = ["train", "clip", "--layers", "1", "--width", "64", "--heads", "2", "--seq", "24", "--size",
        "32", "--vocab", "1024", "--synthetic", "--limit", "32", "--no-store", "-f", "json"]
# Sums of single precision in another order, over some dozens of steps; of the largest weight.
ROUNDING = 2e-6
PLUGINS = os.path.join(os.path.dirname(PROGRAM), "src", "group")
LAUNCHERS = {"openmpi": "mpirun.openmpi", "mpich": "mpirun.mpich"}
TORCHRUN = os.environ.get("BREAKEVEN_TORCHVENV", "")
# Open MPI asks root twice.
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def why_no_gloo():
    """Why the Python of the program's PyTorch has no workers; "" where it has."""
    code = ("import torch.distributed as d, sys; "
            "sys.exit(not (d.is_available() and d.is_gloo_available()))")
    asked = subprocess.run(["/usr/bin/python3", "-c", code], check=False, capture_output=True)
    return "" if asked.returncode == 0 else "no PyTorch with gloo in /usr/bin/python3"


NO_GLOO = why_no_gloo()


def has_mpi(family):
    return (shutil.which(LAUNCHERS[family]) is not None
            and os.path.isfile(os.path.join(PLUGINS, f"breakeven_{family}.so")))


def torchrun(rank, size):
    """What torchrun tells a rank."""
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
            "TORCHELASTIC_RUN_ID": f"test-{os.getpid()}"}


def srun(rank, size):
    """What srun tells a rank, without any --mpi."""
    return {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(size),
            "SLURM_STEP_NUM_NODES": "1", "SLURM_JOB_ID": f"test-{os.getpid()}",
            "SLURM_STEP_ID": "0"}


def parent_of(pid):
    """0 where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError):
        return 0


def workers_of(program):
    """{rank: process} of the workers that a program has started; none has been waited for."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if parent_of(pid) != program.pid:
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            continue
        for variable in variables:
            if variable.startswith(b"BREAKEVEN_WORKER="):
                found[int(variable.split(b"=")[1].split(b"/")[0])] = int(pid)
    return found


def wait_for_checkpoint(folder):
    while not (os.path.isdir(folder)
               and any(n.endswith(".safetensors") for n in os.listdir(folder))):
        time.sleep(0.01)


class WorkersTest(FolderTest):
    def weights(self, name, *options):
        """Train: the file of weights."""
        path = self.path(name)
        self.good(*TRAIN, "--steps", "30", "--quiet", "--export", path, *options)
        return path

    def assert_same_training(self, first, second):
        a, b = read_safetensors(first), read_safetensors(second)
        self.assertEqual(list(a), list(b))
        pairs = [p for name in a for p in zip(floats(a[name]), floats(b[name]))]
        largest = max(abs(x) for x, _ in pairs)
        self.assertLessEqual(max(abs(x - y) for x, y in pairs), ROUNDING * largest)

    def assert_same_bytes(self, first, second):
        with open(first, "rb") as a, open(second, "rb") as b:
            self.assertTrue(a.read() == b.read(), (first, second))

    def test_workers_train_as_one(self):
        alone = self.weights("alone", "--threads", "1")
        for workers in ("2", "4"):
            with self.subTest(workers=workers):
                found = self.weights("w" + workers, "--workers", workers)
                self.assert_same_training(alone, found)
                self.assert_same_bytes(found, self.weights("again", "--workers", workers))

    def test_workers_are_measured_beside_one(self):
        """Both commands measure the same; the sweep leaves out what cannot cut the batch."""
        for words in (["bench", "mlp-mnist", "--workers", "2", "--time", "0.01"],
                      ["sweep", "mlp-mnist", "--over", "workers=1..3", "--max-time", "1"]):
            with self.subTest(words=words):
                told = json.loads(self.good(*words, "--synthetic", "--batch", "16", "-f",
                                            "json"))
                self.assertEqual([p["workers"] for p in told["points"]], [1, 2])
                self.assertEqual([p["batch"] for p in told["points"]], [16, 8])
                self.assertAlmostEqual(told["gradient_bytes"], 4 * 109386, delta=1000)
                one, two = told["points"]
                self.assertEqual((one["speed_up"]["point"], one["reduce_s"]), (1, 0))
                self.assertGreater(told["bytes_per_s"], 0)
                for name in ("reduce_s", "model_reduce_s", "predicted_s", "part_s"):
                    self.assertGreater(two[name], 0, name)
                self.assertLess(two["reduce_s"], two["step_s"]["high"])

    @unittest.skipIf(NO_GLOO, NO_GLOO)
    def test_pytorch_is_measured_beside_the_native_engine(self):
        """Its workers compute the same, or get no speed."""
        bench = ["bench", "mlp-mnist", "--workers", "2", "--engine", "torch", "--time", "0.01",
                 "--synthetic", "--batch", "16", "-f", "json", "--no-store"]
        told = json.loads(self.good(*bench))
        peer, = told["peers"]
        self.assertEqual(peer["engine"], "torch")
        self.assertIn("PyTorch", peer["implementation"])
        self.assertEqual([(p["workers"], p["batch"]) for p in peer["points"]], [(1, 16), (2, 8)])
        self.assertEqual([p["workers"] for p in told["points"]], [1, 2])
        for point in peer["points"]:
            self.assertGreater(point["versus_native"]["point"], 0)
        runners = self.path("runners")
        shutil.copytree(os.path.join(os.environ["BREAKEVEN_SOURCE"], "runners"), runners)
        with open(os.path.join(runners, "torch_engine.py"), encoding="utf-8") as file:
            text = file.read()
        joins = "self.group.wrap(self.model)"
        self.assertIn(joins, text)
        with open(os.path.join(runners, "torch_engine.py"), "w", encoding="utf-8") as file:
            file.write(text.replace(joins, "self.model"))  # each for itself
        self.bad(4, *bench, env={"BREAKEVEN_RUNNERS": runners},
                 says=["torch cpu, 2 workers", "same weights on all ranks"])

    def test_what_was_measured_is_kept(self):
        """Shown, reported, exported and taken again elsewhere."""
        bench = ["bench", "mlp-mnist", "--workers", "2", "--time", "0.01", "--synthetic", "--batch",
                 "16", "-f", "json"]
        home, other = ({"XDG_STATE_HOME": self.path(name)} for name in ("home", "other"))
        self.good(*bench, "--no-store", env=home)
        self.assertIn("no run", self.good("runs", env=home))
        told = json.loads(self.good(*bench, env=home))
        kept, = json.loads(self.good("runs", "show", "1", "-f", "json", env=home))
        steps = [p["step_s"]["point"] for p in told["points"]]
        self.assertEqual([p["workers"] for p in kept["points"]], [1, 2])
        for point, step in zip(kept["points"], steps):
            self.assertAlmostEqual(point["step_s"]["point"], step, delta=1e-6 * step)
        page = self.path("page.md")
        self.good("report", "-o", page, env=home)
        with open(page, encoding="utf-8") as file:
            texts = [self.good("runs", "show", "1", env=home), file.read()]
        for text in (" ".join(text.split()) for text in texts):
            self.assertIn("the workers cut a batch of 16", text)
            self.assertRegex(text, "More workers (pay|never pay|do not surely pay)")
        path = self.path("kept.jsonl")
        self.good("runs", "export", "1", "-o", path, env=home)
        self.good("runs", "import", path, env=other)
        again, = json.loads(self.good("runs", "show", "1", "-f", "json", env=other))
        self.assertEqual(again["points"], kept["points"])

    def test_what_changes_nothing_for_workers_is_refused(self):
        bench = ["bench", "mlp-mnist", "--workers", "2"]
        for words, says in [
                ([*bench, "--engine", "tensorflow"], ["several workers are measured of torch"]),
                ([*bench, "--engine", "torch-graph"], ["found torch-graph"]),
                ([*bench, "--threads", "1"], ["--threads: workers are measured by trainings"]),
                ([*bench, "--max-time", "9"], ["--max-time: workers are measured"]),
                ([*bench, "--infer"], ["--infer: workers are measured by trainings"]),
                ([*bench, "cnn-mnist"], ["with one workload, found 2"]),
                ([*bench, "--device", "opencl:0"], ["expected cpu, or cuda", "found opencl:0"]),
                ([*bench, "--batch", "15"], ["batch that 2 workers can cut", "found 15"]),
                (["bench", "mlp-mnist", "--workers", "1"], ["expected a number above 1"]),
                (["sweep", "mlp-mnist", "--over", "workers=4..2"],
                 ["expected workers=FROM..TO with numbers from 1 to 256", "workers=4..2"]),
                (["sweep", "mlp-mnist", "--over", "batch=1..8", "--each"],
                 ["--each: it is of workers; add --over workers=FROM..TO"])]:
            with self.subTest(words=words):
                self.bad(2, *words, "--synthetic", says=says)

    def test_launchers_train_the_same(self):
        known = [f for f in LAUNCHERS if has_mpi(f)]
        if not known:
            self.skipTest("needs an MPI: install openmpi-bin libopenmpi-dev, and build again")
        expected = self.weights("expected", "--workers", "2")
        for family in known:
            with self.subTest(family=family):
                path = self.path(family)
                result = subprocess.run(
                    [LAUNCHERS[family], "-n", "2", PROGRAM, *TRAIN, "--steps", "30", "-f", "jsonl",
                     "--export", path], env={**os.environ, **AS_ROOT}, capture_output=True,
                    text=True, timeout=LIMIT_S, check=False)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual([json.loads(r)["workers"] for r in result.stdout.splitlines()],
                                 [2] * 3)
                self.assert_same_bytes(expected, path)

    @unittest.skipUnless(TORCHRUN, "BREAKEVEN_TORCHVENV names no Python with PyTorch 2")
    def test_torchrun_itself_starts_ranks(self):
        path = self.path("torchrun")
        result = subprocess.run(
            [TORCHRUN, "-m", "torch.distributed.run", "--standalone", "--no-python",
             "--nproc-per-node", "2", PROGRAM, *TRAIN, "--steps", "30", "--quiet", "--export",
             path], capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_same_bytes(self.weights("expected", "--workers", "2"), path)

    def test_ranks_that_exchange_messages_train_the_same(self):
        """As those of several machines do (test_machines.py), by both MPIs; in two buckets."""
        for options, workers in (([], "4"), (["--width", "16"], "2"),
                                 (["--width", "16", "--accumulate", "2"], "2")):
            expected = self.weights("expected", *options, "--workers", workers)
            for family in filter(has_mpi, LAUNCHERS):
                with self.subTest(family=family, options=options):
                    path = self.path(family)
                    more = ["--oversubscribe"] if family == "openmpi" else []
                    result = subprocess.run(
                        [LAUNCHERS[family], *more, "-n", workers, PROGRAM, *TRAIN, "--steps", "30",
                         "-f", "jsonl", *options, "--export", path],
                        env={**os.environ, **AS_ROOT, "BREAKEVEN_APART": "1"}, text=True,
                        capture_output=True, timeout=LIMIT_S, check=False)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assert_same_bytes(expected, path)
                    for record in map(json.loads, result.stdout.splitlines()):
                        hidden = record["all_reduce_hidden_s"]
                        self.assertTrue(hidden > 0 if options else hidden >= 0, record)

    def start_all(self, variables, *options, train=TRAIN):
        """A process for each rank's variables: (exit code, standard output, standard error)."""
        started = [subprocess.Popen([PROGRAM, *train, "--steps", "30", *options], text=True,
                                    env={**os.environ, **own}, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE) for own in variables]
        ended = [child.communicate(timeout=LIMIT_S) for child in started]
        return [(child.returncode, *said) for child, said in zip(started, ended)]

    @unittest.skipUnless(os.path.isdir("/proc/self"), "the ranks meet by a socket of Linux")
    def test_ranks_of_torchrun_and_srun_meet(self):
        expected = self.weights("expected", "--workers", "2")
        for launcher in (torchrun, srun):
            with self.subTest(launcher=launcher.__name__):
                path = self.path(launcher.__name__)
                ended = self.start_all([launcher(1, 2), launcher(0, 2)], "--export", path, "-f",
                                       "jsonl")
                self.assertEqual([code for code, _, _ in ended], [0, 0], ended)
                self.assertEqual(ended[0][1], "")
                self.assertEqual([json.loads(r)["workers"] for r in ended[1][1].splitlines()],
                                 [2] * 3)
                self.assert_same_bytes(expected, path)

    @unittest.skipUnless(os.path.isdir("/proc/self"), "the ranks meet by a socket of Linux")
    def test_ranks_that_do_not_belong_together_are_refused(self):
        for others, says in [
                ([torchrun(0, 2), torchrun(1, 3)], "rank 1 was told of 3 ranks, and rank 0 of 2"),
                ([torchrun(0, 3), torchrun(1, 3), torchrun(1, 3)], "rank 1 of 3 is there twice")]:
            with self.subTest(says=says):
                ended = self.start_all(others)
                self.assertEqual([code for code, _, _ in ended], [2] * len(others), ended)
                told = [error for _, _, error in ended if error]
                self.assertEqual(len(told), 1, ended)
                self.assertIn(says, told[0])
                self.assertEqual(len(told[0].splitlines()), 1, told)

    def data_folder(self, name, pictures):
        """An MNIST of its own, of black pictures of noughts; None: of files that are none."""
        folder = self.path(name, "mnist")
        os.makedirs(folder)
        for split in ("train", "t10k"):
            images = struct.pack(">4I", 2051, pictures or 0, 28, 28) + bytes(784 * (pictures or 0))
            labels = struct.pack(">2I", 2049, pictures or 0) + bytes(pictures or 0)
            for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
                with open(os.path.join(folder, f"{split}-{kind}-ubyte"), "wb") as file:
                    file.write(content if pictures else b"no data")
        return {"BREAKEVEN_DATA": self.path(name), "XDG_DATA_HOME": self.path("none")}

    @unittest.skipUnless(os.path.isdir("/proc/self"), "the ranks meet by a socket of Linux")
    def test_a_rank_without_the_data_ends_all(self):
        """It has none, and takes generated ones; it has fewer; what it has is broken."""
        good = self.data_folder("good", 64)
        none = {"BREAKEVEN_DATA": self.path("none"), "XDG_DATA_HOME": self.path("none")}
        train = [word for word in TRAIN if word not in ("--synthetic", "--limit", "200")]
        for other, says in [(none, "rank 1 has other data than rank 0: expected 64 pictures of "
                                   "mnist"),
                            (self.data_folder("fewer", 48), "found 48 pictures of mnist"),
                            (self.data_folder("broken", None), "-idx")]:
            with self.subTest(says=says):
                ended = self.start_all([{**torchrun(0, 2), **good}, {**torchrun(1, 2), **other}],
                                       "--quiet", train=train)
                self.assertEqual([code for code, _, _ in ended if code == 0], [], ended)
                told = "".join(error for _, _, error in ended)
                self.assertIn(says, told)
                for _, _, error in ended:
                    self.assertLessEqual(len(error.splitlines()), 1, ended)

    def test_no_memory_that_all_share_is_told(self):
        """Of --workers no byte lies in /dev/shm; of the MPIs all does."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        result = self.bad(5, *TRAIN, "--steps", "1", "--workers", "2", preexec_fn=limit,
                          says=["for the workers to share: File too large; free some, or raise"])
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        small = ["unshare", "-rm", "sh", "-c",
                 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"', "sh"]
        if subprocess.run([*small, "true"], check=False, capture_output=True).returncode:
            self.skipTest("no small /dev/shm can be mounted here, as by unshare and mount")
        training = [PROGRAM, *TRAIN, "--steps", "1", "--quiet"]
        for starts in (training, *([LAUNCHERS[f], "-n", "2", *training]
                                   for f in LAUNCHERS if has_mpi(f))):
            with self.subTest(starts=starts[0]):
                own = [] if starts[0] in LAUNCHERS.values() else ["--workers", "2"]
                result = subprocess.run([*small, *starts, *own], env={**os.environ, **AS_ROOT},
                                        capture_output=True, text=True, timeout=LIMIT_S,
                                        check=False)
                self.assertEqual(result.returncode == 0, bool(own), result.stderr)
                # MPICH ends its ranks itself.  Open MPI's launcher sometimes crashes over its own
                # words about it.
                if starts[0] == LAUNCHERS["openmpi"] and "received signal" not in result.stderr:
                    self.assertIn("is /dev/shm, or the folder of temp", result.stderr)

    def test_one_of_them_prints(self):
        told = self.good(*TRAIN, "--epochs", "2", "-f", "jsonl", "--workers", "2")
        records = [json.loads(line) for line in told.splitlines()]
        self.assertEqual([(r["epoch"], r["workers"], r["batch"]) for r in records],
                         [(1, 2, 16), (2, 2, 16)])
        text = self.good(*TRAIN, "--epochs", "1", "--workers", "2")
        self.assertIn("batch 16 by 2 workers of 8 each", text)
        self.assertEqual(text.count("best:"), 1)

    def test_cores_are_shared_out(self):
        alone, = json.loads(self.good(*TRAIN, "--steps", "1", "-f", "json"))
        shared, = json.loads(self.good(*TRAIN, "--steps", "1", "-f", "json", "--workers", "2"))
        cores = alone["environment"]["cpu"]["cores"]
        self.assertEqual(shared["environment"]["cpu"]["cores"], max(1, cores // 2))
        self.assertEqual(shared["threads"], shared["environment"]["cpu"]["usual_threads"])
        told, = json.loads(self.good(*TRAIN, "--steps", "1", "-f", "json", "--workers", "2",
                                     "--threads", "1"))
        self.assertEqual(told["threads"], 1)

    def test_a_checkpoint_goes_on_with_any_number(self):
        folder = self.path("checkpoints")
        alone = self.weights("alone", "--threads", "1")
        self.good(*TRAIN, "--steps", "10", "--quiet", "--checkpoint", folder, "--workers", "4")
        self.good(*TRAIN, "--steps", "20", "--quiet", "--resume", folder, "--workers", "2")
        self.assert_same_training(alone, self.weights("resumed", "--resume", folder))

    def test_what_cannot_be_cut_is_refused_in_one_sentence(self):
        for options, says in [
                (["--workers", "3"], ["3 workers can cut into equal parts, found 16",
                                      "--batch 15 or 18"]),
                (["--workers", "32"], ["at least a picture for each of the 32 workers, found 16"]),
                (["--workers", "300"], ["--workers: expected at most 256 for a training",
                                        "found 300"]),
                (["--workers", "2,4"], ["--workers: train takes one value"]),
                (["--workers", "2", "--device", "opencl:0"],
                 ["expected cpu, or cuda", "found opencl:0"])]:
            with self.subTest(options=options):
                result = self.bad(2, *TRAIN, "--steps", "1", *options, says=says)
                lines = [line for line in result.stderr.splitlines() if "take turns" not in line]
                self.assertEqual(len(lines), 1, result.stderr)
                self.assertEqual(result.stdout, "")
        self.bad(2, "train", "mlp-mnist", "--workers", "2", "--dry-run",
                 says=["--workers and --dry-run: a plan is of one process"])
        self.bad(2, *TRAIN, "--steps", "1", "--workers", "2", "--own-pairs",
                 says=["--own-pairs: mlp-mnist compares no pictures with one another"])

    def test_clips_compare_the_pairs_of_all(self):
        """The norm of the gradients tells what Adam does not: whether they are whole."""
        words = [*CLIP, "--batch", "8", "--steps", "4", "--clip", "0.5", "--export"]
        one, = json.loads(self.good(*words, self.path("alone"), "--threads", "1"))
        for workers in ("2", "4"):
            with self.subTest(workers=workers):
                found = self.path("w" + workers)
                all_of_them, = json.loads(self.good(*words, found, "--workers", workers))
                self.assert_same_training(self.path("alone"), found)
                for name in ("loss", "last_gradient_norm", "validation_loss"):
                    self.assertAlmostEqual(all_of_them[name], one[name], delta=2e-6 * one[name])
                for name in ("accuracy", "accuracy_back"):
                    self.assertEqual(all_of_them[name], one[name])

    def test_clips_compare_their_own_pairs(self):
        """Two pairs are told apart more easily than four; the validation compares four, whoever
        trains; the rate changes nothing."""
        clip = [*CLIP, "--batch", "4", "--lr", "1e-9", "--epochs", "1"]
        alone, = json.loads(self.good(*clip))
        both, = json.loads(self.good(*clip, "--workers", "2", "--own-pairs"))
        self.assertLess(both["loss"], 0.75 * alone["loss"])
        self.assertAlmostEqual(both["validation_loss"], alone["validation_loss"], delta=1e-4)
        for name in ("validation_accuracy", "validation_accuracy_back"):
            self.assertEqual(both[name], alone[name])
        for name in ("accuracy", "accuracy_back"):
            self.assertEqual(both[name] * 32 % 1, 0)

    @unittest.skipUnless(hasattr(os, "sched_setaffinity"), "binds to a core")
    def test_more_than_there_are_cores_take_turns(self):
        one = {min(os.sched_getaffinity(0))}
        result = subprocess.run([PROGRAM, *TRAIN, "--steps", "1", "--workers", "2"], text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, one), check=False,
                                capture_output=True, timeout=LIMIT_S)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "breakeven: 2 workers share 1 core and take turns\n")

    def test_a_launcher_that_is_bound_binds_no_worker(self):
        """OpenMP binds the thread that starts a program; the workers share what it may use."""
        told = [self.train_quietly({"OMP_PROC_BIND": bind}) for bind in ("false", "true")]
        self.assertEqual(told[0], told[1])

    def train_quietly(self, env):
        result = subprocess.run([PROGRAM, *TRAIN, "--steps", "1", "--workers", "2"], text=True,
                                env={**os.environ, **env}, check=False, capture_output=True,
                                timeout=LIMIT_S)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stderr

    def test_launchers_that_do_not_fit_are_refused(self):
        openmpi = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
        for env, code, says in [
                ({**openmpi, "PMI_SIZE": "2", "PMI_RANK": "0"}, 2,
                 ["variables of one launcher", "OMPI_COMM_WORLD_SIZE=2", "PMI_SIZE=2"]),
                ({"RANK": "0", "WORLD_SIZE": "2"}, 2,
                 ["expected MASTER_PORT", "--workers 2"]),
                ({**torchrun(0, 4), "LOCAL_WORLD_SIZE": "2"}, 2,
                 ["expected all 4 ranks of torchrun on one machine, found 2"])]:
            with self.subTest(env=env):
                self.bad(code, *TRAIN, "--steps", "1", env=env, says=says)
        self.bad(2, *TRAIN, "--steps", "1", "--workers", "3", env=openmpi,
                 says=["expected the 2 ranks that the launcher has started, found 3"])
        # One rank of a launcher is a process as any other.
        self.good(*TRAIN, "--steps", "1", env={**openmpi, "OMPI_COMM_WORLD_SIZE": "1"})

    def test_a_program_without_mpi_says_what_to_install(self):
        program = self.path("breakeven")
        shutil.copy(PROGRAM, program)
        for family, size, rank, packages in [
                ("Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK",
                 "openmpi-bin libopenmpi-dev"),
                ("MPICH", "PMI_SIZE", "PMI_RANK", "mpich libmpich-dev")]:
            with self.subTest(family=family):
                result = subprocess.run([program, *TRAIN, "--steps", "1"], text=True, check=False,
                                        env={**os.environ, size: "2", rank: "0"},
                                        capture_output=True, timeout=LIMIT_S)
                self.assertEqual(result.returncode, 3, result.stderr)
                self.assertIn(f"was built without {family}", result.stderr)
                self.assertIn(f"install {packages} and build it anew", result.stderr)


@unittest.skipUnless(os.path.isdir("/proc/self"), "finds the workers in /proc")
class EndsTest(FolderTest):
    """How a training of workers ends when one of them does."""

    def start(self, workers, *options):
        """With the numbers of its workers, once all are there."""
        child = subprocess.Popen(
            [PROGRAM, *TRAIN, "--quiet", "--workers", str(workers), "--checkpoint-every", "3",
             *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(child.stderr.close)
        ranks = {}
        while child.poll() is None and len(ranks) < workers:
            ranks = workers_of(child)
        return child, ranks

    def end(self, child):
        error = child.stderr.read()
        return child.wait(LIMIT_S), error

    def test_a_signal_to_any_of_them_saves_once(self):
        folder = self.path("checkpoints")
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for rank in (None, 0, 1):
                with self.subTest(number=number, rank=rank):
                    child, ranks = self.start(2, "--epochs", "100000", "--checkpoint", folder)
                    self.assertEqual(sorted(ranks), [0, 1])
                    wait_for_checkpoint(folder)
                    os.kill(child.pid if rank is None else ranks[rank], number)
                    found, error = self.end(child)
                    # A worker's signal is not the program's own.
                    self.assertEqual(found, code if rank is None else 130, error)
                    self.assertRegex(error, "^breakeven: stopped by a signal after step [0-9]+ of "
                                     r"[0-9]+; saved, and --resume \S+ goes on from there\n$")
                    self.assertNotIn("mlp-mnist.lock", os.listdir(folder))
                    shutil.rmtree(folder)

    def test_kills_lose_nothing(self):
        """Any rank, at random moments: the others name it, and the training goes on to the same
        end."""
        moments = random.Random(SEED)
        folder, weights = self.path("checkpoints"), self.path("weights")
        self.good(*TRAIN, "--steps", "200", "--quiet", "--workers", "2", "--export",
                  self.path("whole"))
        killed = 0
        for _ in range(10 * KILLS):
            child, ranks = self.start(2, "--steps", "200", "--resume-if-any", folder, "--export",
                                      weights)
            time.sleep(moments.uniform(0, 0.3))
            rank = moments.randrange(2)
            if rank in ranks and parent_of(ranks[rank]) == child.pid:
                os.kill(ranks[rank], signal.SIGKILL)
            code, error = self.end(child)
            if code == 0:  # it had ended before
                shutil.rmtree(folder)
                continue
            self.assertEqual(code, 1, (SEED, error))
            self.assertRegex(error, rf"^breakeven: rank {rank} of 2 (ended \(process \d+\): it is "
                             r"gone without a word: killed, or crashed|\(process \d+\) was killed "
                             r"by signal 9; checkpoints are whole, .*)\n$", SEED)
            killed += 1
            if killed == KILLS:
                break
        self.assertEqual(killed, KILLS, SEED)
        self.good(*TRAIN, "--steps", "200", "--quiet", "--workers", "2", "--resume-if-any", folder,
                  "--export", weights)
        with open(weights, "rb") as a, open(self.path("whole"), "rb") as b:
            self.assertTrue(a.read() == b.read(), SEED)

    def test_none_outlives_the_one_who_started_them(self):
        child, ranks = self.start(2, "--epochs", "100000", "--checkpoint",
                                  self.path("checkpoints"))
        self.assertEqual(sorted(ranks), [0, 1])
        child.kill()
        self.end(child)  # once the last worker has closed its standard error
        for pid in ranks.values():
            self.assertNotEqual(parent_of(pid), child.pid)


if __name__ == "__main__":
    unittest.main()
