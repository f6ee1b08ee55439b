"""An algorithm of evotune inside Optuna, and a study of Optuna that goes on in evotune."""

import optuna

import evotune as et

optuna.logging.set_verbosity(optuna.logging.WARNING)
space = et.Space(x=et.Float(-5.0, 5.0), units=et.Int(1, 64, log=True))


def objective(trial):
    x, units = trial.suggest_float("x", -5, 5), trial.suggest_int("units", 1, 64, log=True)
    return (x - 1) ** 2 + abs(units - 16) / 16


sampler = et.integrations.optuna.Sampler("Hybrid", space, seed=1)
theirs = optuna.create_study(sampler=sampler)
theirs.optimize(objective, n_trials=20)

genes = et.integrations.optuna.space(theirs)
ours = et.Study(et.Hybrid(genes), "min loss", seed=1)
et.integrations.optuna.import_study(theirs, ours)
ours.run(lambda t: (t.params["x"] - 1) ** 2 + abs(t.params["units"] - 16) / 16, trials=30)
print(f"loss {theirs.best_value:.4f}, then {ours.best.metrics['loss']:.4f}")
