"""Opening a study as it was recorded, without declaring anything again."""

from collections.abc import Collection
from os import PathLike, fspath

import numpy as np

from evotune.objectives import Objectives
from evotune.protocols import Storage, Traits
from evotune.space import Space
from evotune.storage import open_storage
from evotune.storage.damage import located, space_of
from evotune.storage.existing import check_file, choose
from evotune.storage.sql import file_of, locate
from evotune.study.study import Study
from evotune.trial import Proposal, Trial


class Recorded:
    """The place of an algorithm in a study that is only read.

    Args:
        space: The space of the study.
        description: What its own algorithm calls itself.
    """

    traits = Traits(inherits=True)

    def __init__(self, space: Space, description: str) -> None:
        self.space = space
        self._description = description

    def __repr__(self) -> str:
        return self._description

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose nothing."""
        return None

    def tell(self, trial: Trial) -> None:
        """Learn nothing."""

    def donors(self) -> Collection[int]:
        """Return no trials."""
        return ()


def open(  # noqa: A001  (read as et.open)
    storage: str | PathLike[str] | Storage, name: str | None = None
) -> Study:
    """Open a recorded study to look at it, without its space, objectives or algorithm at hand.

    It has all results: ``best``, ``front``, ``trials``, ``to_frame()``, ``report(path)``,
    ``restore()``. Another process may go on with the study meanwhile; what it adds is seen when the
    study is opened again. To go on with it here, declare it as before, with
    ``Study(algorithm, objectives, storage=..., name=...)``.

    Args:
        storage: The SQLite file, the URL of a database, or a storage.
        name: Name of the study; not needed where there is only one.

    Returns:
        The study. Whatever would change it, such as ``run``, ``ask`` and ``add``, raises a
        `StudyError`.

    Raises:
        StudyError: There is no such study, or there are several and no name is given.
        StorageError: There is no such file, or it holds no studies.
    """
    source = repr(storage)
    if isinstance(storage, str | PathLike):
        source = fspath(storage)
        file = file_of(locate(storage))
        if file is not None:
            check_file(file, "")
    found = open_storage(storage)
    try:
        definitions = {each.definition.name: each.definition for each in found.studies()}
        definition = definitions[choose(source, list(definitions), name)]
        with located(found):
            objectives = Objectives.from_json(definition.objectives)
            space = space_of(definition)
    finally:
        if found is not storage:
            found.close()
    study = Study(
        Recorded(space, definition.algorithm),
        list(objectives.objectives),
        constraints=objectives.constraints,
        storage=storage,
        name=definition.name,
    )
    study.only_read()
    return study
