"""Models of the objective, cheap to ask, that algorithms learn from trials."""
