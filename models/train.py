#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""train.py: train the demo network on Fashion-MNIST and export it to ONNX.

    models/train.py [--epochs N] [--seed N] [-o models/fashion-resnet.onnx]
    models/train.py --arrays FOLDER         write the training images as .npy, for tools/qat

Needs Debian 12's python3-torch and dataset-fashion-mnist, which is read from --data if it
is not installed. The seed and one thread make the result the same
on every run on one kind of CPU (another CPU's vector width orders sums otherwise).

The epoch is picked by the last 5,000 training images, which are not trained on;
the test images are looked at once, at the end.
"""
import argparse
import gzip
import os
import time
from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

DATA = "/usr/share/datasets/fashion-mnist"
MEAN, STD = 0.2860, 0.3530      # of the training images; tools/fashion-mnist too
CLASSES = 10


def load(folder, kind):
    def read(name, header):
        path = os.path.join(folder, f"{kind}-{name}-ubyte.gz")
        with gzip.open(path) as f:
            return np.frombuffer(f.read(), np.uint8, offset=header)
    images = read("images-idx3", 16).reshape(-1, 28, 28)
    return images, torch.from_numpy(read("labels-idx1", 8).astype(np.int64))


def tensor(images):
    x = (images.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(x).unsqueeze(1)


def write_arrays(data, folder):
    images, labels = load(data, "train")
    np.save(os.path.join(folder, "images.npy"), tensor(images).numpy())
    np.save(os.path.join(folder, "labels.npy"), labels.numpy().astype(np.uint8))


def augment(images, rng):
    """Mirror half of the images and shift each by up to two pixels."""
    n = len(images)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    step = np.where(rng.random(n) < 0.5, -1, 1)[:, None]
    cols = np.arange(28) * step + np.where(step < 0, 27, 0)
    cols = cols + rng.integers(0, 5, (n, 1))
    rows = np.arange(28) + rng.integers(0, 5, (n, 1))
    return padded[np.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]]


def named(**modules):
    """In sequence; the names end up in the ONNX file."""
    return nn.Sequential(OrderedDict(modules))


def conv(inputs, outputs, kernel, stride=1):
    return named(
        conv=nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        norm=nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = conv(inputs, outputs, 3, stride)
        self.second = conv(outputs, outputs, 3)
        self.skip = nn.Identity()
        if inputs != outputs or stride != 1:
            self.skip = conv(inputs, outputs, 1, stride)

    def forward(self, x):
        y = self.second(F.relu(self.first(x)))
        return F.relu(y + self.skip(x))


def network():
    """2.6 million multiply-accumulates an image, 78 thousand parameters."""
    return named(
        stem=conv(1, 16, 3), relu=nn.ReLU(), pool=nn.MaxPool2d(2),  # 14 x 14
        block1=Residual(16, 16, 1),
        block2=Residual(16, 32, 2),                                 # 7 x 7
        block3=Residual(32, 64, 2),                                 # 4 x 4
        average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        classifier=nn.Linear(64, CLASSES))


def accuracy(model, x, labels):
    model.eval()
    with torch.no_grad():
        right = sum((model(a).argmax(1) == b).sum().item()
                    for a, b in zip(x.split(1000), labels.split(1000)))
    return 100 * right / len(labels)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--epochs", type=int, default=26)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--data", default=DATA, help="folder of the package's files")
    p.add_argument("--arrays", metavar="FOLDER")
    p.add_argument("-o", "--output", default="models/fashion-resnet.onnx")
    args = p.parse_args()
    if args.arrays:
        write_arrays(args.data, args.arrays)
        return

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(args.seed)

    images, labels = load(args.data, "train")
    held_x, held_labels = tensor(images[-5000:]), labels[-5000:]
    images, labels = images[:-5000], labels[:-5000]

    model = network()
    steps = len(images) // args.batch
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9,
                                nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=args.epochs * steps, pct_start=0.2)
    best, best_epoch, best_state = 0, 0, None
    for epoch in range(1, args.epochs + 1):
        start, total = time.monotonic(), 0
        model.train()
        order = rng.permutation(len(images))
        for step in range(steps):
            pick = order[step * args.batch:(step + 1) * args.batch]
            x = tensor(augment(images[pick], rng))
            loss = F.cross_entropy(model(x), labels[pick], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        held = accuracy(model, held_x, held_labels)
        if held >= best:
            best, best_epoch = held, epoch
            best_state = {k: v.clone() for k, v in model.state_dict().items()}
        print(f"epoch {epoch:3d}  loss {total / steps:.4f}  held out {held:.2f} %"
              f"  {time.monotonic() - start:.0f} s", flush=True)

    model.load_state_dict(best_state)
    images, labels = load(args.data, "t10k")
    test = accuracy(model, tensor(images), labels)
    print(f"epoch {best_epoch}, seed {args.seed}: held out {best:.2f} %, test {test:.2f} %")

    # Unfolded, so that whoever reads the file sees the network that was trained.
    model.eval()
    torch.onnx.export(
        model, torch.zeros(1, 1, 28, 28), args.output, opset_version=13,
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}})


if __name__ == "__main__":
    main()
