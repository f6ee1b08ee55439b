"""PyTorch Lightning: trials of little promise stop early, by what the module logs."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch.nn import Linear, ReLU, Sequential
from torch.utils.data import DataLoader

import evotune as et
from evotune.integrations.lightning import TrialCallback

digits = load_digits()
pairs = list(zip(torch.tensor(digits.data / 16).float(), digits.target, strict=True))
quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")


class Net(lightning.LightningModule):
    """A perceptron with one hidden layer."""

    def __init__(self, lr, width):
        super().__init__()
        self.lr, self.layers = lr, Sequential(Linear(64, width), ReLU(), Linear(width, 10))

    def training_step(self, batch):
        return torch.nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch):
        self.log("accuracy", (self.layers(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)


def train(trial):
    callback = TrialCallback(trial, monitor="accuracy")
    trainer = lightning.Trainer(max_epochs=4, callbacks=callback, **dict.fromkeys(quiet, False))
    training, validation = DataLoader(pairs[:1200], 64, shuffle=True), DataLoader(pairs[1200:], 600)
    trainer.fit(Net(**trial.params), training, validation)
    return callback.metrics


space = et.Space(lr=et.Float(1e-5, 1e-1, log=True), width=et.Int(16, 128))
study = et.tune(train, space, "max accuracy", trials=16, stopping=et.MedianStopping(), seed=1)
print(f"accuracy {study.best.metrics['accuracy']:.3f}, {study.counts}, {study.best.params}")
