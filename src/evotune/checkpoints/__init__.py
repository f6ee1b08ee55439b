"""A model's weights, kept and handed on.

- `store`: `Checkpoints`, where a study keeps weights, in memory and in files, under a quota.
- `folders`: where the files lie, and whose they are.
- `state`: state as plain parts and as bytes without pickle; torch is met here when a tensor is.
- `handover`: what one running trial may do with weights: start from donors', keep its own.
- `hyperparameters`: a trial's hyperparameters, applied to what its donor's state was loaded into.
"""
