"""Listing pages made up for tests, in the shapes that browsers copy."""

HEAD = """new

Get trending papers in your email inbox!

Subscribe

Daily Papers

byAK and the research community

{day}
"""
DENSE_HEAD = """Get trending papers in your email inbox once a day!
Get trending papers in your email inbox!
Subscribe"""

ABSTRACT = (
    "A made-up abstract about {topic}, long enough to be told from a title by its length alone. "
    "It says what was tried, on which data, and what came of it, in a few sentences that stand "
    "for the real thing, and it ends as sentences do, with a full stop that no title has."
)


def abstract(topic: str = "nothing much") -> str:
    return ABSTRACT.format(topic=topic)


def card(title: str, text: str | None = None, byline: str = "  • 3 authors\n·\nJun 3, 2024") -> str:
    return f"\n{title}\n\n{abstract(title) if text is None else text}\n\n{byline}\n"


def cards_page(*cards: str, day: str = "Dec 30") -> bytes:
    return (HEAD.format(day=day) + "".join(cards)).encode()


def dense_page(*titles: str) -> bytes:
    return (DENSE_HEAD + "\n".join(f"{title}\n{abstract(title)}" for title in titles)).encode()
