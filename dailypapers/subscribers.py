"""Who gets a digest, of what and how often: addresses, and the file that lists subscribers."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import yaml

from .search import MAX_WORDS

MAX_BYTES = 10_000_000
"""Bytes of a subscribers file that are read; more are no list of subscribers."""

MAX_INTERESTS = MAX_WORDS
"""Tags, and queries, of one subscriber."""

MAX_QUERY = 1_000
"""Characters of one query."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_Value = TypeVar("_Value")
_KEYS = ("address", "tags", "queries", "frequency")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(
    r"(?!\.)(?!.*\.\.)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}(?<!\.)"
    rf"@(?:{_LABEL}\.)*{_LABEL}"
)


class SubscriberError(Exception):
    """The subscribers file cannot be used; the message names file, line and what to do."""


@dataclass(frozen=True)
class Interests:
    """What a subscriber wants to hear of: papers that carry any of the tags or that any of the
    queries finds; with neither, all papers."""

    tags: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subscriber:
    """One reader. `weekday` (Monday is 0) is when a weekly digest comes; None is daily."""

    address: str
    interests: Interests = Interests()
    weekday: int | None = None

    @property
    def key(self) -> str:
        """The address as one mailbox: servers do not tell capitals apart."""
        return self.address.lower()


def check_address(text: str) -> str:
    """The address, which can stand in a header and in an SMTP command. Raises ValueError."""
    text = text.strip()
    if len(text) > 254 or not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no mail address; write it as reader@example.org")
    return text


def check_query(text: str) -> str:
    """A query that says something, on one line. Raises ValueError."""
    query = " ".join(text.split())
    if not (0 < len(query) <= MAX_QUERY and query.isprintable()):
        raise ValueError(f"a query has 1 to {MAX_QUERY:,} printable characters")
    return query


def check_tag(text: str, knows_tag: Callable[[str], bool]) -> str:
    """A tag that papers can carry. Raises ValueError."""
    if not knows_tag(text):
        raise ValueError(f"{text[:80]!r} is no tag; the site lists them at /daily/tags")
    return text


def parse_frequency(text: str) -> int | None:
    """ "daily" as None, "weekly friday" as 4; "weekly" is on Mondays. Raises ValueError."""
    frequency, _, weekday = " ".join(text.lower().split()).partition(" ")
    if frequency == "daily" and not weekday:
        return None
    weekday = weekday.strip("()") or "monday"
    if frequency == "weekly" and weekday in WEEKDAYS:
        return WEEKDAYS.index(weekday)
    raise ValueError(f"{text[:80]!r} is no frequency; write daily, weekly or weekly friday")


def load_subscribers(path: Path, knows_tag: Callable[[str], bool]) -> list[Subscriber]:
    """Read the file: a YAML list of subscribers. Raises SubscriberError.

    All of it is read before anything is sent: a mistake in one place is said, not skipped.
    """
    try:
        root = yaml.compose(_read_file(path), Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.SequenceNode) or not root.value:
            raise _LineError(root, "a list of subscribers is wanted, each with “- address: …”")
        found: dict[str, tuple[int, Subscriber]] = {}
        for node in root.value:
            subscriber = _read_subscriber(node, knows_tag)
            line, _ = found.setdefault(subscriber.key, (_find_line(node), subscriber))
            if line != _find_line(node):
                raise _LineError(
                    node, f"{subscriber.address} is in line {line} already; put them together"
                )
    except _LineError as error:
        raise SubscriberError(f"{path}:{error.line}: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SubscriberError(f"{place}: no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, OSError, RecursionError, ValueError) as error:
        raise SubscriberError(f"{path}: {' '.join(str(error).split())[:200]}") from error
    return [subscriber for _, subscriber in found.values()]


class _LineError(Exception):
    def __init__(self, node: yaml.Node | None, message: str) -> None:
        super().__init__(message)
        self.line = _find_line(node)


def _find_line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node else 1


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES / 1e6:,.0f} MB, so no list of subscribers")
    return content


def _read_subscriber(node: yaml.Node, knows_tag: Callable[[str], bool]) -> Subscriber:
    fields = _read_fields(node)
    if "address" not in fields:
        raise _LineError(node, "no address; write “address: reader@example.org”")
    weekday = None
    if "frequency" in fields:
        weekday = _convert(parse_frequency, _read_scalar(fields["frequency"]))
    return Subscriber(
        _convert(check_address, _read_scalar(fields["address"])),
        Interests(_read_tags(fields.get("tags"), knows_tag), _read_queries(fields.get("queries"))),
        weekday,
    )


def _read_fields(node: yaml.Node) -> dict[str, yaml.Node]:
    """The fields by name; one that nobody reads is a mistake."""
    if not isinstance(node, yaml.MappingNode):
        raise _LineError(node, "a subscriber is wanted, as “- address: reader@example.org”")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value not in _KEYS:
            name = str(key.value)[:40]
            raise _LineError(key, f"{name!r} is no field; there are {', '.join(_KEYS)}")
        if key.value in fields:
            raise _LineError(key, f"{key.value} is there twice")
        fields[key.value] = value
    return fields


def _read_tags(node: yaml.Node | None, knows_tag: Callable[[str], bool]) -> tuple[str, ...]:
    check = partial(check_tag, knows_tag=knows_tag)
    return tuple(_convert(check, tag) for tag in _list_scalars(node))


def _read_queries(node: yaml.Node | None) -> tuple[str, ...]:
    return tuple(_convert(check_query, query) for query in _list_scalars(node))


def _list_scalars(node: yaml.Node | None) -> Sequence[yaml.ScalarNode]:
    """The texts of a list; a single text is a list of one, and nothing one of none."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return []
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if len(nodes) > MAX_INTERESTS:
        raise _LineError(node, f"more than {MAX_INTERESTS} of them")
    return [_read_scalar(one) for one in nodes]


def _read_scalar(node: yaml.Node) -> yaml.ScalarNode:
    if not isinstance(node, yaml.ScalarNode):
        raise _LineError(node, "a text is wanted here; put it in quotes")
    return node


def _convert(read: Callable[[str], _Value], node: yaml.ScalarNode) -> _Value:
    try:
        return read(node.value)
    except ValueError as error:
        raise _LineError(node, str(error)) from error
