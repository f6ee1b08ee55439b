"""From records to numbers: what the pictures of `report`, the tables and the command line show.

- `data`: `StudyData`, what all figures and tables of one study share, prepared once.
- `lineage`, `steps`, `generations`, `rungs`: who came from whom, as members, generations and rungs.
- `importance`, `diversity`, `credit`, `volumes`: how much genes decide, how varied trials are, what
  each operator is worth, how the hypervolume grew.
- `statistics`: for each question one interval and one test.
- `comparison`, `ranking` (with `runs`, `pairing`): arms of one study, and several methods.
- `frame`, `scales`, `text`: a pandas table, the axes of figures, numbers as people read them.
"""
