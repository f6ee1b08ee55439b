"""A network with early stopping, and the best one's weights, by optuna."""

import optuna
import torch
from jobs import EPOCHS, TRIALS, cnn, train_epoch


def objective(trial):
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("width", 4, 32, log=True)
    model = cnn(trial.params)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(EPOCHS):
        accuracy = train_epoch(model, optimizer)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    torch.save(model.state_dict(), f"{trial.number}.pt")
    return accuracy


study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=TRIALS)
model = cnn(study.best_params)
model.load_state_dict(torch.load(f"{study.best_trial.number}.pt"))
print(study.best_params, study.best_value)
