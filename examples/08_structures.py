"""Evolve the layers of a network with its hyperparameters, and with a block of one's own."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import evotune as et

images, labels = load_digits(return_X_y=True)
x = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
y = torch.tensor(labels)


@et.block  # the shape of one example and the settings of a layer in, a module out
def stripe(shape, width):
    return nn.Conv2d(shape[0], shape[0], (1, width), padding="same")


conv = {"filters": et.Int(4, 16, log=True), "kernel": et.Ordinal(1, 3, 5)}
space = et.Space(
    lr=et.Float(1e-3, 3e-2, log=True),
    features=et.Chain(1, 4, conv=conv, residual=conv, pool={}, stripe={"width": et.Ordinal(3, 5)}),
    head=et.Chain(0, 1, dense={"units": et.Int(16, 64, log=True)}),
)
model = et.image_classifier((1, 8, 8), classes=10, parameters=10_000)  # larger ones shrink to fit
data = {"train": (x[:1200], y[:1200]), "validation": (x[1200:], y[1200:])}
task = et.SupervisedTask(model, loss="cross_entropy", optimizer="adam", epochs=3, **data)
study = et.tune(task, space, "max accuracy", trials=8, seed=1)
network = study.restore()  # the best one, trained

print(f"accuracy {study.best.metrics['accuracy']:.3f}")
print(study.best.params)
print(network)
right = network(x[1200:]).argmax(dim=1) == y[1200:]
print(f"{right.sum()} of {len(right)} images are told rightly")
