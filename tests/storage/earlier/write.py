"""Writes a database with half-finished studies, as SQL text, and what comes next in each of them.

Run it with the version of evotune whose database is to be kept, before its schema changes, from a
checkout of that version:

    PYTHONPATH=src python write.py schema_2.sql schema_2.json

``test_earlier.py`` opens what it wrote with today's version. The names are those of today: where a
constructor has changed since, write what it was called then.
"""

import json
import sqlite3
import sys
import tempfile
from pathlib import Path

import evotune as et

TOLD, NEXT = 13, 12


def space():
    """Return a space with all kinds of genes, two of them conditional."""
    return et.Space(
        lr=et.Float(1e-4, 1.0, log=True),
        momentum=et.Float(0.0, 0.9, step=0.1),
        depth=et.Int(1, 9),
        booster=et.Choice("tree", "linear"),
        leaves=et.Int(2, 64, log=True, when={"booster": "tree"}),
        width=et.Ordinal(16, 32, 64, when={"depth": et.Range(4, 9)}),
        wide=et.Bool(),
        constant=et.Fixed("x"),
    )


def algorithms():
    """Return the algorithms of the studies, by name."""
    genes = space()
    known = {
        "genetic": lambda: et.Genetic(genes, population_size=4),
        "steady": lambda: et.Genetic(genes, population_size=4, steady_state=True),
        "plus": lambda: et.EvolutionStrategy(genes, parents=2, offspring=4),
        "random": lambda: et.RandomSearch(genes),
        "grid": lambda: et.Grid(genes, points=2),
    }
    if hasattr(et, "PopulationBasedTraining"):
        pbt = et.PopulationBasedTraining
        known |= {
            "population": lambda: pbt(genes, population_size=4),
            "asynchronous": lambda: pbt(genes, population_size=4, asynchronous=True),
            "islands": lambda: et.Islands(
                [pbt(genes, population_size=3, interval=k) for k in (1, 2)], every=2
            ),
            "halving": lambda: et.SuccessiveHalving(
                et.Genetic(genes, population_size=4), maximum=4, eta=2, resume=False
            ),
            "racing": lambda: et.Racing(et.Genetic(genes, population_size=4), repeats=2),
            "drifting": lambda: et.Drifting(et.Genetic(genes, population_size=4)),
            "phases": lambda: et.recipes.tune_then_schedule(
                genes, structure=["depth", "booster", "width"], trials=8, population_size=3
            ),
            "swarm": lambda: et.ParticleSwarm(genes, population_size=4),
            "cma": lambda: et.CmaEs(genes, population_size=4),
            "differential": lambda: et.DifferentialEvolution(genes, population_size=4),
            "hybrid": lambda: et.Hybrid(genes, initial=8),
            "prescreened": lambda: et.Prescreened(et.Genetic(genes, population_size=4)),
        }
    return known


def loss(genome):
    """Return a number that depends on all genes."""
    text = json.dumps(genome, sort_keys=True)
    return abs(genome["lr"] - 0.1) + genome["depth"] / 10 + sum(map(ord, text)) % 97 / 97


def go_on(study, count, expected=()):
    """Run so many trials by ask and tell, and return what was proposed.

    Those that were expected get the loss of the expected genome: the last digits of a float are the
    processor's, and `loss` depends on all of them.
    """
    proposed = []
    for k in range(count):
        trial = study.ask()
        if trial is None:
            break
        proposed.append([dict(trial.genome), trial.weights_from, list(trial.parents)])
        if trial.number % 7 == 5:
            study.tell(trial, et.Failed("on purpose"))
        else:
            genome = expected[k][0] if expected else trial.genome
            study.tell(trial, {"loss": loss(genome)})
    return proposed


def main(sql, expected):
    """Write the database and what follows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        for name, make in algorithms().items():
            study = et.Study(make(), "min loss", storage=path, name=name, seed=7)
            go_on(study, TOLD)
            study.ask()  # left running
            study.close()
        database = sqlite3.connect(path)
        Path(sql).write_text("\n".join(database.iterdump()) + "\n")
        database.close()
        following = {}
        for name, make in algorithms().items():
            study = et.Study(make(), "min loss", storage=path, name=name)
            following[name] = go_on(study, NEXT)
            study.close()
        Path(expected).write_text(json.dumps(following) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
