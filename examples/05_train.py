"""The training loop that 05_pbt.toml evolves a schedule for: plain PyTorch and three calls."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

images, labels = load_digits(return_X_y=True)
parts = train_test_split(images / 16, labels, random_state=0)
x, x_validation = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
y, y_validation = (torch.tensor(part) for part in parts[2:])


def train(trial):
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), **trial.params)
    trial.resume(model=model, optimizer=optimizer)  # the donor's weights, this trial's lr

    for _ in trial.epochs(default=5):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()

    trial.keep(model=model, optimizer=optimizer)  # whoever inherits from this one
    with torch.no_grad():
        return {"accuracy": (model(x_validation).argmax(1) == y_validation).float().mean().item()}
