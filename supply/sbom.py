"""Write what a site is made of, as CycloneDX: `python supply/sbom.py build/sbom.json`.

The packages, their versions and the hashes of their files are those of requirements.txt; licences
and who needs whom are what the installed packages say. The same installation gives the same bytes.
"""

import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import metadata, requires
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import yaml
from cyclonedx.contrib.hash.factories import HashTypeFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import ExpressionError, ParseError, get_spdx_licensing
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pip_requirements_parser import RequirementsFile

from dailypapers import __version__

PROJECT = Path(__file__).resolve().parent.parent
LOCK = PROJECT / "requirements.txt"
LICENCES = yaml.safe_load((PROJECT / "supply" / "licences.yml").read_text("utf-8"))
SPDX = get_spdx_licensing()


class LicenceError(Exception):
    """A package says nothing of its licence that is understood."""


@dataclass(frozen=True)
class Pin:
    """A package of the lock: its files have one of the hashes; the marker says where it is used."""

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str


def read_lock(path: Path) -> list[Pin]:
    """All pins of a lock, those for other versions of Python too."""
    return [
        Pin(
            canonicalize_name(line.name),
            line.get_pinned_version,
            tuple(sorted(line.hash_options)),
            str(line.marker or ""),
        )
        for line in RequirementsFile.from_file(str(path)).requirements
    ]


def read_licence(name: str) -> str:
    """The licence of an installed package, as an SPDX expression. Raises LicenceError."""
    said = _say_licence(name)
    read, means = LICENCES["readings"].get(name, (None, None))
    if said == read:
        return str(means)
    try:
        SPDX.parse(said, validate=True)
    except (ExpressionError, ParseError) as error:
        raise LicenceError(f"{name} says {said!r}: read it, add it to licences.yml") from error
    return said


def _say_licence(name: str) -> str:
    """The newer field, else the older one unless it holds the whole text, else the classifiers."""
    about = metadata(name).json
    for field in ("license_expression", "license"):
        said = str(about.get(field, "UNKNOWN"))
        if said != "UNKNOWN" and "\n" not in said:
            return said
    classifiers = about.get("classifier", [])
    prefix = "License :: "
    return "; ".join(text.removeprefix(prefix) for text in classifiers if text.startswith(prefix))


def is_allowed(expression: str) -> bool:
    """Whether the project may depend on something with this licence, by licences.yml."""
    return _is_part_allowed(SPDX.parse(expression, validate=True))


def _is_part_allowed(part: Any) -> bool:
    if isinstance(part, SPDX.AND):
        return all(map(_is_part_allowed, part.args))
    if isinstance(part, SPDX.OR):
        return any(map(_is_part_allowed, part.args))
    return str(part) in LICENCES["allowed"]


def describe_pin(pin: Pin) -> Component:
    """A package as a part of the bill. Raises LicenceError."""
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{pin.name}/{pin.version}/#files"),
        comment="each hash is one file's",
        hashes=[HashTypeFactory().from_composite_str(text) for text in pin.hashes],
    )
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    return Component(
        name=pin.name,
        version=pin.version,
        bom_ref=str(purl),
        purl=purl,
        licenses=[LicenseExpression(read_licence(pin.name))],
        external_references=[files],
        properties=[Property(name="pip:marker", value=pin.marker)] if pin.marker else [],
    )


def _describe_project() -> Component:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    return Component(
        name=project["name"],
        version=__version__,
        description=project["description"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        licenses=[LicenseExpression(project["license"])],
    )


def _list_needs(name: str) -> set[str]:
    """The packages that one needs, whatever the system, but for its extras."""
    needs = [Requirement(text) for text in requires(name) or []]
    return {
        canonicalize_name(need.name) for need in needs if "extra ==" not in str(need.marker or "")
    }


def make_bill(pins: Iterable[Pin]) -> Bom:
    """The bill of materials of the project with these packages. Raises LicenceError."""
    parts = [describe_pin(pin) for pin in pins]
    bill = Bom(components=parts)
    bill.metadata.component = project = _describe_project()
    bill.metadata.tools.components.add(this_component())
    for part in [project, *parts]:
        needs = _list_needs(part.name)
        bill.register_dependency(part, [other for other in parts if other.name in needs])
    return bill


def write_bill(bill: Bom) -> str:
    """As JSON, without what differs from run to run. Raises ValueError where it is not valid."""
    bill.metadata.timestamp = None  # type: ignore[assignment]  # the library's type is too narrow
    bill.serial_number = uuid5(NAMESPACE_URL, LOCK.read_text("utf-8"))
    text = JsonV1Dot6(bill).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        raise ValueError(f"not valid: {error}")
    return text


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(write_bill(make_bill(read_lock(LOCK))) + "\n", "utf-8")
