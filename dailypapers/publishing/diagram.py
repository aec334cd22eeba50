"""A database's tables and foreign keys as a drawing: SVG whose layout is worked out here.

Tables stand in columns, each to the left of all that it refers to. A line that has to pass a
column gets a lane of its own between that column's boxes, so that no line runs through a box.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

from markupsafe import Markup

TITLE, ROW, CHARACTER, PADDING = 26, 19, 7.9, 12  # of a box; 7.9 is monospace at 13 pixels
GAP, GUTTER, MARGIN, LANE = 16, 96, 24, 4  # between boxes, columns, at the rim; a lane's height
LONGEST_NAME = 40
SWEEPS = 8


@dataclass(frozen=True)
class TableShape:
    """What is drawn of a table: `href` is its page, `references` pairs of column and table."""

    name: str
    href: str
    columns: tuple[str, ...]
    primary_keys: frozenset[str] = frozenset()
    references: tuple[tuple[str, str], ...] = ()


@dataclass(eq=False)
class _Block:
    """A table's box or a line's lane; `depth` counts columns from the right."""

    depth: int
    height: float
    width: float = 0
    x: float = 0
    y: float = 0
    neighbours: list["_Block"] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True)
class _Line:
    """A foreign key and the blocks it visits, from its table by way of lanes to the other."""

    shape: TableShape
    column: str
    target: str
    route: tuple[_Block, ...]


def draw_schema(tables: Sequence[TableShape]) -> Markup:
    """An <svg> of the tables, each name a link, at its natural size; "" without tables.

    References to tables that are not among `tables` are not drawn.
    """
    if not tables:
        return Markup()
    depths = measure_depths(tables)
    boxes = {shape.name: _make_box(shape, depths[shape.name]) for shape in tables}
    lines = [
        _Line(shape, column, target, _route_line(boxes[shape.name], boxes[target]))
        for shape in tables
        for column, target in shape.references
        if target in boxes
    ]
    width, height = _place_blocks([*boxes.values()], lines)
    reading = sorted(tables, key=lambda shape: (boxes[shape.name].x, boxes[shape.name].y))
    return Markup(
        '<svg class="schema" role="group" aria-label="Tables and their foreign keys" '
        'viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" '
        'font-family="monospace" font-size="13">{2}{3}</svg>'
    ).format(
        width,
        height,
        Markup("").join(_draw_line(line) for line in lines),
        Markup("").join(_draw_table(shape, boxes[shape.name]) for shape in reading),
    )


def measure_depths(tables: Sequence[TableShape]) -> dict[str, int]:
    """How many references lead on from each table at most; a circle is cut where it closes."""
    shapes = {shape.name: shape for shape in tables}
    depths: dict[str, int] = {}

    def measure(name: str, path: frozenset[str]) -> int:
        if name not in depths:
            others = {target for _, target in shapes[name].references} & shapes.keys()
            following = [measure(other, path | {name}) for other in sorted(others - path - {name})]
            depths[name] = max(following, default=-1) + 1
        return depths[name]

    for name in shapes:
        measure(name, frozenset())
    return depths


def _make_box(shape: TableShape, depth: int) -> _Block:
    longest = max(len(_cut(name)) for name in (shape.name, *shape.columns))
    return _Block(
        depth,
        height=TITLE + ROW * len(shape.columns) + PADDING / 2,
        width=round(longest * CHARACTER) + 2 * PADDING,
    )


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _route_line(source: _Block, target: _Block) -> tuple[_Block, ...]:
    lanes = [_Block(depth, LANE) for depth in range(source.depth - 1, target.depth, -1)]
    route = (source, *lanes, target)
    for block, following in pairwise(route):
        block.neighbours.append(following)
        following.neighbours.append(block)
    return route


def _place_blocks(boxes: Sequence[_Block], lines: Sequence[_Line]) -> tuple[float, float]:
    """Give all blocks their places; the drawing's width and height."""
    lanes = [block for line in lines for block in line.route[1:-1]]
    layers: list[list[_Block]] = [[] for _ in range(max(box.depth for box in boxes) + 1)]
    for block in [*boxes, *lanes]:
        layers[-1 - block.depth].append(block)
    _order_layers(layers)
    top = min(layer[0].y for layer in layers) - MARGIN
    x: float = MARGIN
    for layer in layers:
        width = max(block.width for block in layer)
        for block in layer:
            block.x, block.width, block.y = x, width, block.y - top
        x += width + GUTTER
    return x - GUTTER + MARGIN, max(layer[-1].y + layer[-1].height for layer in layers) + MARGIN


def _order_layers(layers: Sequence[list[_Block]]) -> None:
    """Bring blocks level with their neighbours, so that few lines cross."""
    for layer in layers:
        _stack(layer)
    for _ in range(SWEEPS):
        for layer in [*layers, *reversed(layers)]:
            layer.sort(
                key=lambda block: fmean(other.middle for other in block.neighbours or [block])
            )
            _stack(layer)


def _stack(layer: Sequence[_Block]) -> None:
    """Place blocks one below the other around 0."""
    y = -(sum(block.height for block in layer) + GAP * (len(layer) - 1)) / 2
    for block in layer:
        block.y = y
        y += block.height + GAP


def _draw_line(line: _Line) -> Markup:
    source, *lanes, target = line.route
    row = source.y + TITLE + ROW * (line.shape.columns.index(line.column) + 0.5)
    end = target.y + TITLE / 2
    if source.depth < target.depth:  # closes a circle: back to the left
        path = _draw_curve(source.x, row, target.x + target.width, end)
    elif source.depth == target.depth:  # refers to its own table
        x = source.x + source.width
        path = f"M{x} {row:.1f}C{x + MARGIN} {row:.1f} {x + MARGIN} {end:.1f} {x} {end:.1f}"
    else:
        x, y, path = source.x + source.width, row, ""
        for lane in lanes:
            path += _draw_curve(x, y, lane.x, lane.middle)
            x, y = lane.x + lane.width, lane.middle
            path += f"H{x}"
        path += _draw_curve(x, y, target.x, end)
    return Markup(
        '<path class="schema-line" fill="none" stroke="currentColor" d="{}">'
        "<title>{}.{} refers to {}</title></path>"
    ).format(path, line.shape.name, line.column, line.target)


def _draw_curve(x: float, y: float, to_x: float, to_y: float) -> str:
    half = (x + to_x) / 2
    return f"M{x} {y:.1f}C{half} {y:.1f} {half} {to_y:.1f} {to_x} {to_y:.1f}"


def _draw_table(shape: TableShape, box: _Block) -> Markup:
    return Markup(
        '<g class="schema-table"><rect fill="none" stroke="currentColor" rx="4" '
        'x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>'
        '<a href="{}"><text font-weight="bold" x="{}" y="{:.1f}">{}</text></a>{}</g>'
    ).format(
        box.x,
        box.y,
        box.width,
        box.height,
        shape.href,
        box.x + PADDING,
        box.y + 18,
        _cut(shape.name),
        Markup("").join(_draw_columns(shape, box)),
    )


def _draw_columns(shape: TableShape, box: _Block) -> Iterator[Markup]:
    for index, column in enumerate(shape.columns):
        key = Markup(' class="schema-key" text-decoration="underline"')
        yield Markup('<text fill="currentColor"{} x="{}" y="{:.1f}">{}</text>').format(
            key if column in shape.primary_keys else "",
            box.x + PADDING,
            box.y + TITLE + ROW * (index + 0.5) + 4.5,
            _cut(column),
        )
