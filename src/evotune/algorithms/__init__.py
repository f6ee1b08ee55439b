"""Search methods, one a file, and short named compositions of them in `recipes`.

- Of a space: `random_search`, `grid`, `genetic`, `evolution_strategy`, `differential`, `swarm`,
  `estimation`, `cma_es` (on `cma_distribution`), `hybrid`, `population_based`; `replay`, which
  searches nothing.
- Around other algorithms: `halving`, `racing`, `prescreened`, `drifting`, `islands`, `phases`.
- `auto`: the rule that picks one.
- Parts of `population_based`: `breeding` (who is replaced, and by whose genes and weights) and
  `intervals`.
- Shared: `generations` (which trial belongs where), `variation` (two parents to a child),
  `wrapping` (notes inside notes).
"""
