"""Headers that tell browsers what pages may do, and other sites what they may do with answers."""

from collections.abc import Collection

Headers = list[tuple[bytes, bytes]]

YEAR = 365 * 24 * 60 * 60

_SOURCES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_OF_CHARTS = {
    "script-src": "'self' 'unsafe-eval'",  # Vega makes functions of what a chart says
    "style-src": "'self' 'unsafe-inline'",  # and its tools have style attributes
}
_PERMISSIONS = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer",
    "microphone", "midi", "payment", "publickey-credentials-get", "screen-wake-lock", "usb",
    "xr-spatial-tracking",
)  # fmt: skip
"""What no page here has any use for."""


def write_policy(draws_charts: bool) -> str:
    """The Content-Security-Policy; pages with datasette-vega need a wider one."""
    sources = _SOURCES | _OF_CHARTS if draws_charts else _SOURCES
    return "; ".join(f"{name} {value}" for name, value in sources.items())


def make_headers(draws_charts: bool, is_secure: bool) -> Headers:
    """Headers that all answers carry. `is_secure` is whether the visitor came by https."""
    headers = {
        "content-security-policy": write_policy(draws_charts),
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": ", ".join(f"{name}=()" for name in _PERMISSIONS),
        "referrer-policy": "same-origin",  # an address holds what somebody searched for
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    if is_secure:
        headers["strict-transport-security"] = f"max-age={YEAR}"
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def complete_headers(stated: Headers, own: Headers, is_preflight: bool) -> Headers:
    """The headers of an answer with those of its own that it does not state, lower case.

    What other sites may read by CORS they may embed, too; and reading is all they may.
    """
    names = {name.lower() for name, _ in stated}
    is_shared = b"access-control-allow-origin" in names
    policy = b"cross-origin" if is_shared else b"same-origin"
    added = [*own, (b"cross-origin-resource-policy", policy)]
    if is_shared and is_preflight:
        added.append((b"access-control-allow-methods", b"GET, HEAD"))
    return [*stated, *((name, value) for name, value in added if name not in names)]


def may_draw_charts(path: str, names: Collection[str], charts: Collection[str]) -> bool:
    """Whether a page loads datasette-vega: a query of those in `charts`, or any with `_chart`
    among the names of its parameters. Told by the address, so that a 304 says the same."""
    return "_chart" in names or path in charts
