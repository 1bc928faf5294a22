"""Text as it may be printed: without the passwords in it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

HIDDEN = "***"
_NAME = re.compile("pass|secret|token|key", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<user>[^:/@?#]*):.*@(?P<rest>.*)", re.DOTALL)
# ``password=…`` of libpq's connection strings, ``'password': '…'`` of a table in TOML.
_ASSIGNED = re.compile(
    r"""(\w*(?:pass|secret|token)\w*['"]?\s*[=:]\s*)(?:'[^']*'|"[^"]*"|[^\s&,}'"]+)""", re.IGNORECASE
)


def without_secrets(text: str) -> str:
    """``text``, which may be or hold a URL or a connection string, with ``***`` for every password."""
    scheme, separator, rest = text.partition("://")
    return _ASSIGNED.sub(rf"\1{HIDDEN}", f"{scheme}://{_of_url(scheme, rest)}" if separator else text)


def _of_url(scheme: str, rest: str) -> str:
    # All up to the last @ before the path: a password may hold anything, also when nobody quoted it.
    if authority := _AUTHORITY.match(rest):
        rest = f"{authority['user']}:{HIDDEN}@{authority['rest']}"
    if "?" not in rest:
        return rest
    try:
        parts = urlsplit(f"x://{rest}")
    except ValueError:
        return f"{rest.partition('?')[0]}?{HIDDEN}"
    query = [(n, HIDDEN if _NAME.search(n) else v) for n, v in parse_qsl(parts.query, keep_blank_values=True)]
    return urlunsplit(parts._replace(query=urlencode(query, safe="*/:"))).removeprefix("x://")
