"""Training of the ladder from the command line: variants, texts with their tokenizers, what is
printed and recorded of them."""
import json
import math
import random
import unittest

from cli_support import FolderTest, run

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

    def test_nothing_of_the_page_is_cut(self):
        for columns in (60, 80):
            page = self.good("train", "gpt2", *self.always, *TINY, "--schedule", "cosine",
                             "--epochs", "2", env={"COLUMNS": str(columns)})
            self.assertLessEqual(max(map(len, page.splitlines())), columns, page)
            for part in ("a depth of 1 layers", "val perpl.", "tokens/s", "gradients ", "rate ",
                         "validation tokens", "a batch took ", "cores in use", "peak memory"):
                self.assertIn(part, page.replace("\n ", "").replace("  ", " "))


class RetrievalTest(FolderTest):
    def test_clip_tells_its_metric_and_its_end(self):
        page = self.good("train", "clip", "--layers", "1", "--width", "16", "--heads", "2", "--seq",
                         "24", "--size", "16", "--vocab", "600", "--batch", "16", "--epochs", "2",
                         "--threads", "1")
        for part in ("retrieval", "val ret", "pairs/s", "216 to train, 24 to validate"):
            self.assertIn(part, page)
        self.assertRegex(page, r"\nepoch 1: loss [\d.]+ and [\d.]+%; epoch 2: loss [\d.]+ and ")
        self.assertRegex(page, r"\nbest: [\d.]+% retrieval at 1 of the 24 validation pairs, after ")
        self.assertNotIn("accuracy", page)


if __name__ == "__main__":
    unittest.main()
