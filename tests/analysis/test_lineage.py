import pytest

from evotune.analysis.lineage import ancestors, changes, main_line
from evotune.errors import StudyError
from evotune.trial import Trial


def trial(number: int, *parents: int, value: float | None = None, **params: object) -> Trial:
    values = None if value is None else (value,)
    return Trial(number, params, params, parents=parents, values=values)


FAMILY = [
    trial(0, value=5.0),
    trial(1, value=3.0),
    trial(2, value=9.0),
    trial(3, 0, 1, value=2.0),
    trial(4, 1, 3, value=2.5),
    trial(5, 3, 4, value=1.0),
]


def numbers(trials: list[Trial]) -> list[int]:
    return [t.number for t in trials]


def test_ancestors_come_oldest_first_each_once_and_end_with_the_trial() -> None:
    assert numbers(ancestors(FAMILY, 5)) == [0, 1, 3, 4, 5]
    assert numbers(ancestors(FAMILY[::-1], 4)) == [0, 1, 3, 4]
    assert numbers(ancestors(FAMILY, 2)) == [2]


def test_parents_that_are_not_there_are_left_out() -> None:
    assert numbers(ancestors([trial(7, 3, 99), trial(3, 98)], 7)) == [3, 7]


def test_a_trial_that_names_itself_or_a_later_one_does_not_run_for_ever() -> None:
    odd = [trial(0, 1, value=1.0), trial(1, 1, 0, value=1.0)]
    assert numbers(ancestors(odd, 1)) == [0, 1]
    assert numbers(main_line(ancestors(odd, 1))) == [0, 1]


def test_an_unknown_number_is_a_clear_error() -> None:
    with pytest.raises(StudyError, match="no trial 44; the study has 6 trials"):
        ancestors(FAMILY, 44)


def test_a_line_of_thousands_is_followed() -> None:
    chain = [trial(k, *([k - 1] if k else []), value=-float(k)) for k in range(5000)]
    assert len(ancestors(chain, 4999)) == 5000
    assert len(main_line(chain)) == 5000


def test_the_main_line_takes_the_better_parent() -> None:
    assert numbers(main_line(ancestors(FAMILY, 5))) == [1, 3, 5]


def test_changes_name_what_differs_and_dormant_genes() -> None:
    parent, child = trial(0, lr=0.1, kind="a", depth=3), trial(1, 0, lr=0.2, kind="a", width=8)
    assert changes(child, parent) == {"lr": (0.1, 0.2), "depth": (3, None), "width": (None, 8)}
