"""The stacked population: members whose shapes agree train as one model.

`together` is the way in. `groups` says who fits together, `run` trains and measures one group,
`training` holds the members' numbers in one matrix, `optimizer` and `update_rules` change it;
`model`, `members`, `layers` and `recurrent` map a model over its first axis.
"""
