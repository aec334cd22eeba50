"""A `_shape` that an answer cannot take is refused. Datasette 0.65 answers 200 with an error inside
it, or 500."""

from collections.abc import Mapping
from typing import Any

from datasette import hookimpl
from datasette.renderer import json_renderer
from datasette.utils import MultiParams
from datasette.utils.asgi import BadRequest, Response

from dailypapers.publishing.parameters import find_shape_fault


@hookimpl
def register_output_renderer() -> dict[str, Any]:
    """Take the place of Datasette's own JSON."""
    return {"extension": "json", "render": render_json}


def render_json(args: MultiParams, data: Mapping[str, Any], view_name: str) -> Response:
    """Datasette's JSON, after a look at the shape."""
    if fault := find_shape_fault(args.get("_shape"), data):
        raise BadRequest(fault)
    return json_renderer(args, data, view_name)
