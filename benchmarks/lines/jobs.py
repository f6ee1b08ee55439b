"""Data, models and trainings of the five jobs, so that the programs differ in the search only."""

import os
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
from torch import nn

TRIALS = int(os.environ.get("TRIALS", "40"))
EPOCHS = 5
#: An existing program: it reads --lr and prints {"accuracy": ...}.
PROGRAM = [sys.executable, str(Path(__file__).parent / "command" / "train.py")]

x, y = load_digits(return_X_y=True)
x, y = x[:600], y[:600]
images = torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
labels = torch.tensor(y)
train, validation = (images[:400], labels[:400]), (images[400:], labels[400:])


def svc_accuracy(params):
    """Return the accuracy in cross-validation of an SVC with these params."""
    return cross_val_score(SVC(**params), x, y, cv=3).mean()


def cnn(params):
    """Return a small convolutional network for images of 8 x 8 pixels."""
    width = params["width"]
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * width, 10)
    )


def train_epoch(model, optimizer):
    """Train for one epoch in batches of 32; return the validation accuracy."""
    for indices in torch.randperm(len(train[0])).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train[0][indices]), train[1][indices]).backward()
        optimizer.step()
    with torch.no_grad():
        return (model(validation[0]).argmax(1) == validation[1]).float().mean().item()


def nodes(forest):
    """Return the number of nodes in a fitted forest: its size."""
    return sum(tree.tree_.node_count for tree in forest)


def accuracy_and_nodes(params):
    """Return the accuracy in cross-validation of a forest, and its size."""
    forest = RandomForestClassifier(**params, random_state=0)
    return cross_val_score(forest, x, y, cv=3).mean(), nodes(forest.fit(x, y))
