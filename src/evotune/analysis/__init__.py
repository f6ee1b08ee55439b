"""Computes from the records what the figures, tables and the command line show.

- `data`: `StudyData`, what all figures and tables of one study share, prepared once.
- `lineage`, `steps`, `generations`, `rungs`: descent of trials; members, generations and rungs.
- `importance`, `diversity`, `credit`, `volumes`: importance of genes, diversity of trials, what
  each operator contributes, growth of the hypervolume.
- `statistics`: for each question one interval and one test.
- `comparison`, `ranking` (with `runs`, `pairing`): arms of one study, and several methods.
- `frame`, `scales`, `text`: a pandas table, the axes of figures, numbers as people read them.
"""
