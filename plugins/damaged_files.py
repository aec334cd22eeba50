"""A damaged database is said in one line when the site starts, and not in its pages."""

from pathlib import Path

import click
from datasette import hookimpl
from datasette.app import Datasette

from dailypapers.publishing.damage import find_damage


@hookimpl(tryfirst=True)
def startup(datasette: Datasette) -> None:
    """Look at the files before any other plugin asks them. Raises click.ClickException."""
    for db in datasette.databases.values():
        if db.path and not db.is_memory and not db.is_mutable:
            damage = find_damage(Path(db.path))
            if damage:
                raise click.ClickException(
                    f"{db.path} {damage}; build it again with build.py or make db"
                )
