"""Dates, numbers and counts as a person writes them."""

from datetime import date

CATEGORIES = {
    "stage": "Stages of a model’s life",
    "method": "Methods",
    "capability": "Capabilities",
    "modality": "Kinds of data",
    "domain": "Domains",
    "kind": "Kinds of paper",
}
"""The categories of tags as headings."""

FORMATS = {"bib": "BibTeX", "ris": "RIS", "csljson": "CSL JSON", "atom": "Atom"}
"""The names of output formats that are not just their extension in capitals."""

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def say_day(day: str | None) -> str:
    """ "2025-06-03" as "3 Jun 2025"; a text that is no date stays what it is."""
    try:
        read = date.fromisoformat(day or "")
    except ValueError:
        return day or ""
    return f"{read.day} {MONTHS[read.month - 1]} {read.year}"


def say_month(month: str) -> str:
    """ "2025-06" as "Jun 2025"; a bare year stays what it is."""
    year, _, number = month.partition("-")
    known = number.isdecimal() and 1 <= int(number) <= 12
    return f"{MONTHS[int(number) - 1]} {year}" if known else month


def say_number(number: int | float) -> str:
    """1234 as "1,234"."""
    return f"{number:,}"


def say_count(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun: "1 author", "1,234 authors"; `nouns` where "s" does not do."""
    return f"{say_number(number)} {noun if number == 1 else nouns or noun + 's'}"


def shorten(text: str | None, limit: int) -> str:
    """The first whole words of a text within `limit` characters, with "…" where more follow."""
    text = " ".join((text or "").split())
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(" ", 1)[0].rstrip(" ,;:.–—-") + " …"


def say_category(category: str) -> str:
    """A category of tags as a heading."""
    return CATEGORIES.get(category, category.capitalize())


def say_format(extension: str) -> str:
    """An output format by its extension: "bib" as "BibTeX", "json" as "JSON"."""
    return FORMATS.get(extension, extension.upper())
