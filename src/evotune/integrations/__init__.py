"""Integrations with other libraries: one file per library, each an optional extra."""
