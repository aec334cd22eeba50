"""The facet "tag" of the papers page: tags with their names and counts, from paper_tags.

Datasette's own facet of a JSON array times out at 100,000 papers.
"""

import asyncio
import json

from datasette import hookimpl
from datasette.database import QueryInterrupted
from datasette.facets import Facet
from datasette.utils import path_with_removed_args

from dailypapers.publishing import facets
from dailypapers.publishing.facets import Row
from dailypapers.publishing.list_loading import asked_for


class TagFacet(Facet):  # type: ignore[misc]  # Datasette has no types
    """`facets: [{tag: tags}]` in metadata.yml, `?_facet_tag=tags` in an address."""

    type = "tag"

    async def facet_results(self) -> tuple[list[Row], list[str]]:
        """Datasette's form of results: the facets, and the names of those that took too long."""
        configs = self.get_configs()
        if (self.database, self.table) != ("daily", "papers") or not configs:
            return [], []
        size = self.get_facet_size()
        try:
            rows = await self._count(size + 1)
        except QueryInterrupted:
            return [], ["tags"]
        facet = {
            "name": "tags",
            "type": self.type,
            "hideable": all(config["source"] != "metadata" for config in configs),
            "toggle_url": self.ds.urls.path(
                path_with_removed_args(self.request, {"_facet_tag": "tags"})
            ),
            "results": [self._make_result(row) for row in rows[:size]],
            "truncated": len(rows) > size,
        }
        return [facet], []

    async def _count(self, limit: int) -> list[Row]:
        db = self.ds.get_database(self.database)
        total = (db.cached_table_counts or {}).get(self.table)
        # The SQL of a later page leaves out the papers before it; the number of rows does not.
        everything = " where " not in self.sql or (total and self.row_count == total)
        papers = asked_for.get()
        if papers and not everything:
            counted = json.dumps(await asyncio.to_thread(papers.count_tags, limit))
            return [dict(row) for row in await db.execute(facets.NAME_TAGS, {"counted": counted})]
        ids = f"select id from ({self.sql})"  # noqa: S608  # Datasette's, with parameters
        results = await db.execute(
            facets.STORED_TAGS if everything else facets.count_tags(ids),
            {**dict(self.params), "tag_limit": limit},
            custom_time_limit=self.ds.setting("facet_time_limit_ms"),
        )
        return [dict(row) for row in results]

    def _make_result(self, row: Row) -> Row:
        pairs = self.get_querystring_pairs()
        own = [("_tag", row["id"]), ("tags__arraycontains", row["id"])]
        selected = any(pair in pairs for pair in own)
        changed = facets.change_pairs(pairs, without=own, added=[] if selected else own[:1])
        path = self.ds.urls.path(facets.make_address(self.request.path, changed))
        return {
            "value": row["id"],
            "label": row["name"],
            "count": row["papers"],
            "toggle_url": self.ds.absolute_url(self.request, path),
            "selected": selected,
        }


@hookimpl
def register_facet_classes() -> list[type[TagFacet]]:
    """The one facet of this plugin."""
    return [TagFacet]
