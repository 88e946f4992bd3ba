"""What a scenario is: a name and a list of HTTP requests, written once and sent to two servers.

A step is made by one of the short functions below. Texts may hold placeholders: ``${ns}`` is
the scenario's own namespace, ``${W}`` and ``${P}`` are the paths of its widgets and of the
(cluster-scoped) planets, and whatever an earlier step saved: ``save={"rv": "metadata.resourceVersion"}``
makes ``${rv}``. Bodies that are dicts are sent as JSON; ``bytes`` are sent as they stand.

Two steps know more than one request: ``edit`` reads an object, changes it and sends it back by
PUT; ``until`` repeats a GET until its status code is the one that is waited for and its body holds
a text, which is how a scenario waits for a controller. Only the last answer counts.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Step:
    """One request. ``quiet`` answers are not compared; a ``watch`` is read as a list of events until the server ends it."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    save: Mapping[str, str] = field(default_factory=dict)
    outsider: bool = False
    quiet: bool = False
    watch: bool = False
    edit: Callable[[Json], object] | None = None
    until: int = 0
    shows: str = ""


@dataclass(frozen=True)
class Scenario:
    """A named list of steps; the name is ``group/what``. It can be played ``again`` beside what the first time left."""

    name: str
    steps: tuple[Step, ...]
    again: bool = False

    @property
    def namespace(self) -> str:
        """The namespace that belongs to this scenario alone."""
        return ("e-" if self.again else "d-") + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:60]


def scenario(name: str, *steps: Step) -> Scenario:
    """Make a scenario."""
    return Scenario(name, steps)


def widget(name: str = "a", spec: Json | None = None, **more: Any) -> Json:
    """Return a Widget; ``metadata`` in ``more`` is merged into its metadata."""
    obj: Json = {"apiVersion": "diff.skerry.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {} if spec is None else spec}
    obj["metadata"] |= more.pop("metadata", {})
    return obj | more


def planet(name: str = "${ns}", **more: Any) -> Json:
    """Return a Planet, named after the scenario by default since planets are in no namespace."""
    return {"apiVersion": "diff.skerry.dev/v1", "kind": "Planet", "metadata": {"name": name}, **more}


def core(kind: str, name: str, **more: Any) -> Json:
    """Return an object of the core group."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name} | more.pop("metadata", {}), **more}


def post(body: Any = None, path: str = "${W}", **more: Any) -> Step:
    """Create."""
    return Step("POST", path, widget() if body is None else body, **more)


def get(path: str = "${W}/a", **more: Any) -> Step:
    """Read an object or a list."""
    return Step("GET", path, **more)


def put(body: Any, path: str = "${W}/a", **more: Any) -> Step:
    """Replace."""
    return Step("PUT", path, body, **more)


def patch(body: Any, path: str = "${W}/a", media: str = MERGE, **more: Any) -> Step:
    """Patch; ``media`` is the content type."""
    headers = {"content-type": media, **more.pop("headers", {})}
    return Step("PATCH", path, body, headers, **more)


def apply(body: Any, manager: str = "one", path: str = "${W}/a", query: str = "", **more: Any) -> Step:
    """Apply on the server's side, as a field manager; ``query`` is appended (``&force=true``)."""
    return patch(body, f"{path}?fieldManager={manager}{query}", APPLY, **more)


def delete(path: str = "${W}/a", body: Any = None, **more: Any) -> Step:
    """Delete an object or a collection; ``body`` is DeleteOptions."""
    return Step("DELETE", path, body, **more)


def watch(query: str, path: str = "${W}", **more: Any) -> Step:
    """Watch for a second; ``query`` is appended to ``watch=1&timeoutSeconds=1``."""
    return Step("GET", f"{path}?watch=1&timeoutSeconds=1{query}", watch=True, **more)


def edit(change: Callable[[Json], object], path: str = "${W}/a", to: str = "", **more: Any) -> Step:
    """Read ``path``, let ``change`` work on the object in place, and PUT it to ``to`` (default: where it was read)."""
    return Step("PUT", to or path, path, edit=change, **more)


def until(code: int, path: str, shows: str = "") -> Step:
    """Wait until a GET is answered with this code and a body that holds this text."""
    return Step("GET", path, until=code, shows=shows)


def quiet(step: Step) -> Step:
    """Return the same step with its answer left out of the comparison."""
    changed = copy.copy(step)
    object.__setattr__(changed, "quiet", True)
    return changed
