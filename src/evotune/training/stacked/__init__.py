"""Stacked training: members whose networks have equal shapes train as one model.

`together` is the entry point. `groups` decides which members fit together, `run` trains one group,
`training` holds the parameters of its members in one matrix (`windows`), `optimizer` and
`update_rules` update it, `averages` averages it, and `masks` removes some of it; `model`,
`members`, `layers` and `recurrent` map a model over its first axis.
"""
