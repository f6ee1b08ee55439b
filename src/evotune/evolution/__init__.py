"""Selection, survival and schedules: blind to genomes, they read order and values only."""
