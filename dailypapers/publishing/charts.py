"""What a chart's address says of it, as datasette-vega writes and reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl

Row = dict[str, Any]


@dataclass(frozen=True)
class Axes:
    """Which columns a chart draws: `label` names its marks, `value` is their length."""

    label: str
    value: str
    color: str | None = None


def read_axes(fragment: str) -> Axes:
    """The columns of "g.mark=bar&g.x_column=month&…"; KeyError where it names too few."""
    settings = dict(parse_qsl(fragment))
    label, value = settings["g.x_column"], settings["g.y_column"]
    if settings.get("g.y_type") in ("nominal", "ordinal"):
        label, value = value, label
    return Axes(label, value, settings.get("g.color_column"))


def split_by_color(rows: Sequence[Row], axes: Axes) -> list[tuple[str, list[Row]]]:
    """The rows of each colour in their order, the colours with the highest sums first."""
    color = itemgetter(axes.color)
    split = [(str(name), list(same)) for name, same in groupby(sorted(rows, key=color), color)]
    return sorted(split, key=lambda part: -sum(row[axes.value] or 0 for row in part[1]))
