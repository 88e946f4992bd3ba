"""What may stand in a field that names a place on the network: a proxy's URL, what is reached without it, a registry.

Each function says what is wrong and what to write instead, or returns an empty string. A text
that may hold a password is never repeated: see :func:`told`.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

from skerry.kinds.rules import bad
from skerry.machinery.errors import Cause
from skerry.machinery.names import subdomain_problem

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
"""A repository's path, as in the distribution specification of OCI."""


REMEMBERED = 1024
"""Hosts whose judgement is kept: a fleet names the same few proxies in every cluster. None of them holds a password."""


def host_problem(host: str) -> str:
    """What is wrong with a host name or an address (IPv6 without brackets)."""
    if is_address(host):
        return ""
    if re.fullmatch(r"[\d.]+", host):
        return "looks like an IPv4 address and is none"
    return "must be a DNS name or an IP address" if subdomain_problem(host.lower()) else ""


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    return "@" not in text and _is_address(text)


@lru_cache(REMEMBERED)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def authority_problem(text: str) -> str:
    """What is wrong with ``host[:port]``."""
    if re.search(r"[\s/?#@]", text):
        return "must be host or host:port and nothing else: no scheme, no path, no user name"
    return _authority_problem(text)


@lru_cache(REMEMBERED)
def _authority_problem(text: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return "must be host or host:port, with a port from 1 to 65535 (an IPv6 address in brackets)"
    if port == 0 or text.endswith(":"):
        return "must have a port from 1 to 65535 after the colon"
    return host_problem(parts.hostname or "")


def url_problem(url: str) -> str:
    """What is wrong with the URL of a proxy."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        return "must be a URL that begins with http:// or https://, such as http://proxy.example.org:3128"
    if "@" in rest:
        return "must hold no user name and no password: put them into a Secret, make a Credential of type BasicAuth and name it"
    if rest.rstrip("/") != re.split(r"[/?#]", rest, maxsplit=1)[0]:
        return "must end after the port: a proxy has no path, query or fragment"
    return authority_problem(rest.rstrip("/"))


def direct_problem(entry: str) -> str:
    """What is wrong with an entry of a ``noProxy`` list: a host, ``.domain``, an address or a CIDR block, the first three with a port."""
    if entry == "*":
        return "would send nothing through the proxy: remove the proxy instead"
    if "://" in entry:
        return "must be a host, not a URL: leave out the scheme"
    if entry.startswith("*."):
        return f"not every program reads wildcards: write {entry[1:]}, which means the same"
    if "/" in entry:
        return cidr_problem(entry)
    return "" if is_address(entry) else authority_problem(entry.removeprefix("."))


def cidr_problem(text: str) -> str:
    """What is wrong with a CIDR block; its address must be the first of the block."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "must be a CIDR block, such as 10.0.0.0/8 or fd00::/8"
    given = text.split("/", maxsplit=1)[0]
    return "" if ipaddress.ip_address(given) == network.network_address else f"has bits set behind its prefix: did you mean {network}?"


def registry_problem(text: str) -> str:
    """What is wrong with ``host[:port][/path]``, the beginning of an image's name."""
    if "://" in text:
        return "must be the beginning of an image's name: leave out the scheme"
    if "@" in text:
        return "must hold neither a digest nor a user name: name a Credential of type Registry instead"
    host, slash, path = text.partition("/")
    if slash and not path:
        return "must not end with a slash"
    if path and ":" in path:
        return "must hold no tag: leave out what follows the last colon"
    if path and not _PATH.fullmatch(path):
        return "must have a path of lower-case letters and digits, with single separators (., _, - or /) between them"
    return authority_problem(host)


def told(field: str, value: str, problem: str) -> list[Cause]:
    """The problem as a cause, if it is one. What may be a user name and a password is not repeated."""
    return [bad(field, "<redacted>" if "@" in value else value, problem)] if problem else []


def proxy_causes(spec: dict[str, object], path: str) -> list[Cause]:
    """What is wrong with ``http``, ``https`` and ``noProxy`` of a proxy that stands at ``path``."""
    found: list[Cause] = []
    for name in ("http", "https"):
        url = spec.get(name)
        if isinstance(url, str) and url:
            found += told(f"{path}.{name}", url, url_problem(url))
    entries = spec.get("noProxy")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        found += told(f"{path}.noProxy[{index}]", entry, direct_problem(entry))
    return found
