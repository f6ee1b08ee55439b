"""A PostgreSQL schema of one's own, where there is a server."""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa

POSTGRES_URL = os.environ.get("EVOTUNE_POSTGRES_URL", "")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    if not POSTGRES_URL:
        pytest.skip("EVOTUNE_POSTGRES_URL names no server")
    schema = f"evotune_{uuid4().hex}"  # of its own: the server may hold real studies
    server = sa.create_engine(POSTGRES_URL)
    with server.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    url = server.url.update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with server.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    server.dispose()
