"""Opening a study as it was recorded, without declaring anything again."""

from os import PathLike, fspath

from evotune.objectives import Objectives
from evotune.protocols import Storage
from evotune.storage import open_storage
from evotune.storage.damage import located, space_of
from evotune.storage.existing import check_file, choose
from evotune.storage.sql import file_of, locate
from evotune.study.recorded import Recorded
from evotune.study.study import Study


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
    return Study(
        Recorded(space, definition.algorithm),
        list(objectives.objectives),
        constraints=objectives.constraints,
        storage=storage,
        name=definition.name,
    )
