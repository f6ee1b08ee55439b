"""Public contract suites: subclass the one of a seam to test your own implementation of it."""
