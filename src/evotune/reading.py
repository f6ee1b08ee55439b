"""Params that remember which genes were read, so that one without effect can be noticed."""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any


class ReadParams(dict[str, Any]):
    """A trial's params that record which genes were read, also by ``**params``, ``get``, ``in``.

    Args:
        params: The active genes.
        used: Set to which the names are added when read; several objects may share it.
    """

    def __init__(self, params: Mapping[str, Any], used: set[str]) -> None:
        super().__init__(params)
        self._used = used

    def __getitem__(self, name: str) -> Any:
        self._used.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._used.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the gene's value or the default, and note that it was read."""
        self._used.add(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """Remove the gene and return its value, and note that it was read."""
        self._used.add(name)
        return super().pop(name, *default)

    def _all_read(self) -> None:
        self._used.update(super().keys())

    def __iter__(self) -> Iterator[str]:
        self._all_read()
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return the names, and note that every gene was read."""
        self._all_read()
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return the values, and note that every gene was read."""
        self._all_read()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return names and values, and note that every gene was read."""
        self._all_read()
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict, and note that every gene was read."""
        return dict(self.items())
