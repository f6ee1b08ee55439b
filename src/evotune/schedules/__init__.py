"""Hyperparameters per epoch, as population-based training finds them.

- `schedule`: `Schedule`, read, written, stretched and drawn.
- `torch`: the same as a torch learning-rate scheduler.
"""
