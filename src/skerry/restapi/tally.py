"""What became of every request: how many, how long, how many are here. Told apart as kube-apiserver does.

What a caller can choose freely never makes a series: a resource that is not served is ``other``, and so is a method
that HTTP does not know; paths are told apart only where they are few, and names, namespaces and users not at all.
"""

from __future__ import annotations

from typing import NamedTuple

from skerry.kit.measure import Histogram
from skerry.machinery.identity import Attributes
from skerry.restapi.discovery import subresources
from skerry.restapi.registry import Registry

BOUNDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
"""Seconds: of kube-apiserver's bounds those that rules about it look at, and some between."""

OTHER = "other"
VERBS = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "apply": "APPLY",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}
METHODS = {each.lower(): each for each in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
PATHS = frozenset(("/", "/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"))
"""Paths about no resource that are told apart, in the place of a subresource."""
APPLY = "application/apply-patch"
READS = frozenset(("GET", "HEAD"))


class Series(NamedTuple):
    """What requests are told apart by. ``scope`` is ``resource`` (one object), ``namespace``, ``cluster``, or empty: no resource."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    scope: str = ""


class Served:
    """The requests of one series that ended."""

    __slots__ = ("codes", "seconds")

    def __init__(self) -> None:
        """There was none."""
        self.codes: dict[int, int] = {}
        self.seconds = Histogram(BOUNDS)


_Asked = tuple[str, str, str, str, str, bool, bool, str]


class Tally:
    """Counts the requests of one server."""

    def __init__(self, registry: Registry) -> None:
        """``registry`` tells which resources are served."""
        self._registry = registry
        self._found: dict[_Asked, Served] = {}
        self.series: dict[Series, Served] = {}
        self.here = {True: 0, False: 0}
        """Requests that are being answered, by whether they only read; streams count until they begin."""

    def ended(self, asked: Attributes, media: str, code: int, seconds: float) -> None:
        """Count a request; ``media`` is its content type."""
        verb = "apply" if asked.verb == "patch" and media.startswith(APPLY) else asked.verb
        key = (verb, asked.group, asked.version, asked.resource, asked.subresource, not asked.namespace, not asked.name, asked.path)
        served = self._found.get(key)
        if served is None:
            served = self._look_up(key)
        served.codes[code] = served.codes.get(code, 0) + 1
        served.seconds.observe(seconds)

    def _look_up(self, key: _Asked) -> Served:
        series, known = self._series_of(*key)
        served = self.series.setdefault(series, Served())
        if known:  # what strangers make up is not remembered
            self._found[key] = served
        return served

    def _series_of(
        self, verb: str, group: str, version: str, plural: str, subresource: str, nowhere: bool, unnamed: bool, path: str
    ) -> tuple[Series, bool]:
        """The series of a request, and whether everything in it is known."""
        if not plural:
            known = path in PATHS and verb in METHODS
            return Series(METHODS.get(verb, OTHER), subresource=path if path in PATHS else ""), known
        resource = self._registry.find(group, version, plural)
        if resource is None or verb not in VERBS or (subresource and subresource not in subresources(resource)):
            return Series(VERBS.get(verb, OTHER), resource=OTHER), False
        scope = "resource" if verb == "create" or not unnamed else "cluster" if nowhere else "namespace"
        return Series(VERBS[verb], group, version, plural, subresource, scope), True
