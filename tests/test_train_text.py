"""Training of the ladder from the command line: variants, texts with their tokenizers, what is
printed and recorded of them, and what finds no room."""
import json
import math
import os
import random
import re
import unittest

from cli_support import FolderTest, floats, read_safetensors, run

TINY = ["--layers", "1", "--width", "32", "--heads", "2", "--seq", "16", "--vocab", "300"]
WORDS = "the cat sat on a mat and saw two dogs near old trees while birds sang over hills".split()


class TextTest(FolderTest):
    def setUp(self):
        super().setUp()
        draw = random.Random(1)
        self.text = self.path("words.txt")
        with open(self.text, "w", encoding="utf-8") as file:
            file.write(" ".join(draw.choice(WORDS) for _ in range(2000)) + "\n")
        self.always = ["--text", self.text, "--batch", "8", "--threads", "1"]

    def train(self, *options):
        result = run("train", "gpt2", *self.always, *options, "--format", "jsonl")
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_variants_are_trained_resumed_and_evaluated(self):
        folder, weights = self.path("c"), self.path("w.safetensors")
        whole = self.train(*TINY, "--steps", "30", "--export", weights)[-1]
        self.train(*TINY, "--steps", "20", "-c", folder)
        # The variant, and the tokens, are those of the checkpoint.
        resumed = self.train("--resume", folder, "--steps", "30")[-1]
        for member in ("loss", "accuracy", "validation_loss", "layers", "width", "vocab"):
            self.assertEqual(resumed[member], whole[member], member)
        self.assertEqual((whole["layers"], whole["width"], whole["seq"]), (1, 32, 16))
        self.assertEqual(whole["counted"], "accuracy")
        self.assertTrue(0 < whole["accuracy"] < 1 and 0 < whole["validation_accuracy"] < 1, whole)
        self.assertAlmostEqual(whole["perplexity"], math.exp(whole["loss"]), 6)
        self.assertAlmostEqual(whole["validation_perplexity"], math.exp(whole["validation_loss"]),
                               6)
        self.assertGreater(whole["last_gradient_norm"], 0)
        self.bad(2, "train", "gpt2", *self.always, "--resume", folder, "--layers", "2",
                 says=["expected a checkpoint with the number of layers 2, found one with 1"])
        # The file of weights says its variant; the text without its tokenizer is learnt again.
        found = json.loads(self.good("eval", "gpt2", *self.always, "-w", weights, "--format",
                                     "jsonl"))
        self.assertAlmostEqual(found["loss"], whole["validation_loss"], 4)
        self.assertAlmostEqual(found["accuracy"], whole["validation_accuracy"], 6)
        self.assertAlmostEqual(found["perplexity"], math.exp(found["loss"]), 4)
        self.bad(1, "eval", "gpt2", *self.always, "-w", weights, "--width", "64",
                 says=["transformer.wte.weight"])

    def test_the_tokenizer_stands_beside_the_checkpoints(self):
        folder, other = self.path("c"), self.path("other")
        self.train(*TINY, "--steps", "1", "-c", folder)
        with open(self.path("c", "tokenizer.json"), encoding="utf-8") as file:
            self.assertLessEqual(len(json.load(file)["model"]["vocab"]), 300)
        self.bad(1, "train", "gpt2", *self.always, *TINY[:-1], "270", "--tokenizer", folder,
                 says=["expected at most the 270 tokens of the model, found 300", "--vocab"])
        # A smaller vocabulary is another row of tokens, which a training that goes on finds again.
        small = self.path("small")
        self.train(*TINY[:-1], "260", "--steps", "1", "-c", small)
        first = self.train(*TINY, "--tokenizer", small, "--steps", "3", "-c", other)[-1]
        again = self.train("--resume", other, "--steps", "4")[-1]
        self.assertEqual(again["step"], 4)
        learnt = self.train(*TINY, "--steps", "3")[-1]
        self.assertNotEqual(first["loss"], learnt["loss"])

    def test_a_bad_loss_names_its_op(self):
        self.bad(4, "train", "gpt2", *self.always, *TINY, "--lr", "1e6", "--steps", "40",
                 says=["step ", ": op ", "not finite"])

    def test_what_learns_from_no_text_refuses_it(self):
        self.bad(2, "train", "mlp-mnist", "--text", self.text,
                 says=["--text: expected a workload that learns from a text, as gpt2, found "
                       "mlp-mnist, which learns from mnist; leave --text out"])
        self.bad(2, "bench", "--text", self.text, says=["found cnn-fashion"])
        self.bad(2, "train", "gpt2", "--tokenizer", self.folder, says=["expected --text beside it"])
        self.bad(2, "train", "gpt2", "--text", self.text, "--synthetic", says=["no text is read"])
        self.bad(2, "train", "gpt2", "--text", self.text, "--data", self.folder,
                 says=["no data set is looked for"])

    def test_a_sequence_has_no_more_tokens_than_the_model_has_positions(self):
        for network, most in ("gpt2", 1024), ("encoder", 512), ("bert-base", 512):
            self.bad(2, "train", network, "--layers", "1", "--width", "32", "--heads", "2",
                     "--synthetic", "--seq", most + 1,
                     says=[f"seq: expected at most the {most} tokens that the model has positions "
                           f"for, found {most + 1}; use a smaller --seq"])

    def test_nothing_of_the_page_is_cut(self):
        for columns in (60, 80):
            page = self.good("train", "gpt2", *self.always, *TINY, "--schedule", "cosine",
                             "--epochs", "2", env={"COLUMNS": str(columns)})
            self.assertLessEqual(max(map(len, page.splitlines())), columns, page)
            for part in ("a depth of 1 layers", "val perpl.", "tokens/s", "gradients ", "rate ",
                         "validation tokens", "a batch took ", "cores in use", "peak memory"):
                self.assertIn(part, page.replace("\n ", "").replace("  ", " "))


class RetrievalTest(FolderTest):
    SMALL = ["clip", "--layers", "1", "--width", "16", "--heads", "2", "--seq", "24", "--size",
             "16", "--vocab", "600", "--threads", "1"]

    def test_no_step_takes_onednns_plain_loops(self):
        """What has no fast primitive in our layout is brought into one that has."""
        result = run("train", "clip", "--layers", "1", "--width", "32", "--heads", "2", "--seq",
                     "24", "--batch", "2", "--steps", "1", "--limit", "4", "--synthetic",
                     "--threads", "1", env={"DNNL_VERBOSE": "1"})
        self.assertEqual(result.returncode, 0, result.stderr)
        kinds = re.findall(r"^(?:dnnl|onednn)_verbose,exec,cpu,(convolution|matmul),([^,]*),(.*)",
                           result.stdout + result.stderr, re.M)
        self.assertIn("convolution", [kind for kind, *_ in kinds])
        self.assertEqual([row for row in kinds if row[1].startswith("ref")], [])

    def test_clip_tells_its_metric_and_its_end(self):
        page = self.good("train", *self.SMALL, "--batch", "16", "--epochs", "2", "--checkpoint",
                         self.path("saved"))
        for part in ("retrieval", "back", "val ret", "val back", "pairs/s",
                     "216 to train, 24 to validate"):
            self.assertIn(part, page)
        self.assertRegex(page, r"\nepoch 1: loss [\d.]+ and [\d.]+% \(back [\d.]+%\); epoch 2: ")
        self.assertRegex(" ".join(page.split()),
                         r"best: [\d.]+% retrieval at 1 of the 24 validation pairs, the mean of "
                         "both directions, after epoch ")
        self.assertNotIn("accuracy", page)
        self.assertIn("back", self.good("eval", "clip", "--weights",
                                        self.path("saved/clip-best.safetensors")))

    def test_both_directions_are_counted(self):
        """Of one batch, against the logits of the same batch in a dump; and a page of one epoch."""
        two = [*self.SMALL, "--batch", "24", "--seed", "2"]
        self.good("dump", *two, "-o", self.path("d"))
        logits = floats(read_safetensors(self.path("d"))["logits"])
        rows = [logits[24 * i:24 * i + 24] for i in range(24)]
        columns = list(zip(*rows))
        right, back = (sum(line[i] == max(line) for i, line in enumerate(lines)) / 24
                       for lines in (rows, columns))
        self.assertNotEqual(right, back)  # else one could stand for the other
        record = json.loads(self.good("train", *two, "--steps", "1", "--format", "jsonl"))
        self.assertAlmostEqual(record["accuracy"], right, 9)
        self.assertAlmostEqual(record["accuracy_back"], back, 9)
        page = self.good("train", *two, "--steps", "1")
        self.assertIn(f" and {right:.2%} (back {back:.2%})\n", page)


class RoomTest(FolderTest):
    def test_a_training_that_no_memory_holds_is_told_before_it_begins(self):
        """A step of terabytes, and the batch that fits: the planned step at that batch does, and
        at twice it does not."""
        network = ["gpt2", "--synthetic", "--layers", "64", "--width", "256", "--heads", "2",
                   "--vocab", "300", "--threads", "1"]
        folder = self.path("saved")
        result = self.bad(5, "train", *network, "--batch", "2000", "--checkpoint", folder)
        found = re.search(r"gpt2 at batch 2000: expected a step to take at most the ([\d.]+) GiB "
                          r"of memory here, found that it takes ([\d.]+) GiB; use --batch (\d+) or "
                          "less", result.stderr)
        self.assertTrue(found, result.stderr)
        room, needed, fits = float(found[1]), float(found[2]), int(found[3])
        self.assertGreater(needed, room)
        self.assertEqual(result.stdout, "")  # nothing was trained
        self.assertEqual([name for name in os.listdir(folder) if "safetensors" in name]
                         if os.path.isdir(folder) else [], [])
        self.assertLessEqual(self.planned_gib(network, fits), room + 0.1)
        self.assertGreater(self.planned_gib(network, 2 * fits), room)

    def planned_gib(self, network, batch):
        page = self.good("train", *network, "--batch", batch, "--dry-run")
        memory = re.search(r"memory: ([\d.]+) MiB persistent, ([\d.]+) MiB activations .*, "
                           r"([\d.]+) MiB scratch", page)
        return sum(map(float, memory.groups())) / 1024


if __name__ == "__main__":
    unittest.main()
