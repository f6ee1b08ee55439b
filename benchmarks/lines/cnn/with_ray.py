"""A network with early stopping, and the best one's weights, by ray."""

import tempfile
from pathlib import Path

import torch
from jobs import EPOCHS, TRIALS, cnn, train_epoch
from ray import tune


def objective(config):
    model = cnn(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    for _ in range(EPOCHS):
        accuracy = train_epoch(model, optimizer)
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), Path(folder, "model.pt"))
            tune.report({"accuracy": accuracy}, checkpoint=tune.Checkpoint.from_directory(folder))


space = {"lr": tune.loguniform(1e-4, 1e-1), "width": tune.lograndint(4, 33)}
scheduler = tune.schedulers.MedianStoppingRule(grace_period=1)
tune_config = tune.TuneConfig(
    metric="accuracy", mode="max", num_samples=TRIALS, scheduler=scheduler
)
best = tune.Tuner(objective, param_space=space, tune_config=tune_config).fit().get_best_result()
model = cnn(best.config)
with best.checkpoint.as_directory() as folder:
    model.load_state_dict(torch.load(Path(folder, "model.pt")))
print(best.config, best.metrics["accuracy"])
