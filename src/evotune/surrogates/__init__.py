"""Models of the objective, cheap to ask, that algorithms learn from trials.

- `model`: the surrogate of `Hybrid`, out of `gaussian_process`, `transforms` and `observations`.
- `acquisition`, `candidates`: how much is to be gained, and the pool that evolves under it.
- `rows`, `features`: genomes as rows of one matrix, and what a model sees of them.
- `regressors`: the models of `Prescreened`; `threads`: a single one for numpy meanwhile.
"""
