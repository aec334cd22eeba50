"""`static_url("site.css")` for templates: an address that a browser may keep for ever."""

from pathlib import Path

from datasette import hookimpl
from datasette.app import Datasette
from jinja2 import Environment

from dailypapers.publishing.static_files import hash_folder

STATIC = Path(__file__).resolve().parent.parent / "static"


@hookimpl
def prepare_jinja2_environment(env: Environment, datasette: Datasette) -> None:
    """`static_url(name)`; a file that is not there gets an address without hash.

    A global, as Datasette gives its error pages no extra_template_vars.
    """

    def static_url(name: str) -> str:
        version = hash_folder(STATIC).get(name)
        return str(datasette.urls.path(f"/static/{name}")) + (f"?{version}" if version else "")

    env.globals["static_url"] = static_url
