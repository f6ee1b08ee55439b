"""The study, the only part that joins all others: an algorithm, an executor and a storage.

- `study`: `Study`, what users hold: ask and tell, run, and the results.
- `tune`: a whole search in one call.
- `definition`: what makes a stored study the same one, and what is refused when it is opened.
- `engine`: `Engine`, which proposes, records and tells, and rebuilds all of it from the record.
- `ledger`: `Ledger`, the trials in memory, and the best of them.
- `keeper`: `Keeper`, which weights are kept, and when they may go.
- `lock`: one driver a study, and in it one thread at a time.
- `run`: `Run`, the loop of one call, and `Limits`, when it ends.
- `soup`: the mean of the networks of a population.
- `controls`: what a schedule is worth, trained anew beside constant settings and random search.
"""
