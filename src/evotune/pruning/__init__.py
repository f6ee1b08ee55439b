"""Weights removed from trained networks; `evotune.prune` is what users call.

- `layers`: the weights of a network as matrices; `lowering` and `working` make any network such.
- `straight`, `flow`, `scores`: what a weight is worth. `methods`, `structured`: how those that stay
  are chosen.
- `compensation`, `rounds`: what is left takes over what went, after each round.
- `search`, `refinement`: evolution of the score, and of single connections; `task`: any search.
- `fine_tuning`, `compact`: training under masks, and a smaller network with the same outputs.
- `files`, `checkpoint`, `report`: what is left as a file, a refinement that goes on, and a page.
- `progress`: what is shown of it all while it goes on.
"""
