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


conv = {"filters": et.Int(4, 32, log=True), "kernel": et.Ordinal(1, 3, 5)}
dense = {"units": et.Int(16, 64, log=True), "dropout": et.Float(0.0, 0.5)}
space = et.Space(
    lr=et.Float(1e-3, 3e-2, log=True),
    features=et.Chain(1, 4, conv=conv, residual=conv, pool={}, stripe={"width": et.Ordinal(3, 5)}),
    head=et.Chain(0, 1, dense=dense),
)
task = et.SupervisedTask(
    et.image_classifier((1, 8, 8), classes=10, parameters=20_000),  # larger ones are made smaller
    loss="cross_entropy",
    optimizer="adam",
    train=(x[:1200], y[:1200]),
    validation=(x[1200:], y[1200:]),
    epochs=3,
)
study = et.tune(task, space, "max accuracy", trials=12, seed=1)

print(f"accuracy {study.best.metrics['accuracy']:.3f} with {study.best.metrics['parameters']:.0f}")
for layer in study.best.params["features"] + study.best.params["head"]:
    print(layer)
