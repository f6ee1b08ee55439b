"""What evolves, blind to genomes: it reads order and values only.

- `selection`: who becomes a parent; `survival`, `niching`: who lives on; `exploitation`: who gives
  way to children of better ones.
- `rates`, `control`: how a mutation rate, or a step factor, changes over generations.
- `topology`: which island sends to which; `stopping`: which trials end early.
- `pareto`, `hypervolume`, `repeats`: dominance, the front's volume and knee, means of repeats.
"""
