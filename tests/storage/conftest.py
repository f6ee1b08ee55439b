"""A PostgreSQL schema of one's own, where there is a server."""

import os
from collections.abc import Iterator

import pytest

from helpers_postgres import own_schema

POSTGRES_URL = os.environ.get("EVOTUNE_POSTGRES_URL", "")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    if not POSTGRES_URL:
        pytest.skip("EVOTUNE_POSTGRES_URL names no server")
    with own_schema(POSTGRES_URL) as url:
        yield url
