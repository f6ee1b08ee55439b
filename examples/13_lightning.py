"""PyTorch Lightning: trials of little promise stop early, by what the module logs."""

import lightning
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader

import evotune as et
from evotune.integrations.lightning import fit

pairs = [(x.astype("float32") / 16, y) for x, y in zip(*load_digits(return_X_y=True), strict=True)]
training, validation = DataLoader(pairs[:1200], 64, shuffle=True), DataLoader(pairs[1200:], 600)


class Net(lightning.LightningModule):
    """A perceptron with one hidden layer."""

    def __init__(self, lr, width):
        super().__init__()
        self.lr, self.net = lr, nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch):
        self.log("accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), self.lr)


def train(trial):
    return fit(trial, Net(**trial.params), training, validation, monitor="accuracy", max_epochs=4)


space = et.Space(lr=et.Float(1e-5, 1e-1, log=True), width=et.Int(16, 128))
study = et.tune(train, space, "max accuracy", trials=16, stopping=et.MedianStopping(), seed=1)
print(f"accuracy {study.best.metrics['accuracy']:.3f}, {study.counts}, {study.best.params}")
