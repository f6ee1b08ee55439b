"""Models of the objective, cheap to evaluate, that algorithms fit to trials.

- `model`: the surrogate of `Hybrid`, made of `gaussian_process`, `transforms` and `observations`.
- `acquisition`, `candidates`: expected improvement, and the pool that evolves under it.
- `rows`, `features`: genomes as rows of one matrix, and their features, which a model reads.
- `regressors`: the models of `Prescreened`; `threads`: a single thread for numpy.
"""
