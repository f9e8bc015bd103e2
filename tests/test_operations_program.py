"""Operations alone, through the program: the engines agree on them, and they are measured, swept,
explained and told as networks are."""
import json
import unittest

from cli_support import FolderTest, has_torch

OPERATIONS = ("op:matmul", "op:bmm", "op:attention", "op:conv2d", "op:add", "op:gelu",
              "op:softmax", "op:copy", "op:resize", "op:augment", "op:launch")
LINKS = ("op:upload", "op:download")  # which the processor has none of
NATIVE = ["--engine", "native", "--threads", "1", "--max-time", "0.3", "--no-store"]
# They meet at matrices of 40 rows.
CROSSING = {"cpu": {"size": 2e-4}, "cuda:0": {"step": 8e-3}}


class ParityTest(FolderTest):
    def check_parity(self, operation, engine, *words):
        lines = self.good("parity", operation, "--engine", engine, "--times", "2", *words,
                          "--format", "jsonl").splitlines()
        rows = [json.loads(line) for line in lines]
        self.assertTrue(all(row["good"] for row in rows), rows)
        self.assertEqual({row["quantity"] for row in rows if row["engine"] == engine},
                         {"weights", "output", "loss", "buffers", "gradients", "losses"})


class Operations(ParityTest):
    @unittest.skipUnless(has_torch(), "no PyTorch here")
    def test_pytorch_computes_them(self):
        for operation in OPERATIONS:
            with self.subTest(operation):
                self.check_parity(operation, "torch")
        for operation in "op:matmul", "op:bmm":
            self.check_parity(operation, "torch", "--m", "5", "--n", "20", "--k", "20")

    def bench(self, *words):
        return json.loads(self.good("bench", *words, *NATIVE, "--format", "json"))

    def test_a_measurement(self):
        record, = self.bench("op:matmul", "--size", "32", "--times", "100")
        self.assertEqual((record["workload"], record["size"], record["times"]),
                         ("op:matmul", 32, 100))
        # Forth once and back twice, and a sum of gradients for all repetitions but one.
        flops = 3 * 100 * 2 * 32 ** 3 + 99 * 32 * 32
        self.assertAlmostEqual(record["flops_per_step"], flops, delta=10)
        self.assertLess(record["parity"]["error"], 1e-5)
        self.assertEqual(record["asked"]["optimizer"]["name"], "none")
        record, = self.bench("op:matmul", "--size", "300", "--infer")
        self.assertAlmostEqual(record["flops_per_step"], 2 * 300 ** 3, delta=10)
        record, = self.bench("op:matmul", "--m", "7", "--n", "30", "--k", "200", "--infer",
                             "--batch", "3")
        self.assertEqual((record["size"], record["m"], record["n"], record["k"]),
                         (None, 7, 30, 200))
        self.assertAlmostEqual(record["flops_per_step"], 2 * 3 * 7 * 30 * 200, delta=10)
        self.assertEqual(record["params"], 3 * 7 * 200 + 200 * 30)
        record, = self.bench("op:bmm", "--m", "7", "--n", "30", "--k", "200", "--infer",
                             "--batch", "3")
        self.assertAlmostEqual(record["flops_per_step"], 2 * 3 * 7 * 30 * 200, delta=10)
        self.assertEqual(record["params"], 3 * (7 * 200 + 200 * 30))

    def test_batches(self):
        """The operands are of each batch, and the gate's of its own."""
        small, large = self.bench("op:conv2d", "--size", "6", "--channels", "3", "--batch", "1,5")
        self.assertEqual((small["params"], large["params"]), (81 + 108, 81 + 5 * 108))
        self.assertEqual(small["status"] + large["status"], "OKOK")

    def test_the_page(self):
        page = self.good("bench", "op:matmul", "--size", "32", "--times", "2", *NATIVE)
        for text in ("op:matmul, matrices of 32 rows and columns, a step of 2 repetitions: 2,048 "
                     "numbers,", "forward and backward, batch 1", "GFLOP/s", "GB/s", "of limit",
                     "advice: run op:matmul with native"):
            self.assertIn(text, page.replace("\n  ", " "))
        for line in page.splitlines():
            self.assertLessEqual(len(line), 80)

    def test_a_sweep(self):
        environment = {**self.fake_torch("--devices", json.dumps(CROSSING), "--steady", "--spin",
                                         "0.2", "--noise", "0.01"),
                       "XDG_STATE_HOME": self.path("state")}
        result = json.loads(self.good(
            "sweep", "op:matmul", "--over", "size=16..128", "--engine", "torch", "--threads", "1",
            "--max-time", "60", "--no-store", "--format", "json", env=environment))
        pair, = result["pairs"]
        crossing, = pair["crossings"]
        self.assertEqual(crossing["faster_above"], "PyTorch cuda:0")
        self.assertTrue(30 < crossing["low"] < crossing["high"] < 55, crossing)

    def test_opencl(self):
        """The same kernels as networks', on PoCL."""
        for record in json.loads(self.good(
                "bench", "op:matmul", "op:bmm", "--device", "opencl:0", "--engine", "native",
                "--size", "16", "--max-time", "0.3", "--no-store", "--format", "json")):
            self.assertEqual((record["status"], record["device"]), ("OK", "opencl:0"))

    def test_between_host_and_device(self):
        """On PoCL, whose buffers are apart from the host's memory; forward alone, with or without
        being asked; refused where there is no link."""
        more = ["--size", "32", "--engine", "native", "--max-time", "0.3", "--no-store"]
        for name in LINKS:
            rows = [json.loads(line) for line in self.good(
                "parity", name, "--engine", "native", "--device", "opencl:0",
                "--format", "jsonl").splitlines()]
            weights = "buffers" if name == "op:upload" else "weights"
            self.assertEqual({row["quantity"]: (row["good"], row["error"]) for row in rows},
                             {quantity: (True, 0) for quantity in (weights, "output", "loss",
                                                                   "losses")})
            for infer in [], ["--infer"]:
                record, = json.loads(self.good("bench", name, "--device", "opencl:0", *more, *infer,
                                               "--batch", "3", "--format", "json"))
                self.assertEqual((record["status"], record["mode"]), ("OK", "infer"))
                # And one number of the result, which is logged.
                self.assertTrue(0 <= record["bytes_per_step"] - 3 * 32 * 32 * 4 < 64, record)
                self.assertEqual(record["parity"]["error"], 0)
            self.assertIn(name[3:], self.good("explain", name, "--device", "opencl:0", *more))
            self.bad(3, "bench", name, "--device", "cpu", *more, says=[
                f"{name}: expected a device with memory of its own, found cpu, whose memory is the "
                "host's; name a GPU (--device cuda:0), or measure op:copy"])
            self.bad(3, "bench", name, *more, says=[
                f"{name}: expected a device with memory of its own, found none of these engines; "
                "name one of those that 'breakeven devices' lists, or measure op:copy"])
        record, = json.loads(self.good("bench", "op:upload", "--device", "all", *more, "--format",
                                       "json"))
        self.assertEqual(record["device"], "opencl:0")  # and no row of the processor
        self.bad(2, "bench", "op:upload", "--device", "all", "--times", "2", *more,
                 says=["op:upload has no times"])

    @unittest.skipUnless(has_torch(), "no PyTorch here")
    def test_pytorch_has_a_link_on_cuda_alone(self):
        for engine, name, text in (
                ("torch", "op:upload", "expected a device with memory of its own for op:upload, "
                 "found cpu: name a CUDA device, or measure op:copy"),
                ("torch-pageable", "op:copy", "expected op:upload or op:download for "
                 "torch-pageable, found op:copy: use --engine torch")):
            self.bad(3, "bench", name, "--engine", engine, "--device", "cpu", "--size", "32",
                     "--max-time", "0.3", "--no-store", says=[text])

    def test_explained_and_listed(self):
        sheet = self.good("explain", "op:matmul", "--infer", "--size", "32", "--engine", "native",
                          "--threads", "1", "--max-time", "0.3", "--no-store")
        self.assertIn("matmul", sheet)
        listed = json.loads(self.good("workloads", "--format", "json"))
        self.assertEqual([r["workload"] for r in listed if r["workload"].startswith("op:")],
                         [*OPERATIONS[:8], *LINKS, *OPERATIONS[8:]])
        self.assertIn("op:conv2d", self.good("completion", "bash"))

    def test_refusals(self):
        cases = [
            (["bench", "op:foo"], "unknown workload \"op:foo\""),
            (["bench", "op:matmul", "--seq", "4"], "op:matmul has no seq that could be varied; it "
             "has size, m, n, k, times"),
            (["bench", "op:matmul", "--n", "8", "--k", "9", "--times", "2"], "times: expected as "
             "many columns n as terms k, so that a result can be multiplied again, found 8 and 9"),
            (["bench", "op:add", "--m", "4"], "op:add has no m that could be varied; it has size"),
            (["bench", "op:attention", "--heads", "7"], "expected a number of heads that divides"),
            (["bench", "op:matmul", "--size", "32768", "--batch", "4"], "a: expected fewer than "
             "2^31 elements, found 4294967296; choose a smaller size or batch"),
            (["bench", "op:matmul", "--batch", "65537"], "expected batches of at most the 65536 "
             "items of operands"),
            (["bench", "cnn-fashion", "--times", "3"], "cnn-fashion has no times"),
            (["train", "op:matmul"], "found the operation op:matmul, which learns nothing"),
            (["sweep", "op:add", "--over", "width=1..4"], "op:add has no width"),
            (["bench", "op:gelu", "--precision", "bf16"], "expected --precision fp32, found bf16: "
             "op:gelu has no products, and they alone are computed in bf16"),
            (["parity", "op:softmax", "--precision", "bf16"], "expected --precision fp32, found "
             "bf16: op:softmax has no products"),
        ]
        for words, text in cases:
            more = ["--engine", "native"] if words[0] != "train" else []
            with self.subTest(words):
                self.bad(2, *words, *more, says=[text])


if __name__ == "__main__":
    unittest.main()
