"""What runs of two methods allow to say."""

import pytest
from scipy import stats

from evotune.analysis.comparison import Comparison
from evotune.analysis.statistics import paired, unpaired
from evotune.errors import StudyError


def comparison(a, b, *, direction="max", are_paired=True) -> Comparison:
    return Comparison("accuracy", direction, {"ours": a, "theirs": b}, are_paired, {"ours": 10})


def test_pairs_are_compared_by_their_gaps():
    a, b = [1.0, 2.0, 3.5, 4.0], [0.5, 1.0, 3.0, 4.5]
    found = paired(a, b)
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    interval = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(sum(gaps) / 4)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(stats.wilcoxon(gaps).pvalue)
    assert (found.larger, found.smaller, found.pairs) == (3, 1, 4)


def test_independent_runs_are_compared_by_welchs_interval():
    a, b = [1.0, 2.0, 3.5], [0.5, 1.0, 3.0, 4.5]
    found = unpaired(a, b)
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.larger, found.smaller, found.pairs) == (6, 5, 12)


def test_equal_runs_say_nothing():
    assert paired([1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert unpaired([1.0, 1.0], [1.0, 1.0]).sign == 0


@pytest.mark.parametrize(("direction", "word"), [("max", "better"), ("min", "worse")])
def test_the_verdict_follows_the_direction(direction, word):
    a = tuple(0.9 + k / 1000 for k in range(8))
    b = tuple(0.8 + k / 900 for k in range(8))
    assert f"ours is {word} than theirs" in str(comparison(a, b, direction=direction))


def test_few_runs_do_not_prove():
    a, b = (0.9, 0.91, 0.92, 0.9), (0.8, 0.81, 0.82, 0.79)
    assert "cannot be told apart" in comparison(a, b).verdict("theirs")
    assert "cannot be told apart" in comparison(a, (0.9, 0.93, 0.88, 0.91)).verdict("theirs")


@pytest.mark.parametrize(("direction", "gain"), [("max", "+0.1"), ("min", "-0.1")])
def test_the_verdict_says_which_is_higher(direction, gain):
    a, b = (0.9, 0.91, 0.92), (0.8, 0.81, 0.82)
    said = comparison(a, b, direction=direction).verdict("theirs")
    assert "the accuracy of ours is 0.1 higher on average" in said
    assert f"gain {gain}" in said


def test_arms_that_do_not_exist_and_single_runs_are_refused():
    with pytest.raises(StudyError, match=r"'third' to compare ours with; there are theirs"):
        comparison((1.0, 2.0), (1.0, 2.0)).against("third")
    with pytest.raises(StudyError, match="two or more"):
        comparison((1.0,), (1.0,)).against("theirs")
    with pytest.raises(StudyError, match="two or more"):
        comparison((1.0,), (1.0,), are_paired=False).against("theirs")


def test_wilcoxon_is_exact():
    assert paired([2.0, 3.0, 4.0, 5.0, 6.0], [1.0] * 5).p == pytest.approx(2 / 2**5)


def test_the_test_decides_and_one_run_astray_does_not():
    a, b = tuple(0.9 + k / 100 for k in range(8)), (0.89,) * 7 + (0.1,)
    found = comparison(a, b).against("theirs")
    assert found.low < 0 < found.mean
    assert found.sign == 1
    assert comparison(b, a).against("theirs").sign == -1
    assert "ours is better than theirs" in comparison(a, b).verdict("theirs")
    assert paired([1.0, 1.1, 1.2], [0.0, 0.0, 0.1]).sign == 0  # three pairs cannot prove it


def test_the_verdict_names_the_test_and_the_interval():
    a, b = tuple(0.9 + k / 1000 for k in range(8)), tuple(0.8 + k / 900 for k in range(8))
    said = comparison(a, b).verdict("theirs")
    assert "(Wilcoxon signed-rank test, p = 0.008, 8 runs, paired by seed)" in said
    assert "Student's 95 % interval" in said
    said = comparison(a, b, are_paired=False).verdict("theirs")
    assert "(Mann-Whitney test, p < 0.001, 8 independent runs)" in said
    assert "Welch's 95 % interval" in said
    assert said.endswith(").")


def test_the_verdict_says_what_so_few_runs_cannot_prove():
    a, b = (0.9, 0.91, 0.92, 0.93, 0.94), (0.1, 0.11, 0.12, 0.13, 0.14)
    few = "cannot prove a difference at 5 % by this test, however large: that takes"
    said = comparison(a[:3], b[:3], are_paired=False).verdict("theirs")
    assert f"3 runs {few} 4 of each" in said
    assert few not in comparison(a[:4], b[:4], are_paired=False).verdict("theirs")
    assert f"3 and 2 runs {few} 4 of each" in (
        comparison(a[:3], b[:2], are_paired=False).verdict("theirs")
    )
    assert f"5 runs {few} 6 of each" in comparison(a, b).verdict("theirs")


def test_the_verdict_explains_an_interval_that_says_otherwise():
    a, b = tuple(0.9 + k / 100 for k in range(8)), (0.89,) * 7 + (0.1,)
    explained = "The test, which compares ranks, decides"
    assert explained in comparison(a, b, are_paired=False).verdict("theirs")
    assert explained not in comparison(a, (*b[:7], 0.88), are_paired=False).verdict("theirs")
    a, b = (0.0,) * 7 + (9.0,), tuple(0.1 + k / 100 for k in range(8))
    said = comparison(a, b, are_paired=False).verdict("theirs")
    assert "cannot be told apart" in said
    assert "The ranks differ, but in the other direction than the means" in said


def test_several_verdicts_are_corrected_as_more_of_them_err():
    ours = tuple(0.9 + k / 1000 for k in range(4))
    arms = {"ours": ours, "near": (0.88, 0.89, 0.885, 0.899), "far": (0.1, 0.2, 0.3, 0.4)}
    one = Comparison("accuracy", "max", {"ours": ours, "far": arms["far"]}, False, {})
    both = Comparison("accuracy", "max", arms, False, {})
    assert one.against("far").p == pytest.approx(2 / 70)
    assert both.against("far").p == pytest.approx(4 / 70)
    assert both.against("far").mean == one.against("far").mean
    said = both.verdict("far")
    assert "4 independent runs, corrected for 2 comparisons" in said
    assert "4 runs cannot prove a difference" in said
    assert "that takes 5 of each" in said
    assert "corrected" not in one.verdict("far")
