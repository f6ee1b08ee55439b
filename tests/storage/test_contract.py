from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evotune.protocols import Storage
from evotune.storage import MemoryStorage
from evotune.storage.sql import SqlStorage
from evotune.testing.storages import FIRST, StorageContract, make_definition, make_trial


class TestMemory(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()


class TestSqlite(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        storage = SqlStorage(tmp_path / "runs.db")
        yield storage
        storage.close()


class TestPostgres(StorageContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    @pytest.fixture
    def storage(self, url: str) -> Iterator[Storage]:
        storage = SqlStorage(url)
        yield storage
        storage.close()

    def test_a_second_storage_sees_the_same(self, storage: Storage, url: str) -> None:
        storage.create(make_definition())
        storage.acquire("lenet", FIRST, None)
        storage.write("lenet", [make_trial(0)], FIRST)
        other = SqlStorage(url)
        assert other.trials("lenet") == [make_trial(0)]
        other.close()

    def test_many_may_open_a_new_database_at_once(self, url: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            for storage in pool.map(SqlStorage, [url] * 4):
                assert storage.studies() == []
                storage.close()
