import pytest

from evotune.printing import layer_text, layers_text, number

CONV = {"block": "conv", "filters": 32, "kernel": 3}


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"block": "pool"}, "pool"),
        (CONV, "conv 32·3"),
        (CONV | {"activation": "relu", "norm": True}, "conv 32·3 relu norm"),
        (CONV | {"norm": False, "skip": None}, "conv 32·3 None"),
        ({"block": "dense", "units": 64, "dropout": 0.123456}, "dense 64·0.1235"),
    ],
)
def test_a_layer_in_short(layer, text):
    assert layer_text(layer) == text


def test_layers_on_one_line_with_equal_ones_counted():
    pool = {"block": "pool"}
    assert layers_text([CONV, CONV, pool, CONV]) == "2 × conv 32·3 → pool → conv 32·3"
    assert layers_text([]) == "no layer"
    assert number([CONV, pool]) == "conv 32·3 → pool"


def test_other_lists_stay_as_they_are():
    assert number([1, 2]) == "[1, 2]"
    assert number((3, 3)) == "(3, 3)"
