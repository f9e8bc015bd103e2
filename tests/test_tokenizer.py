"""Tokens as Hugging Face's `tokenizers` makes them of the same text by the same merges."""
import json
import os
import random
import subprocess
import tempfile
import unittest

try:
    import tokenizers
except ImportError:
    tokenizers = None

ENCODE = os.environ["BREAKEVEN_ENCODE_TEXT"]
WORDS = ["the", "Über", "naïve", "don't", "we'll", "I'M", "x's", "été", "日本語", "Привет",
         "१२३", "½", "12345", "٣٤", "a1b2", "--", "...", "!?", "'", "''s", "\u00a0", "\u2003",
         "\u3000", "\t", "\n", "\r\n", "  ", "   ", "😀", "👩\u200d👩", "e\u0301", "ﬁ", "Ⅷ", "²",
         "_", "<|endoftext|>", "\u0085", "\x1c", "\u200b", "\x00", "word" * 40]


def encode(*words):
    done = subprocess.run([ENCODE, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


class TokenizerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name, text=None):
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "wb") as file:
                file.write(text.encode())
        return path

    def text(self, seed):
        rng = random.Random(seed)
        return "".join(rng.choice(WORDS) + rng.choice(["", " ", " ", " ", "  ", "\n"])
                       for _ in range(3000))

    def test_what_was_learnt_is_read_again(self):
        file, text = self.path("tokenizer.json"), self.path("text", self.text(1))
        learnt = encode("400", file, text)
        self.assertEqual(encode(file, text), learnt)
        self.assertEqual(encode("400", self.path("again.json"), text), learnt)
        with open(file, encoding="utf-8") as first, open(self.path("again.json")) as again:
            self.assertEqual(json.load(first), json.load(again))
        self.assertLess(max(learnt), 400)
        self.assertLess(len(learnt), 0.6 * len(self.text(1).encode()))

    def test_vocabulary_and_merges_are_the_same_in_two_files(self):
        text = self.path("text", self.text(2))
        whole = encode("500", self.path("tokenizer.json"), text)
        with open(self.path("tokenizer.json"), encoding="utf-8") as file:
            model = json.load(file)["model"]
        self.path("vocab.json", json.dumps(model["vocab"]))
        self.path("merges.txt", "#version: 0.2\n" + "\n".join(model["merges"]) + "\n")
        os.remove(self.path("tokenizer.json"))
        self.assertEqual(encode(self.path("vocab.json"), text), whole)
        self.assertEqual(encode(self.folder, text), whole)

    @unittest.skipIf(tokenizers is None, "this Python has no tokenizers, which is on PyPI")
    def test_tokens_are_those_of_hugging_face(self):
        """By merges that we learnt, and by those that they did."""
        trained = tokenizers.ByteLevelBPETokenizer()
        trained.train([self.path("corpus", self.text(3))], vocab_size=600, min_frequency=2)
        trained.save(self.path("theirs.json"))
        encode("600", self.path("ours.json"), self.path("corpus"))
        theirs = json.loads(trained.to_str())
        theirs.update(normalizer=None)
        for name in ("theirs.json", "ours.json"):
            judge = tokenizers.Tokenizer.from_file(self.path(name))
            for seed in range(3, 9):
                text = self.text(seed)
                expected = judge.encode(text).ids
                self.assertEqual(encode(self.path(name), self.path("text", text)), expected)


if __name__ == "__main__":
    unittest.main()
