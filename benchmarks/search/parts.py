"""The command line of a benchmark with several tables: all of them, or the one that is named."""

import argparse
from collections.abc import Callable, Iterable, Mapping

from rich.console import Console
from rich.table import Table

#: What makes the rows of a table, and its columns, by title.
Tables = Mapping[str, tuple[Callable[[], Iterable[Iterable[str]]], tuple[str, ...]]]


def main(about: str | None, tables: Tables) -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("part", nargs="?", choices=[*tables])
    part = parser.parse_args().part
    for title, (rows, columns) in tables.items():
        if part in (None, title):
            table = Table(*columns, title=title)
            for row in rows():
                table.add_row(*row)
            Console(width=120).print(table)
