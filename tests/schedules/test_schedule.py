import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotune.errors import ScheduleError
from evotune.schedules.schedule import Schedule, Segment
from evotune.trial import Checkpoint, Trial


def schedule(**options):
    """Ten epochs; ``momentum`` is dormant in the middle ones."""
    segments = (
        Segment(4, {"lr": 0.1, "momentum": 0.9, "policy": "crop"}, {"accuracy": 0.5}),
        Segment(1, {"lr": 0.01, "policy": "flip"}, {"accuracy": 0.75}),
        Segment(5, {"lr": 0.001, "momentum": 0.5, "policy": "flip"}, {"accuracy": 0.9}),
    )
    return Schedule(segments, **({"study": "lenet", "trial": 7, "log": ("lr",)} | options))


def trial(number, params, **fields):
    return Trial(number, params, params, state="done", values=(0.0,), **fields)


# -- epochs -----------------------------------------------------------------------------------


def test_each_epoch_has_its_params():
    rates = [params["lr"] for params in schedule()]
    assert rates == [0.1] * 4 + [0.01] + [0.001] * 5
    assert len(schedule()) == 10
    assert [schedule()[epoch]["lr"] for epoch in range(10)] == rates


def test_a_dormant_gene_is_absent_and_still_named():
    assert "momentum" not in schedule()[4]
    assert schedule().names == ("lr", "momentum", "policy")


def test_beyond_the_end_the_last_params_stay():
    assert schedule()[9] == schedule()[10] == schedule()[1000]


@pytest.mark.parametrize("epoch", [-1, 1.5, "2", True, None])
def test_an_epoch_that_is_none_is_refused(epoch):
    with pytest.raises(ScheduleError, match="whole number from 0 up"):
        schedule()[epoch]


def test_changing_what_was_read_changes_no_schedule():
    mine = schedule()
    mine[0]["lr"] = 5.0
    mine.constant["lr"] = 5.0
    assert mine == schedule()


def test_constant_is_what_was_held_for_most_epochs_in_total():
    a, b = {"lr": 0.1}, {"lr": 0.2}
    assert Schedule((Segment(3, a), Segment(4, b), Segment(2, a))).constant == a
    assert Schedule((Segment(3, a), Segment(4, b))).constant == b


def test_of_settings_held_equally_long_the_last_is_constant():
    assert Schedule((Segment(3, {"lr": 0.1}), Segment(3, {"lr": 0.2}))).constant == {"lr": 0.2}


@pytest.mark.parametrize(
    ("epochs", "params", "metrics"),
    [
        (0, {}, {}),
        (1.5, {}, {}),
        (True, {}, {}),
        ("3", {}, {}),
        (3, [1], {}),
        (3, {1: 2}, {}),
        (3, {}, {"accuracy": "high"}),
    ],
)
def test_a_bad_segment_is_refused(epochs, params, metrics):
    with pytest.raises(ScheduleError, match="segment"):
        Segment(epochs, params, metrics)


def test_a_schedule_needs_a_segment():
    with pytest.raises(ScheduleError, match="at least one segment"):
        Schedule(())


# -- a line of trials -------------------------------------------------------------------------


def test_a_line_of_trials_becomes_one_segment_each():
    line = [
        trial(2, {"lr": 0.1}, budget=4.0, metrics={"accuracy": 0.5, "train_seconds": 3.0}),
        trial(9, {"lr": 0.2}, budget=0.0),
        trial(12, {"lr": 0.3}, budget=2.0, metrics={"accuracy": 0.6, "loss": math.inf}),
    ]
    space = {"lr": {"type": "float", "log": True}, "layers": {"type": "int"}}
    assert Schedule.from_line(line, space, study="lenet") == Schedule(
        (Segment(4, {"lr": 0.1}, {"accuracy": 0.5}), Segment(2, {"lr": 0.3}, {"accuracy": 0.6})),
        study="lenet",
        trial=12,
        log=("lr",),
    )


def test_only_the_wanted_metrics_are_taken_along():
    line = [trial(0, {}, budget=1, metrics={"accuracy": 0.5, "train_seconds": 3.0})]
    assert Schedule.from_line(line, metrics=["train_seconds"]).segments[0].metrics == {
        "train_seconds": 3.0
    }


def test_without_a_budget_the_checkpoints_tell_the_epochs():
    line = [
        trial(0, {"lr": 1.0}, checkpoint=Checkpoint(epochs=3, size=1)),
        trial(1, {"lr": 2.0}, checkpoint=Checkpoint(epochs=8, size=1)),
    ]
    assert [part.epochs for part in Schedule.from_line(line).segments] == [3, 5]


def test_a_trial_that_was_stopped_early_counts_what_it_trained():
    stopped = Trial(3, {}, {}, state="stopped", budget=9, checkpoint=Checkpoint(epochs=7, size=1))
    line = [trial(0, {}, budget=5), stopped]
    assert [part.epochs for part in Schedule.from_line(line).segments] == [5, 2]


@pytest.mark.parametrize("fields", [{}, {"budget": 2.5}, {"budget": -1}, {"budget": math.inf}])
def test_a_trial_without_whole_epochs_is_refused(fields):
    with pytest.raises(ScheduleError, match="trial 4 does not tell how many epochs"):
        Schedule.from_line([trial(4, {}, **fields)])


def test_a_line_without_trials_is_refused():
    with pytest.raises(ScheduleError, match="at least one segment"):
        Schedule.from_line([])


# -- another length ---------------------------------------------------------------------------


def test_stretched_keeps_the_relative_times():
    assert [part.epochs for part in schedule().stretched(20).segments] == [8, 2, 10]
    short = schedule().stretched(2)
    assert [params["lr"] for params in short] == [0.1, 0.001]
    assert short.study == "lenet"
    assert short.log == ("lr",)


lengths = st.integers(1, 60)


@given(st.lists(lengths, min_size=1, max_size=8), st.integers(1, 200))
def test_stretched_has_exactly_the_epochs_asked_for(parts, epochs):
    found = Schedule(tuple(Segment(n, {"gene": i}) for i, n in enumerate(parts))).stretched(epochs)
    assert len(found) == epochs
    order = [params["gene"] for params in found]
    assert order == sorted(order)


@given(st.lists(lengths, min_size=1, max_size=8), st.integers(1, 200))
def test_stretched_takes_each_epoch_from_the_same_relative_time(parts, epochs):
    old = Schedule(tuple(Segment(n, {"gene": i}) for i, n in enumerate(parts)))
    middle = [(2 * epoch + 1) * len(old) // (2 * epochs) for epoch in range(epochs)]
    assert list(old.stretched(epochs)) == [old[epoch] for epoch in middle]


@given(st.lists(lengths, min_size=1, max_size=8))
def test_stretched_to_its_own_length_is_the_same(parts):
    old = Schedule(tuple(Segment(n, {"gene": i}) for i, n in enumerate(parts)))
    assert old.stretched(len(old)) == old


@pytest.mark.parametrize("epochs", [0, -3, 2.5])
def test_stretched_to_no_length_is_refused(epochs):
    with pytest.raises(ScheduleError, match="from 1 up"):
        schedule().stretched(epochs)


# -- files ------------------------------------------------------------------------------------


def test_a_saved_schedule_is_read_back(tmp_path):
    path = schedule().save(tmp_path / "new" / "schedule.json")
    assert Schedule.load(path) == schedule()
    assert Schedule.from_json(json.loads(path.read_text())) == schedule()
    assert Schedule.from_json(schedule().to_json()) == schedule()


def test_a_file_has_one_line_a_segment(tmp_path):
    lines = schedule().save(tmp_path / "schedule.json").read_text().splitlines()
    assert sum('"epochs"' in line for line in lines) == 3
    assert '    {"epochs": 1, "params": {"lr": 0.01, "policy": "flip"}, ' in "\n".join(lines)


def test_a_file_written_by_hand_needs_little(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"evotune_schedule": 1, "segments": [{"epochs": 2, "params": {"lr": 1}}]}')
    assert Schedule.load(path) == Schedule((Segment(2, {"lr": 1}),))


def test_saving_leaves_nothing_else_and_a_failure_leaves_the_old_file(tmp_path):
    path = schedule().save(tmp_path / "schedule.json")
    for bad in (math.nan, object()):
        with pytest.raises(ScheduleError, match="cannot be written as JSON"):
            Schedule((Segment(1, {"lr": bad}),)).save(path)
    assert Schedule.load(path) == schedule()
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ScheduleError, match=r"cannot write .*schedule\.json"):
        schedule().save(tmp_path / "file" / "schedule.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ("[]", 'lacks the key "evotune_schedule"'),
        ('{"segments": []}', 'lacks the key "evotune_schedule"'),
        ('{"evotune_schedule": 2, "segments": []}', "version is 2, this evotune reads 1"),
        ('{"evotune_schedule": 1}', "needs 'segments'"),
        ('{"evotune_schedule": 1, "segments": {}}', "segments must be a list"),
        ('{"evotune_schedule": 1, "segments": []}', "at least one segment"),
        ('{"evotune_schedule": 1, "segments": [], "log": "lr"}', "log must be a list"),
        ('{"evotune_schedule": 1, "segment": []}', "did you mean 'segments'"),
        ('{"evotune_schedule": 1, "segments": [4]}', "segment 0 must be such as"),
        ('{"evotune_schedule": 1, "segments": [{"epochs": 1}]}', "segment 0 needs 'params'"),
        (
            '{"evotune_schedule": 1, "segments": [{"epoch": 1, "params": {}}]}',
            "segment 0 has no 'epoch'.*did you mean 'epochs'",
        ),
        (
            '{"evotune_schedule": 1, "segments": [{"epochs": 0, "params": {}}]}',
            "from 1 up, got 0",
        ),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, text, says):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ScheduleError, match=rf"(?s)cannot read .*bad\.json.*{says}"):
        Schedule.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScheduleError, match=r"none\.json'?: No such file"):
        Schedule.load(tmp_path / "none.json")


# -- for people -------------------------------------------------------------------------------


def test_the_table_has_a_row_a_segment():
    rows = [row.split() for row in str(schedule()).splitlines()]
    assert rows == [
        ["epochs", "lr", "momentum", "policy", "accuracy"],
        ["0-3", "0.1", "0.9", "crop", "0.5"],
        ["4", "0.01", "-", "flip", "0.75"],
        ["5-9", "0.001", "0.5", "flip", "0.9"],
    ]


def test_the_figure_has_a_panel_a_gene_with_steps_and_gaps():
    figure = schedule().plot()
    lines = {line.name: line for line in figure.data}
    assert list(lines) == ["lr", "momentum", "policy"]
    assert list(lines["lr"].x) == [0, 4, 4, 5, 5, 10]
    assert list(lines["lr"].y) == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert list(lines["momentum"].y) == [0.9, 0.9, None, None, 0.5, 0.5]
    axes = [figure.layout.yaxis, figure.layout.yaxis2, figure.layout.yaxis3]
    assert [axis.type for axis in axes] == ["log", "linear", "category"]
    assert "lenet" in figure.layout.title.text


def test_the_figure_is_written_when_a_path_is_given(tmp_path):
    schedule().plot(tmp_path / "figure.html")
    assert "momentum" in (tmp_path / "figure.html").read_text()


# -- of params --------------------------------------------------------------------------------


def rates(epochs, **record):
    return [params["lr"] for params in Schedule.of({"lr": record}, epochs=epochs)]


def test_a_constant_stays_after_its_warm_up_from_a_tenth():
    assert rates(3, shape="constant", start=0.1) == [0.1] * 3
    found = rates(10, shape="constant", start=1.0, warmup=0.2)
    assert found == pytest.approx([0.325, 0.775] + [1.0] * 8)  # 0.1 + 0.9·(t + ½)/2


def test_a_cosine_falls_from_the_start_to_the_end():
    found = rates(4, shape="cosine", start=1.0, end=0.2)
    expected = [0.2 + 0.8 * (1 + math.cos(math.pi * (t + 0.5) / 4)) / 2 for t in range(4)]
    assert found == pytest.approx(expected)
    assert rates(4, shape="cosine", start=2.0, end_share=0.1) == pytest.approx(
        [2 * (value - 0.2) / 0.8 * 0.9 + 0.2 for value in expected]
    )


def test_an_exponential_falls_by_the_same_factor_each_epoch():
    found = rates(5, shape="exponential", start=1.0, end=1e-5)
    assert found == pytest.approx([10 ** -(t + 0.5) for t in range(5)])


def test_a_piecewise_schedule_goes_through_its_knots():
    found = rates(4, shape="piecewise", start=0.0, knot1=1.0, knot2=0.5)
    assert found == pytest.approx([0.25, 0.75, 0.875, 0.625])
    assert rates(2, shape="piecewise", start=1.0, knot1=0.0) == pytest.approx([0.75, 0.25])


def test_the_shape_begins_where_the_warm_up_ends():
    found = rates(10, shape="cosine", start=1.0, end=0.0, warmup=0.5)
    assert found[:5] == pytest.approx([0.1 + 0.9 * (t + 0.5) / 5 for t in range(5)])
    assert found[5:] == pytest.approx(rates(5, shape="cosine", start=1.0, end=0.0))


def test_whole_numbers_stay_whole():
    found = rates(4, shape="piecewise", start=1, knot1=9)
    assert found == [2, 4, 6, 8]
    assert all(type(value) is int for value in found)


def test_other_params_stay_in_every_epoch():
    made = Schedule.of({"lr": {"shape": "constant", "start": 0.1}, "width": 8}, epochs=3)
    assert list(made) == [{"lr": 0.1, "width": 8}] * 3
    assert Schedule.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"start": 0.1}, "'lr' needs a shape, one of constant"),
        ({"shape": "line", "start": 0.1}, "needs a shape"),
        ({"shape": "cosine", "start": 0.1}, "'end' is missing"),
        ({"shape": "cosine", "start": 0.1, "end": 1, "end_share": 1}, "'end' is none of these"),
        ({"shape": "piecewise", "start": 0.1}, "'knot1' is missing"),
        ({"shape": "piecewise", "start": 0.1, "knot2": 1}, "'knot1' is missing"),
        ({"shape": "constant", "start": 0.1, "knot1": 1}, "'knot1' is none of these"),
        ({"shape": "constant", "start": "a"}, "start must be a finite number"),
        ({"shape": "constant", "start": 0.1, "warmup": 1}, r"warmup lies in \[0, 1\), got 1"),
        ({"shape": "exponential", "start": 0.1, "end": 0}, "lie above 0"),
    ],
)
def test_a_record_that_is_not_complete_is_refused(record, words):
    with pytest.raises(ScheduleError, match=words):
        Schedule.of({"lr": record}, epochs=3)


@pytest.mark.parametrize("epochs", [0, -1, 1.5, None, "3"])
def test_a_length_that_is_none_is_refused(epochs):
    with pytest.raises(ScheduleError, match="whole number of epochs from 1 up"):
        Schedule.of({"lr": 0.1}, epochs=epochs)


def test_params_that_are_none_are_refused():
    with pytest.raises(ScheduleError, match="params map names to values"):
        Schedule.of(0.1, epochs=3)


def test_a_line_of_trials_that_have_schedules_says_what_to_write():
    record = {"shape": "constant", "start": 0.1}
    with pytest.raises(ScheduleError, match=r"write Schedule.of\(study.best.params, epochs="):
        Schedule.from_line([trial(3, {"lr": record}, budget=2.0)])
