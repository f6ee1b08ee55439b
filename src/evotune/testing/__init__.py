"""Contract suites: one class of tests for each seam, to be subclassed by every implementation."""

import pytest

# Assertions in these modules show their values, as those in test files do.
pytest.register_assert_rewrite(
    "evotune.testing.algorithms",
    "evotune.testing.domains",
    "evotune.testing.executors",
    "evotune.testing.storages",
)
