"""Counts a month, or a year, as a small bar chart: SVG that needs no script."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from .wording import say_count, say_month, say_number

LONGEST = 72
"""Bars in a chart: more months become years, and of more years the latest remain."""

# Lengths across are percentages and all others pixels: text has its size on every screen.
HEIGHT, TOP, BASE, LABELS = 120, 18, 100, 116
FEWEST_SLOTS = 6  # so that two bars are no walls, and their labels have room
MOST_LABELS = 8
RIM = 8  # percent: a label around a place nearer to the edge would leave a narrow drawing

_PERIOD = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2]))?")

Points = Sequence[tuple[str, int]]


def draw_bars(points: Points, label: str, href: str | None = None, noun: str = "paper") -> Markup:
    """An <svg> of how many `noun`s each period ("2025-06" or "2025") has; "" where none has any.

    Periods may come in any order; those that are no month or year are left out. A `label` as
    "Papers a month" says "a year" where years are drawn. With `href`, the drawing is a link.
    """
    points = fill_gaps(points)
    highest = max((count for _, count in points), default=0)
    if highest <= 0:
        return Markup()
    drawing = Markup(
        '<svg class="bars" role="img" aria-label="{}" width="100%" height="{}" font-size="12">'
        '<text class="axis" fill="currentColor" y="12">{}</text>{}{}{}</svg>'
    ).format(
        _sum_up(points, label, noun),
        HEIGHT,
        say_count(highest, noun),
        Markup("").join(_draw_rects(points, noun, highest)),
        Markup('<line class="axis" stroke="currentColor" x2="100%" y1="{0}.5" y2="{0}.5"/>').format(
            BASE
        ),
        Markup("").join(_draw_labels([period for period, _ in points])),
    )
    return (
        Markup('<a class="bars-link" href="{}">{}</a>').format(href, drawing) if href else drawing
    )


def fill_gaps(points: Points) -> list[tuple[str, int]]:
    """One point for every month from the first to the last, or for every year, oldest first."""
    counts: Counter[str] = Counter()
    for period, count in points:
        if _PERIOD.fullmatch(period):
            counts[period] += count
    if not counts:
        return []
    if all("-" in period for period in counts):
        months = range(_number_month(min(counts)), _number_month(max(counts)) + 1)
        if len(months) <= LONGEST:
            return [(month, counts[month]) for month in map(_write_month, months)]
    years: Counter[int] = Counter()
    for period, count in counts.items():
        years[int(period[:4])] += count
    last = max(years)
    first = max(min(years), last - LONGEST + 1)
    return [(f"{year:04}", years[year]) for year in range(first, last + 1)]


def _number_month(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _write_month(number: int) -> str:
    return f"{number // 12:04}-{number % 12 + 1:02}"


def _sum_up(points: Points, label: str, noun: str) -> str:
    first, last = points[0][0], points[-1][0]
    peak, highest = max(points, key=lambda point: point[1])
    if first == last:
        return f"{say_count(highest, noun)} in {say_month(peak)}"
    if "-" not in first:
        label = label.replace(" a month", " a year")
    return (
        f"{label} from {say_month(first)} to {say_month(last)}, "
        f"at most {say_number(highest)} in {say_month(peak)}"
    )


def _draw_rects(points: Points, noun: str, highest: int) -> Iterator[Markup]:
    """A bar for each period that has any; the others leave their place empty."""
    slot = _size_slot(len(points))
    for index, (period, count) in enumerate(points):
        if count > 0:
            height = max(2, (BASE - TOP) * count / highest)
            yield Markup(
                '<rect class="bar" fill="currentColor" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" '
                'height="{:.1f}"><title>{}: {}</title></rect>'
            ).format(
                (index + 0.1) * slot,
                BASE - height,
                0.8 * slot,
                height,
                say_month(period),
                say_count(count, noun),
            )


def _draw_labels(periods: Sequence[str]) -> Iterator[Markup]:
    slot = _size_slot(len(periods))
    for index, label in choose_labels(periods):
        place, anchor = (index + 0.5) * slot, "middle"
        if place < RIM:
            place, anchor = index * slot, "start"
        elif place > 100 - RIM:
            place, anchor = (index + 1) * slot, "end"
        yield Markup(
            '<text class="axis" fill="currentColor" x="{:.2f}%" y="{}" text-anchor="{}">{}</text>'
        ).format(place, LABELS, anchor, label)


def choose_labels(periods: Sequence[str]) -> list[tuple[int, str]]:
    """The periods written below the bars: round years, or else the first and the last month."""
    if "-" not in periods[0]:
        step = -(-len(periods) // MOST_LABELS)
        return list(enumerate(periods))[::step]
    years = [(i, period[:4]) for i, period in enumerate(periods) if period.endswith("-01")]
    ends = sorted({0, len(periods) - 1})
    return years if len(years) > 1 else [(i, say_month(periods[i])) for i in ends]


def _size_slot(bars: int) -> float:
    """The width of a bar and its share of the gaps, in percent."""
    return 100 / max(bars, FEWEST_SLOTS)
