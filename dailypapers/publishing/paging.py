"""The statement of a later page of a table, so that SQLite begins where the page does.

Datasette 0.65 asks for rows "less than the last one, or unknown, or equal and of a greater key".
SQLite finds the rows of each part by an index of its own and sorts all of them: at a million rows,
more than a second. Each part by itself is a walk along one index that ends with the page.
"""

import re

_ORDER = re.compile(r"(\w+|\[[^\]]+\])( desc)?, (.+) (limit \d+)")
_FOLLOWING = re.compile(
    r"\((?P<beyond>.+ (?:[<>] :p\d+|is not null))(?P<unknown> or .+ is null)?"
    r" or \((?P<tied>.+ (?:= :p\d+|is null)) and (?P<keys>\(.+\))\)\)",
    re.DOTALL,
)


def walk_from_last(sql: str) -> str:
    """A statement with the same rows in the same order; any other statement as it is."""
    head, _, order = sql.rpartition(" order by ")
    ordered = _ORDER.fullmatch(order)
    if not ordered:
        return sql
    column, direction, keys, limit = ordered.groups(default="")
    start = max(head.rfind(f"({column} {begin}") for begin in ("< :p", "> :p", "is not null or ("))
    following = _FOLLOWING.fullmatch(head[start:].rstrip()) if start > 0 else None
    if not following:
        return sql
    walks = [
        f"{following['tied']} and {following['keys']} order by {keys}",
        f"{following['beyond']} order by {column}{direction}, {keys}",
    ]
    if following["unknown"]:
        walks.append(f"{column} is null order by {keys}")
    # A name that is selected twice would come out of brackets as another one.
    selected = head[: head.index(" from ")].removeprefix("select ")
    parts = (f"select {selected} from ({head[:start]}{walk} {limit})" for walk in walks)  # noqa: S608
    return f"{' union all '.join(parts)} {limit}"
