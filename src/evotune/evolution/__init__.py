"""Evolutionary operators that read the order and values of trials, never their genomes.

- `selection`: who becomes a parent; `survival`, `niching`: who lives on; `exploitation`: who is
  replaced by children of better members; `fitness`: by what members are compared.
- `rates`, `control`: how a mutation rate, or a step factor, changes over generations.
- `topology`: which island sends to which; `stopping`: which trials end early.
- `pareto`, `hypervolume`, `repeats`: dominance, the front's volume and knee, means of repeats.
"""
