#!/usr/bin/env python3
"""Trains a small gpt2 on tinyshakespeare with `breakeven train` and with the PyTorch runner, from
the same weights and batches, and compares their losses on the last tenth of the text.

Usage: bench/gpt2_loss.py [--steps 500] [--batch 16] [--program build/breakeven] [--device cpu]
                          [--python /usr/bin/python3] [--layers 4] [--width 256] [--heads 4]
                          [--seq 128] [--vocab 50257] [--text FILE]

Reads $BREAKEVEN_DATA/tinyshakespeare/input.txt without --text. The program learns the vocabulary
and keeps it; here the text is read with it a second time, independently of the program's C (GPT-2's
splitting, of ASCII alone, and the merges by rank), and what the program dumps of its first batch
must be the same. Ends with 1 where the losses differ by more than 0.02.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from torch_training import ROOT, SEED, ask, epoch_order, safetensors_io

MARGIN = 0.02
DIMENSIONS = {"layers": 4, "width": 256, "heads": 4, "seq": 128, "vocab": 50257}
ADAMW = {"name": "adamw", "lr": 6e-4, "momentum": 0.0, "weight_decay": 0.1, "beta1": 0.9,
         "beta2": 0.95, "epsilon": 1e-8, "max_gradient_norm": 1.0, "decay": "matrices"}
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


class Tokenizer:
    """A tokenizer.json of byte-level pairs, for ASCII."""

    def __init__(self, path):
        model = json.loads(Path(path).read_text(encoding="utf-8"))["model"]
        pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.numbers, self.known = model["vocab"], {}

    def _word(self, word):
        # GPT-2 writes a byte that is no printable character as one 256 further on.
        parts = [c if 33 <= ord(c) <= 126 else chr(256 + ord(c)) for c in word]
        while len(parts) > 1:
            rank, at = min((self.ranks.get(pair, len(self.ranks)), at)
                           for at, pair in enumerate(zip(parts, parts[1:])))
            if rank == len(self.ranks):
                break
            parts[at:at + 2] = ["".join(parts[at:at + 2])]
        return [self.numbers[part] for part in parts]

    def encode(self, text):
        out = []
        for word in WORDS.findall(text):
            if word not in self.known:
                self.known[word] = self._word(word)
            out += self.known[word]
        return np.array(out, np.int32)


def windows(tokens, length):
    """(how many windows, the fields of a data file)."""
    count = (len(tokens) - 1) // length
    fields = {"tokens": tokens[:count * length], "targets": tokens[1:count * length + 1]}
    return count, {**{name + ".stride": np.int32(length) for name in fields}, **fields}


def train_natively(options, variant, text, folder):
    """The last epoch's record; the tokenizer lies in `folder` afterwards."""
    threads = ["--threads", str(options.threads)] if options.device == "cpu" else []
    done = subprocess.run(
        [options.program, "train", "gpt2", "--text", text, *variant, "--batch",
         str(options.batch), "--steps", str(options.steps), "--seed", str(SEED), "--device",
         options.device, *threads, "--checkpoint", folder,
         "--checkpoint-every", str(options.steps), "--format", "jsonl", "--no-store"],
        stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_files(options, variant, text, folder, scratch):
    """The runner's weights, its training and its validation data; the samples of an epoch."""
    with open(text, encoding="ascii") as file:
        whole = file.read()
    train = len(whole) - len(whole) // 10
    tokenizer = Tokenizer(f"{folder}/tokenizer.json")
    count, fields = windows(tokenizer.encode(whole[:train]), options.seq)
    used = count // options.batch * options.batch
    epochs = range(-(-options.steps * options.batch // used))
    order = np.concatenate([epoch_order(SEED, epoch, count)[:used] for epoch in epochs])
    subprocess.run([options.program, "dump", "gpt2", "--text", text, "--tokenizer",
                    f"{folder}/tokenizer.json", *variant, "--batch", str(options.batch), "--seed",
                    str(SEED), "-o", f"{scratch}/dump"], check=True, stdout=subprocess.DEVNULL)
    dump = safetensors_io.read(f"{scratch}/dump")
    rows = fields["tokens"].reshape(count, options.seq)[order[:options.batch]]
    if not np.array_equal(dump["input"], rows):
        sys.exit("the first batch is not the program's: its tokens or their order differ")
    safetensors_io.write(f"{scratch}/weights", {name.partition(".")[2]: value
                                                for name, value in dump.items()
                                                if name.startswith("param.")})
    safetensors_io.write(f"{scratch}/data", {"order": order.astype(np.int32), **fields})
    left, fields = windows(tokenizer.encode(whole[train:]), options.seq)
    safetensors_io.write(f"{scratch}/validation", {"order": np.arange(left, dtype=np.int32),
                                                   **fields})


def train_torch(options, dimensions, scratch):
    """The loss on the validation data."""
    with subprocess.Popen([options.python, ROOT / "runners" / "torch_runner.py"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        ask(runner, op="hello", schema=2)
        ask(runner, op="prepare", workload="gpt2", device=options.device, precision="fp32",
            threads=options.threads, batch=options.batch, mode="train", seed=SEED,
            data=f"{scratch}/data", weights=f"{scratch}/weights", normalize={}, optimizer=ADAMW,
            dropout="engine", **dimensions)
        ask(runner, op="run", steps=options.steps)
        loss = ask(runner, op="evaluate", data=f"{scratch}/validation")["loss"]
        ask(runner, op="quit")
    return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--program", default="build/breakeven")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--python", default="/usr/bin/python3", help="that has PyTorch")
    parser.add_argument("--text")
    for name, value in DIMENSIONS.items():
        parser.add_argument("--" + name, type=int, default=value)
    options = parser.parse_args()
    text = options.text or os.path.join(os.environ["BREAKEVEN_DATA"], "tinyshakespeare",
                                        "input.txt")
    dimensions = {name: getattr(options, name) for name in DIMENSIONS}
    variant = [word for name, value in dimensions.items() for word in ("--" + name, str(value))]
    with tempfile.TemporaryDirectory() as scratch:
        native = train_natively(options, variant, text, f"{scratch}/native")["validation_loss"]
        write_files(options, variant, text, f"{scratch}/native", scratch)
        torch = train_torch(options, dimensions, scratch)
    good = abs(native - torch) <= MARGIN
    print(f"{'PASS' if good else 'FAIL'} validation loss of gpt2 after {options.steps} steps of "
          f"{options.batch}: native {native:.4f}, PyTorch {torch:.4f}, {native - torch:+.4f}")
    return not good


if __name__ == "__main__":
    sys.exit(main())
