#!/usr/bin/env python3
"""Images per second: siamese-train against the same training loop in Python.

Both train `small` with all pixels (784-128-64-2, batch normalisation) on MNIST
by the same loss, optimiser, clipping and batch size, in turns, so that a noisy
machine is as unkind to one as to the other. The Python loop gets its images from memory,
without augmentation; siamese-train runs once like that and once with its own
augmentation.

Needs Python's torch of the same version as libtorch (pip install torch==2.13.0),
and a built program:

    cargo build --release -p siamese-train
    target/release/siamese-train data --dataset mnist
    python3 siamese-train/benches/python_loop.py
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

BATCH = 500
TAIL = 3.0
ROOT = Path(__file__).resolve().parents[2]


def mnist():
    folder = ROOT / "data" / "mnist"
    read = lambda name, skip: torch.frombuffer(
        bytearray((folder / name).read_bytes()[skip:]), dtype=torch.uint8
    )
    images = read("train-images-idx3-ubyte", 16).reshape(-1, 784)
    labels = read("train-labels-idx1-ubyte", 8).long()
    return (images >> 1).float() / 127, labels


def loss_of(points, labels):
    squares = points.square().sum(1, keepdim=True)
    squared = (squares + squares.T - 2 * points @ points.T).clamp_min(0)
    itself = torch.eye(len(points))
    same = (labels[:, None] == labels[None]).float() - itself
    log_similarity = -TAIL * squared.log1p()
    total = (log_similarity - 1e9 * itself).logsumexp(1, keepdim=True)
    return ((total - log_similarity) * same).sum() / same.sum()


def python_loop(steps):
    images, labels = mnist()
    torch.manual_seed(1)
    hidden = lambda a, b: [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU()]
    network = nn.Sequential(*hidden(784, 128), *hidden(128, 64), nn.Linear(64, 2))
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=0.016, betas=(0.9, 0.99), weight_decay=1e-3
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.016, steps, 0.05)
    classes = [torch.nonzero(labels == c).squeeze(1) for c in range(10)]
    start = time.perf_counter()
    for _ in range(steps):
        chosen = torch.cat(
            [c[torch.randint(len(c), (BATCH // 10,))] for c in classes]
        )
        loss = loss_of(network(images[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return steps * BATCH / (time.perf_counter() - start)


def siamese_train(steps, augment):
    with tempfile.TemporaryDirectory() as out:
        command = [ROOT / "target" / "release" / "siamese-train", "train", "--json", "--quiet"]
        command += ["--pooling", "none", "--sparsity", "0"]
        command += ["--epochs", str(steps * BATCH / 60000), "--augment", augment]
        command += ["--validation", "0", "--tuning", "0", "--out", out]
        command += ["--data", ROOT / "data"]
        result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return json.loads(result.stdout)["images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    loops = {
        "Python, no augmentation": lambda: python_loop(args.steps),
        "siamese-train, no augmentation": lambda: siamese_train(args.steps, "none"),
        "siamese-train, robust augmentation": lambda: siamese_train(args.steps, "robust"),
    }
    rates = {name: [] for name in loops}
    for _ in range(args.rounds):
        for name, loop in loops.items():
            rates[name].append(loop())
    print(f"images per second, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, found in rates.items():
        print(f"  {name:<36}{statistics.median(found):>9.0f}  {[round(r) for r in found]}")


if __name__ == "__main__":
    main()
