"""Forecast the oil temperature of a transformer (ETTh1), beside Optuna's TPE and random search.

    python experiments/forecast_etth1.py

The review of evolution strategies for tuning names the genes: sequence length, hidden units,
layers, learning rate and its schedule. Every search is a study in experiments/runs/, so the same
command goes on where a killed one ended. TPE needs `pip install optuna`, which `evotune[bench]`
has.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from data import transformer
from searches import Arm, Figure, Row, Script, conclusions, gains, least_p, run_all, summary
from tables import params_lines, table
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

import evotune as et

CHANNELS = 7
#: Hours that a network may look back, and that it forecasts.
LONGEST, HORIZON = 168, 24
#: Hours in which each part ends, as in Zhou et al. (2021): 12, 4 and 4 months of 30 days.
ENDS = (8_640, 11_520, 14_400)
MOST_LAYERS = 2

SPACE = et.Space(
    length=et.Int(12, LONGEST, log=True),
    cell=et.Choice("lstm", "gru"),
    layers=et.Int(1, MOST_LAYERS),
    units1=et.Int(8, 64, log=True),
    units2=et.Int(8, 64, log=True, when={"layers": MOST_LAYERS}),
    dropout=et.Float(0.0, 0.5),
    lr=et.Float(1e-4, 3e-2, log=True),
    schedule=et.Choice("constant", "cosine", "halving"),
    batch_size=et.Ordinal(16, 32, 64),
)
REFERENCE = {
    "length": 96,
    "cell": "lstm",
    "layers": 2,
    "units1": 32,
    "units2": 32,
    "dropout": 0.1,
    "lr": 1e-3,
    "schedule": "halving",
    "batch_size": 32,
}


class Forecaster(nn.Module):
    """Recurrent layers over the last hours, and one linear layer for all hours ahead.

    It forecasts the change from the last temperature, so that one that has learned nothing
    forecasts that nothing changes.

    Args:
        params: The genes.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__()
        self.length = params["length"]
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[params["cell"]]
        units = [params[f"units{k}"] for k in range(1, params["layers"] + 1)]
        sizes = zip([CHANNELS, *units[:-1]], units, strict=True)
        self.layers = nn.ModuleList(kind(a, b, batch_first=True) for a, b in sizes)
        self.dropout = nn.Dropout(params["dropout"])
        self.output = nn.Linear(units[-1], HORIZON)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, hours: Tensor) -> Tensor:
        """Return forecasts ``(examples, 24)`` from hours ``(examples, 168, 7)``."""
        last = hours[:, -1:, -1]
        states = hours[:, -self.length :] - hours[:, -1:]
        for layer in self.layers:
            states = self.dropout(layer(states)[0])
        return last + self.output(states[:, -1])


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run.

    Attributes:
        train: Hours between two training windows.
        measured: Hours between two validation or test windows.
        epochs: Epochs of a trial.
        trials: Trials of a search.
        seeds: Seeds of every search.
    """

    train: int
    measured: int
    epochs: int
    trials: int
    seeds: int


SCALES = {
    "small": Scale(24, 12, 3, 10, 3),
    "medium": Scale(12, 12, 4, 20, 5),
    "full": Scale(1, 1, 10, 100, 10),
}


@functools.lru_cache(maxsize=2)
def windows(scale: Scale, directory: str | None) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return hours ``(windows, 168, 7)`` and temperatures ahead of each part, standardised.

    Mean and deviation are those of the training part.
    """
    hours = transformer(directory)
    hours = (hours - hours[: ENDS[0]].mean(0)) / hours[: ENDS[0]].std(0)
    parts = []
    begin = LONGEST
    for end, step in zip(ENDS, (scale.train, scale.measured, scale.measured), strict=True):
        now = np.arange(begin, end - HORIZON + 1, step)
        past = np.stack([hours[k - LONGEST : k] for k in now])
        ahead = np.stack([hours[k : k + HORIZON, -1] for k in now])
        parts.append((torch.from_numpy(past), torch.from_numpy(ahead)))
        begin = end
    return tuple(parts)


def scheduled(epochs: int, optimizer: Optimizer, params: Mapping[str, Any]) -> LambdaLR:
    """Return the schedule of the learning rate that a gene names, stepped once an epoch."""
    factors = {
        "constant": lambda epoch: 1.0,
        "cosine": lambda epoch: 0.5 * (1 + float(np.cos(np.pi * epoch / epochs))),
        "halving": lambda epoch: 0.5**epoch,
    }
    return LambdaLR(optimizer, factors[params["schedule"]])


def task(scale: Scale, directory: str | None, seed: int) -> et.SupervisedTask:
    """Return the training of one trial; the parts are the same for every seed."""
    del seed
    train, validation, test = windows(scale, directory)
    return et.SupervisedTask(
        Forecaster,
        loss="mse",
        optimizer="adam",
        train=train,
        validation=validation,
        test=test,
        epochs=scale.epochs,
        scheduler=functools.partial(scheduled, scale.epochs),
        metrics=("mse", "mae"),
    )


# -- the searches ---------------------------------------------------------------------------------


def tpe(seed: int) -> Any:
    """Return Optuna's TPE with its defaults, and conditional genes as it has them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    asked: list[Any] = []

    def propose(
        told: Sequence[tuple[Mapping[str, Any], float | None]], number: int
    ) -> Mapping[str, Any]:
        if asked:
            value = told[-1][1]
            failed = optuna.trial.TrialState.FAIL
            study.tell(asked[-1], value, state=failed if value is None else None)
        asked.append(study.ask())
        return suggested(asked[-1])

    return propose


def suggested(trial: Any) -> dict[str, Any]:
    """Return the params of an Optuna trial, on the same scales as `SPACE`."""
    layers = trial.suggest_int("layers", 1, MOST_LAYERS)
    units = {
        f"units{k}": trial.suggest_int(f"units{k}", 8, 64, log=True) for k in range(1, layers + 1)
    }
    return {
        "length": trial.suggest_int("length", 12, LONGEST, log=True),
        "cell": trial.suggest_categorical("cell", ["lstm", "gru"]),
        "layers": layers,
        **units,
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "lr": trial.suggest_float("lr", 1e-4, 3e-2, log=True),
        "schedule": trial.suggest_categorical("schedule", ["constant", "cosine", "halving"]),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64]),
    }


def arms(scale: Scale) -> tuple[Arm, ...]:
    """Return what is compared."""
    return (
        Arm("reference", SPACE, params=REFERENCE),
        Arm("random", SPACE),
        Arm("TPE", SPACE, peer=tpe),
        Arm("genetic", SPACE, lambda space: et.Genetic(space, population_size=5)),
        Arm("ours", SPACE, lambda space: et.auto(space, trials=scale.trials)),
    )


PAIRS = (
    ("ours", "random"),
    ("ours", "TPE"),
    ("genetic", "random"),
    ("genetic", "TPE"),
    ("TPE", "random"),
    ("ours", "reference"),
    ("random", "reference"),
)
SHOWN = (
    Figure("mse", "validation MSE", 1.0, 4),
    Figure("test_mse", "test MSE", 1.0, 4),
    Figure("test_mae", "test MAE", 1.0, 4),
)


#: Forecasts without any learning, from the hours behind.
GUESSES = {
    "the last temperature": lambda past: past[:, -1:, -1].expand(-1, HORIZON),
    "that of the same hour the day before": lambda past: past[:, -HORIZON:, -1],
}


def naive(scale: Scale, directory: str | None) -> dict[str, dict[str, float]]:
    """Return the metrics that forecasts without any learning reach."""
    found = {}
    for name, guess in GUESSES.items():
        validation, test = (guess(past) - ahead for past, ahead in windows(scale, directory)[1:])
        found[name] = {
            "mse": float(validation.square().mean()),
            "test_mse": float(test.square().mean()),
            "test_mae": float(test.abs().mean()),
        }
    return found


def naive_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return them as a table."""
    head = ["forecast without learning", *(figure.title for figure in SHOWN)]
    lines = [[name, *(f"{m[f.metric]:.4f}" for f in SHOWN)] for name, m in found.items()]
    return table(head, lines)


def against_naive(rows: Sequence[Row], found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Say for every arm in how many seeds it is better than the better one of them."""
    best = min(each["test_mse"] for each in found.values())
    lines = []
    for name in dict.fromkeys(row.arm for row in rows):
        own = [row.metrics["test_mse"] for row in rows if row.arm == name]
        wins = sum(value < best for value in own)
        lines.append(
            f"{name} has a lower test MSE than the best forecast without learning ({best:.4f}) in "
            f"{wins} of {len(own)} seeds, by {best - np.mean(own):+.4f} on average."
        )
    return lines


def section(rows: Sequence[Row], scale: Scale, head: str, directory: str | None) -> str:
    """Return what was found, as Markdown."""
    counts = ", ".join(str(len(x)) for x, _ in windows(scale, directory))
    about = (
        "ETTh1: from up to 168 hours of seven series the oil temperature of the next 24 hours, "
        "standardised by the training part; the usual 12, 4 and 4 months train, validate and test "
        f"({counts} windows, one every {scale.train} and {scale.measured} hours). Recurrent "
        "networks that forecast the change from the last temperature; genes: hours looked back, "
        "LSTM or GRU, one or two layers, the units of each, dropout, learning rate, its schedule, "
        f"batch size. {scale.epochs} epochs with Adam, {scale.trials} trials a search. The "
        "validation error chooses; the test error plays no part in any choice."
    )
    guessed = naive(scale, directory)
    lines = [line for f in SHOWN[:2] for line in conclusions(rows, PAIRS, f)]
    lines += against_naive(rows, guessed)
    return "\n\n".join(
        [
            head,
            about,
            summary(rows, SHOWN),
            naive_table(guessed),
            least_p(len({row.seed for row in rows})),
            gains(rows, PAIRS, SHOWN[0]),
            gains(rows, PAIRS, SHOWN[1]),
            params_lines([(row.arm, row.seed, row.params) for row in rows if row.trials > 1]),
            "Conclusions, written by the script from these figures:",
            "\n".join(f"- {line}" for line in lines),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment as the command line says, and print its tables and conclusions."""
    script = Script("forecast_etth1.py", SCALES)
    options, scale = script.begin(arguments)
    seeds = options.seeds or scale.seeds
    rows = run_all(
        arms(scale),
        functools.partial(task, scale, options.data),
        "min mse",
        range(1, seeds + 1),
        trials=scale.trials,
        storage=script.storage(options),
    )
    text = section(rows, scale, script.head(arguments, seeds), options.data)
    script.end(options, "Forecasting on ETTh1", text)


if __name__ == "__main__":
    main()
