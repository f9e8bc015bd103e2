#!/usr/bin/env python3
"""Trains a workload on the real data with the PyTorch runner, from the weights and the batches of
`breakeven train`, and writes the trained weights for `breakeven eval`.

Usage: bench/torch_training.py WORKLOAD EPOCHS OUT.safetensors [--program build/breakeven]
                               [--device cpu] [--python /usr/bin/python3]

Reads MNIST and Fashion-MNIST (IDX, gzip) and CIFAR-10 (binary, gzip) from $BREAKEVEN_DATA. The
order of the pictures is drawn here a second time, independently of the program's C: Fisher-Yates
over Philox (src/core/rng.h).
"""
import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "runners").is_dir():  # packed by gpu_pack.sh: the runners lie beside the program
    ROOT = Path(sys.argv[sys.argv.index("--program") + 1]).resolve().parent.parent
sys.path.insert(0, str(ROOT / "runners"))
import philox  # noqa: E402
import safetensors_io  # noqa: E402

ORDER_STREAM = 2
SEED = 42  # the default of the program
WORKLOADS = {  # set, batch, mean, standard deviation, optimizer
    "cnn-fashion": ("fashion-mnist", 100, [0.2860], [0.3530],
                    {"name": "adam", "lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0,
                     "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
    "cnn-mnist": ("mnist", 64, [0.1307], [0.3081],
                  {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0,
                   "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
    "resnet18-cifar": ("cifar-10", 128, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616],
                       {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4,
                        "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
}


def read_idx(name, dimensions):
    with gzip.open(Path(os.environ["BREAKEVEN_DATA"]) / name) as file:
        data = file.read()
    shape = np.frombuffer(data, ">i4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_pictures(folder):
    """Pictures [count, channels, height, width] and their labels."""
    if folder != "cifar-10":
        return (read_idx(f"{folder}/train-images-idx3-ubyte.gz", 3)[:, None],
                read_idx(f"{folder}/train-labels-idx1-ubyte.gz", 1))
    data = b""
    for path in sorted((Path(os.environ["BREAKEVEN_DATA"]) / folder).glob("data_batch_?.bin.gz")):
        with gzip.open(path) as file:
            data += file.read()
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32), records[:, 0]


def epoch_order(seed, epoch, count):
    """A permutation by Fisher-Yates from the end, each bound drawn without bias (Lemire)."""
    blocks = np.arange(count // 2, dtype=np.uint64)  # twice as many words as draws
    words = philox.blocks((blocks, 0, epoch, ORDER_STREAM), (seed & 0xFFFFFFFF, seed >> 32))
    words = iter(words.reshape(-1).tolist())
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        bound = i + 1
        threshold = (1 << 32) % bound
        product = next(words) * bound
        while product & 0xFFFFFFFF < threshold:
            product = next(words) * bound
        j = product >> 32
        order[i], order[j] = order[j], order[i]
    return order


def ask(runner, **request):
    runner.stdin.write(json.dumps(request) + "\n")
    runner.stdin.flush()
    answer = json.loads(runner.stdout.readline())
    if not answer["ok"]:
        sys.exit(f"the PyTorch runner: {answer['status']}: {answer['error']}")
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("epochs", type=int)
    parser.add_argument("out")
    parser.add_argument("--program", default="build/breakeven")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--python", default="/usr/bin/python3", help="that has PyTorch")
    options = parser.parse_args()
    folder, batch, mean, std, optimizer = WORKLOADS[options.workload]
    images, labels = read_pictures(folder)
    count, used = len(labels), len(labels) // batch * batch
    epochs = range(options.epochs)
    order = np.concatenate([epoch_order(SEED, epoch, count)[:used] for epoch in epochs])
    with tempfile.TemporaryDirectory() as scratch:
        dump, weights, data = (f"{scratch}/{name}.safetensors"
                               for name in ("dump", "weights", "data"))
        subprocess.run([options.program, "dump", options.workload, "--batch", "1", "--seed",
                        str(SEED), "-o", dump], check=True, stdout=subprocess.DEVNULL)
        safetensors_io.write(weights, {name.partition(".")[2]: value
                                       for name, value in safetensors_io.read(dump).items()
                                       if name.startswith(("param.", "buffer."))})
        safetensors_io.write(data, {"images": images, "labels": labels.astype(np.int32),
                                    "order": order.astype(np.int32)})
        with subprocess.Popen([options.python, ROOT / "runners" / "torch_runner.py"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
            ask(runner, op="hello", schema=2)
            ask(runner, op="prepare", workload=options.workload, device=options.device,
                precision="fp32", threads=options.threads, batch=batch, mode="train",
                seed=SEED, data=data, weights=weights,
                normalize={"images": {"mean": mean, "std": std}},
                optimizer=optimizer, dropout="engine")
            for epoch in epochs:
                answer = ask(runner, op="run", steps=used // batch)
                print(f"epoch {epoch + 1}: last loss {answer['loss']:.4f}, "
                      f"{answer['wall_ns'] * 1e-9:.1f} s", file=sys.stderr)
            ask(runner, op="export", out=options.out)
            ask(runner, op="quit")


if __name__ == "__main__":
    main()
