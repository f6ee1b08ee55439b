"""Hyperparameters per epoch, as population-based training finds them.

- `schedule`: `Schedule`, read, written, stretched, smoothed and drawn.
- `torch`: the same as a torch learning-rate scheduler.
"""
