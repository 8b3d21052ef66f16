import gzip
import os

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn


def idx(path, offset):
    opened = open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz", "rb")
    with opened as file:
        return np.frombuffer(file.read()[offset:], np.uint8)


data = os.environ.get("MNIST", "data/mnist")
seconds = float(os.environ.get("SECONDS_TO_TRAIN", "60"))
pixels = torch.from_numpy(idx(f"{data}/train-images-idx3-ubyte", 16).reshape(-1, 784).copy())
labels = torch.from_numpy(idx(f"{data}/train-labels-idx1-ubyte", 8).astype(np.int64))

net = nn.Sequential(
    nn.Linear(784, 1024), nn.BatchNorm1d(1024), nn.ReLU(),
    nn.Linear(1024, 1024), nn.BatchNorm1d(1024), nn.ReLU(),
    nn.Linear(1024, 2),
)
optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)


def inputs(pixels):
    # ToTensor() and Normalize((0.1307,), (0.3081,)).
    return (pixels.float() / 255 - 0.1307) / 0.3081


def loss_of(points, labels):
    # How sure each point is that its neighbours are of its class.
    similar = 1 / (1 + torch.cdist(points, points).square())
    similar = similar * (1 - torch.eye(len(points)))
    same = labels[:, None] == labels[None, :]
    return -torch.log((similar * same).sum(1) / similar.sum(1) + 1e-9).mean()


def train():
    import time

    torch.manual_seed(1)
    start, step = time.monotonic(), 0
    while (elapsed := time.monotonic() - start) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - elapsed / seconds)
        batch = torch.randint(len(pixels), (256,))
        loss = loss_of(net(inputs(pixels[batch])), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}")


train()
net.eval()
save_file(net.state_dict(), "net.safetensors")
