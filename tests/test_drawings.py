"""The two drawings: bars over months or years, and the tables with their foreign keys."""

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from datasette.app import Datasette
from hypothesis import given
from hypothesis import strategies as st

from dailypapers.publishing.bars import LONGEST, choose_labels, draw_bars, fill_gaps
from dailypapers.publishing.diagram import LONGEST_NAME, TableShape, draw_schema, measure_depths

LABEL = "Papers a month"
HOSTILE = '"><script>alert(1)</script>&'
COUNTS = st.integers(0, 10**9)
PERIODS = st.one_of(
    st.dates().map(lambda day: day.isoformat()[:7]),
    st.integers(0, 9999).map(lambda year: f"{year:04}"),
    st.text(max_size=8),
)


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def read_texts(element: ElementTree.Element, tag: str) -> list[str]:
    return [found.text or "" for found in element.iter(tag)]


def test_months_without_papers_leave_their_place_empty() -> None:
    drawing = parse(draw_bars([("2025-02", 1), ("2024-11", 4), ("2025-01", 1_200)], LABEL))
    assert drawing.get("role") == "img"
    assert drawing.get("aria-label") == (
        "Papers a month from Nov 2024 to Feb 2025, at most 1,200 in Jan 2025"
    )
    assert read_texts(drawing, "title") == [
        "Nov 2024: 4 papers", "Jan 2025: 1,200 papers", "Feb 2025: 1 paper",
    ]  # fmt: skip
    first, second, third = (
        float(str(bar.get("x")).removesuffix("%")) for bar in drawing.iter("rect")
    )
    assert second - first == pytest.approx(2 * (third - second), abs=0.1)
    assert read_texts(drawing, "text") == ["1,200 papers", "Nov 2024", "Feb 2025"]


def test_bars_are_as_high_as_their_counts_but_never_invisible() -> None:
    bars = list(
        parse(draw_bars([("2020", 1), ("2021", 50_000), ("2022", 100_000)], LABEL)).iter("rect")
    )
    low, middle, high = (float(str(bar.get("height"))) for bar in bars)
    assert high == pytest.approx(2 * middle)
    assert 1 <= low < middle
    assert len({float(str(bar.get("y"))) + float(str(bar.get("height"))) for bar in bars}) == 1


def test_one_period_is_summed_up_without_a_range() -> None:
    assert parse(draw_bars([("2025-05", 1)], LABEL)).get("aria-label") == "1 paper in May 2025"


@pytest.mark.parametrize("points", [[], [("2025-01", 0)], [("", 5), ("2025-13", 5), ("soon", 5)]])
def test_nothing_is_drawn_of_nothing(points: list[tuple[str, int]]) -> None:
    assert draw_bars(points, LABEL, "/daily") == ""


def test_a_long_time_is_drawn_by_years() -> None:
    months = [(f"{year}-{month:02}", 2) for year in range(2020, 2026) for month in range(1, 13)]
    assert fill_gaps(months) == months
    assert fill_gaps([*months, ("2026-01", 1)])[-2:] == [("2025", 24), ("2026", 1)]
    assert "Papers a year from 2020 to 2026, at most 24 in 2020" in draw_bars(
        [*months, ("2026-01", 1)], LABEL
    )
    assert fill_gaps([("2024-05", 1), ("2025", 3), ("2024-06", 1)]) == [("2024", 2), ("2025", 3)]


@given(st.lists(st.tuples(PERIODS, COUNTS), max_size=30))
def test_bars_of_any_points_are_few_complete_and_inside(points: list[tuple[str, int]]) -> None:
    filled = fill_gaps(points)
    assert len(filled) <= LONGEST
    assert [period for period, _ in filled] == sorted({period for period, _ in filled})
    if filled:
        shown = {period[:4] for period, _ in filled}
        known = [(p, n) for p, n in points if re.fullmatch("[0-9]{4}(-(0[1-9]|1[0-2]))?", p)]
        assert sum(n for _, n in filled) == sum(n for p, n in known if p[:4] in shown)
        assert max(shown) == max(p[:4] for p, _ in known)
        assert 1 <= len(choose_labels([period for period, _ in filled])) <= 8
    drawing = draw_bars(points, LABEL)
    assert bool(drawing) == any(count for _, count in filled)
    for bar in parse(drawing or "<svg/>").iter("rect"):
        left, width = (float(str(bar.get(name)).removesuffix("%")) for name in ("x", "width"))
        assert 0 <= left < left + width <= 100
        assert 18 <= float(str(bar.get("y"))) < 100


def test_bars_may_be_one_link_and_all_text_is_escaped() -> None:
    link = parse(draw_bars([("2024", 1), ("2025", 1)], HOSTILE, f"/daily?x={HOSTILE}", HOSTILE))
    assert (link.tag, link.get("href")) == ("a", f"/daily?x={HOSTILE}")
    assert {element.tag for element in link.iter()} == {"a", "svg", "text", "rect", "title", "line"}


def make_shape(name: str, *references: str) -> TableShape:
    """A table `name` with a column for each table that it refers to."""
    columns = tuple(f"to_{target}" for target in references)
    return TableShape(
        name,
        href=f"/db/{name}",
        columns=("id", *columns),
        primary_keys=frozenset({"id"}),
        references=tuple(zip(columns, references, strict=True)),
    )


def read_boxes(drawing: ElementTree.Element) -> dict[str, tuple[float, float, float, float]]:
    """Left, top, right and bottom of each table, by the address of its link."""
    boxes = {}
    for table in drawing.iter("g"):
        (rect,), (link,) = table.iter("rect"), table.iter("a")
        x, y, width, height = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
        boxes[link.attrib["href"].rpartition("/")[2]] = (x, y, x + width, y + height)
    return boxes


def follow_path(path: str) -> Iterator[tuple[float, float]]:
    """Points along a path of M, C and H commands."""
    x = y = 0.0
    for command, numbers in re.findall("([MCH])([^MCH]*)", path):
        n = [float(number) for number in numbers.split()]
        if command == "M":
            x, y = n
        elif command == "H":
            yield from ((x + (n[0] - x) * step / 20, y) for step in range(21))
            x = n[0]
        else:
            corners = [(x, y), (n[0], n[1]), (n[2], n[3]), (n[4], n[5])]
            for t in (step / 20 for step in range(21)):
                weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3]
                pairs = list(zip(weights, corners, strict=True))
                yield sum(w * c[0] for w, c in pairs), sum(w * c[1] for w, c in pairs)
            x, y = n[4:]


@st.composite
def schemas(draw: st.DrawFn) -> list[TableShape]:
    """Tables that refer to earlier ones, listed in any order."""
    names = [f"t{number}" for number in range(draw(st.integers(1, 9)))]
    shapes = [
        make_shape(name, *(draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else ()))
        for i, name in enumerate(names)
    ]
    return draw(st.permutations(shapes))


@given(schemas())
def test_tables_stand_apart_and_lines_run_to_the_right_around_them(
    tables: list[TableShape],
) -> None:
    drawing = parse(draw_schema(tables))
    boxes = read_boxes(drawing)
    assert boxes.keys() == {table.name for table in tables}
    for one, other in combinations(boxes.values(), 2):
        apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
        assert apart
    width, height = float(drawing.attrib["width"]), float(drawing.attrib["height"])
    assert all(box[0] > 0 and box[1] > 0 for box in boxes.values())
    assert all(box[2] < width and box[3] < height for box in boxes.values())
    paths = [path.attrib["d"] for path in drawing.iter("path")]
    assert len(paths) == sum(len(table.references) for table in tables)
    for points in (list(follow_path(path)) for path in paths):
        assert all(here[0] <= there[0] for here, there in pairwise(points))
        for x, y in points:
            assert not any(a < x < c and b < y < d for a, b, c, d in boxes.values())


def test_a_line_starts_at_its_column_and_ends_at_the_other_table() -> None:
    drawing = parse(draw_schema([make_shape("papers", "tags"), make_shape("tags")]))
    boxes = read_boxes(drawing)
    (line,) = drawing.iter("path")
    assert read_texts(line, "title") == ["papers.to_tags refers to tags"]
    points = list(follow_path(line.attrib["d"]))
    column = next(text for text in drawing.iter("text") if text.text == "to_tags")
    assert points[0][0] == boxes["papers"][2]
    assert abs(points[0][1] - float(column.attrib["y"])) < 10
    assert points[-1][0] == boxes["tags"][0]
    assert boxes["tags"][1] < points[-1][1] < boxes["tags"][3]


def test_circles_and_missing_tables_are_no_trouble() -> None:
    tables = [make_shape("a", "b", "a"), make_shape("b", "c"), make_shape("c", "a", "gone")]
    assert sorted(measure_depths(tables).values()) == [0, 1, 2]
    drawing = parse(draw_schema(tables))
    width = float(drawing.attrib["width"])
    assert len(list(drawing.iter("path"))) == 4  # all but the one to a table that is not there
    for line in drawing.iter("path"):
        assert all(0 <= x <= width for x, _ in follow_path(line.attrib["d"]))
    assert draw_schema([]) == ""


def test_names_of_tables_are_escaped_and_bounded() -> None:
    drawing = parse(draw_schema([TableShape(HOSTILE, f"/{HOSTILE}", (HOSTILE, "c" * 5_000))]))
    assert next(drawing.iter("a")).get("href") == f"/{HOSTILE}"
    assert HOSTILE in read_texts(drawing, "text")
    assert max(map(len, read_texts(drawing, "text"))) == LONGEST_NAME
    assert float(drawing.attrib["width"]) < 500


async def render(site: Datasette, template: str, **context: Any) -> str:
    return await site.render_template(site.jinja_env.from_string(template), context)


async def test_templates_draw_rows_of_a_query(site: Datasette) -> None:
    sql = "select year, count(*) as papers from papers where year > 2021 group by year"
    rows = [dict(row) for row in await site.get_database("daily").execute(sql)]
    template = '{{ draw_bars(rows, "year", "papers", "Papers a year") }}'
    drawing = parse(await render(site, template, rows=[*rows, {"year": None, "papers": 9}]))
    assert read_texts(drawing, "title") == [
        f"{row['year']}: {row['papers']} paper{'s' if row['papers'] > 1 else ''}" for row in rows
    ]


async def test_the_database_is_drawn_with_all_tables_that_visitors_see(site: Datasette) -> None:
    drawing = parse(await render(site, "{{ draw_schema() }}"))
    assert drawing.get("role") == "group"
    answer = await site.client.get("/daily.json")
    tables = {table["name"]: table for table in answer.json()["tables"]}
    links = {str(link.get("href")) for link in drawing.iter("a")}
    shown = {f"/daily/{name}" for name, table in tables.items() if not table["hidden"]}
    assert links == shown >= {"/daily/papers", "/daily/paper_tags"}
    for href in links:
        assert (await site.client.get(f"{href}.json?_size=1")).status_code == 200
    lines = {str(title) for title in read_texts(drawing, "title")}
    assert {"paper_tags.tag refers to tags", "related_papers.related refers to papers"} <= lines
    assert len(lines) == sum(
        len(table["foreign_keys"]["outgoing"]) for table in tables.values() if not table["hidden"]
    )
    keys = [text.text for text in drawing.iter("text") if text.get("class") == "schema-key"]
    assert keys.count("id") >= 5 and {"paper", "tag", "rank", "url", "authors_count"} <= {*keys}
