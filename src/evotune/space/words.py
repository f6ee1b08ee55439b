"""A space in words: as code on one line, and as a table for notebooks."""

from collections.abc import Callable, Mapping
from typing import Any

from evotune.printing import html_table, number, shorten

#: A gene, a chain or a schedule, as `Space.to_json` describes it.
Made = Mapping[str, Any]

#: Further options are left out.
_OPTIONS_AT_MOST = 30
_VALUES = ("type", "low", "high", "min", "max", "value", "values", "blocks", "when")


def code(made: Made) -> str:
    """Return a gene about as one writes it, with its numbers rounded."""
    if "domain" in made:
        return f"Scheduled({code(made['domain'])}, {_scheduled(made, repr)})"
    ends = ("low", "high", "min", "max", "value")
    parts = [number(made[name]) for name in ends if name in made]
    parts += [repr(value) for value in made.get("values", ())]
    for name, settings in made.get("blocks", {}).items():
        inside = ", ".join(f"{key}={code(each)}" for key, each in settings.items())
        parts.append(f"{name}=dict({inside})")
    parts += [f"{name}={number(value)}" for name, value in _options(made).items()]
    parts += [f"when={dict(when)}" for when in _given(made, "when")]
    return f"{str(made['type']).capitalize()}({', '.join(parts)})"


def table(genes: Mapping[str, Made]) -> str:
    """Return a space as HTML: a row for each gene, chain or schedule."""
    rows = [
        (name, made["type"], _values(made), _conditions(_of_values(made).get("when", {})))
        for name, made in genes.items()
    ]
    width = 4 if any("when" in _of_values(made) for made in genes.values()) else 3
    head = ("gene", "kind", "values", "active when")
    return html_table(head[:width], [row[:width] for row in rows])


def _of_values(made: Made) -> Made:
    """Return the domain of a schedule's values; any other gene as it is."""
    found: Made = made.get("domain", made)
    return found


def _scheduled(made: Made, shown: Callable[[Any], str]) -> str:
    """Return the settings of a schedule besides its domain."""
    knots = [f"knots={made['knots']}"] if "piecewise" in made["shapes"] else []
    parts = [f"shapes={shown(tuple(made['shapes']))}", *knots, f"warmup={number(made['warmup'])}"]
    return ", ".join(parts)


def _given(made: Made, name: str) -> list[Any]:
    """Return a setting in a list, or an empty list where there is none."""
    return [made[name]] if name in made else []


def _options(made: Made) -> dict[str, Any]:
    """Return the settings of a gene other than its values, as far as they were chosen."""
    return {k: v for k, v in made.items() if k not in _VALUES and v is not None and v is not False}


def _values(made: Made) -> str:
    parts: list[str] = []
    if "domain" in made:
        return f"{_values(made['domain'])}, {_scheduled(made, ' or '.join)}"
    if "blocks" in made:
        layers = map(_block, made["blocks"], made["blocks"].values())
        parts.append(f"{made['min']} to {made['max']} layers: {', '.join(layers)}")
    elif "high" in made:
        parts.append(f"{number(made['low'])} to {number(made['high'])}")
    parts += map(number, _given(made, "value"))
    listed = list(made.get("values", ()))
    parts += [shorten(value, 40) for value in listed[:_OPTIONS_AT_MOST]]
    parts += ["…"] * (len(listed) > _OPTIONS_AT_MOST)
    parts += [k if v is True else f"{k} {number(v)}" for k, v in _options(made).items()]
    return ", ".join(parts)


def _block(name: str, settings: Mapping[str, Made]) -> str:
    inside = "; ".join(f"{key} {_values(each)}" for key, each in settings.items())
    return f"{name} ({inside})" if inside else name


def _conditions(when: Mapping[str, Any]) -> str:
    parts = []
    for name, allowed in when.items():
        if isinstance(allowed, Mapping):
            ends = [f"from {number(end)}" for end in _given(allowed, "low")]
            ends += [f"up to {number(end)}" for end in _given(allowed, "high")]
            parts.append(f"{name} is {' '.join(ends)}")
        else:
            parts.append(f"{name} is {' or '.join(map(str, allowed))}")
    return ", ".join(parts)
