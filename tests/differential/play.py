"""Play a scenario against one server, and bring its answers into a form that two servers can share.

What differs from run to run is replaced by a name that keeps its *relations*: the first uid that
turns up is ``<uid 1>`` wherever it stands, and a resourceVersion that did not change keeps its
number. Only the revision of a list is a plain ``<revision>``: on a server with other clients it
moves by itself. Times become ``<time>``, ages ``<age>``, continue tokens ``<continue>``,
the random end of a generated name ``<random>`` (a scenario that wants one begins it with ``gen-``).
Bookmarks are left out, but for the one that ends the initial events: a server sends them when it likes.

Where several causes explain one error neither their order is compared (Kubernetes takes some of
them out of Go maps) nor how often each is told (it checks some rules twice). Nor is the order of
managedFields: it follows the second in which each manager wrote, and the two servers' clocks
tick between the steps as they like (``machinery``'s own tests hold the order). Everything else
stands as it was sent: key order aside, an answer is compared whole, with the headers that
clients act upon.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.client import RemoteDisconnected
from typing import Any
from urllib.parse import quote

from peers.door import Answer, Door, Session
from peers.kubernetes import ADMIN_TOKEN, OUTSIDER_TOKEN
from tests.differential.scenario import Json, Scenario, Step

HEADERS = ("content-type", "warning", "cache-control", "retry-after", "www-authenticate", "allow")
USER_AGENT = "differential/1.0"
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
GENERATED = re.compile(r"([Gg]en[-_])[a-z0-9]{5}\b")
PORT = re.compile(r"127\.0\.0\.1:\d+")
OLD_REVISION = re.compile(r"too old resource version: (\d+) \(\d+\)")
RBAC = re.compile(r"RBAC: allowed by .*")
CURRENT = re.compile(r"current: \d+")
AGE = re.compile(r"\d+m?s")
UNTIL_SECONDS = 20.0
SECOND, TEN_SECONDS = "timeoutSeconds=1", "timeoutSeconds=10"
"""How long a watch lasts; longer the second time, when the machine was too busy for the first."""


@dataclass
class Names:
    """Stand-ins for what differs from run to run, by order of appearance."""

    uids: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)

    def uid(self, value: str) -> str:
        """The stand-in of a uid."""
        return self.uids.setdefault(value, f"<uid {len(self.uids) + 1}>")

    def revision(self, value: str) -> str:
        """The stand-in of an object's resourceVersion."""
        return self.revisions.setdefault(value, f"<rv {len(self.revisions) + 1}>")

    def text(self, value: str) -> str:
        """A text with every known value replaced."""
        value = CURRENT.sub("current: <revision>", PORT.sub("127.0.0.1:<port>", value))
        value = OLD_REVISION.sub(r"too old resource version: \1 (<revision>)", value)
        value = RBAC.sub("RBAC: allowed", value)
        value = GENERATED.sub(r"\1<random>", TIME.sub("<time>", value))
        value = UID.sub(lambda found: self.uid(found.group()), value)
        for revision, name in self.revisions.items() if any(mark in value for mark in "0123456789") else ():
            value = re.sub(rf"(?<![\w.<]){revision}(?![\w.>])", name, value)
        return value


class Player:
    """Plays scenarios against one door, one after the other."""

    def __init__(self, door: Door) -> None:
        self._admin = Session(door.as_user(ADMIN_TOKEN))
        self._outsider = Session(door.as_user(OUTSIDER_TOKEN))

    def play(self, scenario: Scenario) -> list[Any]:
        """Send every step and return the normalised answers, one per step (None where it is quiet)."""
        names = Names()
        self._prepare(scenario)
        names.saved |= {"ns": scenario.namespace, "P": "/apis/diff.skerry.dev/v1/planets"}
        names.saved["W"] = f"/apis/diff.skerry.dev/v1/namespaces/{scenario.namespace}/widgets"
        answers = []
        for step in scenario.steps:
            answer = self._send(replace(step, path=step.path.replace(SECOND, TEN_SECONDS)) if scenario.again else step, names.saved)
            seen = normalised(answer, names, watch=step.watch)
            answers.append(None if step.quiet else seen)
            self._save(step, answer, names.saved)
        return answers

    def _prepare(self, scenario: Scenario) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scenario.namespace}}
        self._admin.call("POST", "/api/v1/namespaces", body)

    def _send(self, step: Step, saved: dict[str, str]) -> Answer:
        if step.edit is not None:
            found = self._admin.call("GET", filled(step.body, saved)).json()
            step.edit(found)
            return self._request(step, saved, json.dumps(found).encode())
        body = step.body
        if isinstance(body, (dict, list)):
            body = filled(json.dumps(body), saved).encode()
        elif isinstance(body, str):
            body = filled(body, saved).encode()
        answer = self._request(step, saved, body)
        deadline = time.monotonic() + UNTIL_SECONDS
        while step.until and not _is_awaited(step, answer) and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = self._request(step, saved, body)
        return answer

    def _request(self, step: Step, saved: dict[str, str], body: bytes | None) -> Answer:
        headers = {"user-agent": USER_AGENT, **{key: filled(value, saved) for key, value in step.headers.items()}}
        if body is not None:
            headers = {"content-type": "application/json", **headers}
        session = self._outsider if step.outsider else self._admin
        try:
            return session.call(step.method, quote(filled(step.path, saved), safe="/?&=%:,;@!()+~*"), body, headers)
        except RemoteDisconnected:
            return Answer(0, (), b"the server closed the connection")

    def _save(self, step: Step, answer: Answer, saved: dict[str, str]) -> None:
        for name, path in step.save.items():
            value: Any = answer.json()
            for part in path.split("."):
                value = (value or {}).get(part) if isinstance(value, dict) else value[int(part)]
            saved[name] = str(value)


def _is_awaited(step: Step, answer: Answer) -> bool:
    return answer.status == step.until and step.shows.encode() in answer.body


def filled(text: str, saved: dict[str, str]) -> str:
    """Replace the placeholders in a text."""
    return re.sub(r"\$\{(\w+)\}", lambda found: saved.get(found.group(1), found.group()), text)


def normalised(answer: Answer, names: Names, *, watch: bool) -> Json:
    """Return an answer as status, headers and body, fit for comparison."""
    headers = {key: [names.text(value) for value in answer.header(key)] for key in HEADERS if answer.header(key)}
    try:
        told = list(events(answer.body)) if watch and answer.status == 200 else None
        if told is not None and all("type" in event for event in told):
            body: Any = [{"type": event["type"], "object": clean(event["object"], names)} for event in told if _told(event)]
        else:  # no watch, or a GET of one object, which kube-apiserver may answer from a cache that lags behind its deletion
            body = clean(json.loads(answer.body), names) if answer.body else ""
    except ValueError:
        body = names.text(answer.body.decode(errors="replace"))
    return {"status": answer.status, "headers": headers, "body": body}


def _told(event: Json) -> bool:
    return event["type"] != "BOOKMARK" or "initial-events-end" in json.dumps(event)


def events(body: bytes) -> Iterator[Json]:
    """Decode the events of a watch."""
    return (json.loads(line) for line in body.splitlines() if line.strip())


def clean(value: Any, names: Names, path: tuple[str, ...] = ()) -> Any:
    """Return a JSON value without what differs from run to run."""
    if isinstance(value, dict):
        if value.get("kind") == "APIResourceList":
            value["resources"].sort(key=lambda each: each["name"])  # out of a Go map
        return _unordered_causes({key: clean(each, names, (*path, key)) for key, each in _metadata_first(_without_list_revision(value))})
    if isinstance(value, list):
        items = sorted(value, key=_manager) if path[-1:] == ("managedFields",) else value
        return [clean(each, names, (*path, "*")) for each in items]
    if not isinstance(value, str) or value == "<revision>":
        return value
    if path[-2:] == ("metadata", "resourceVersion"):
        return names.revision(value)
    if path[-2:] == ("metadata", "continue") and value:
        return "<continue>"
    if path[-2:] == ("cells", "*") and AGE.fullmatch(value):
        return "<age>"
    return names.text(value)


def _manager(entry: Json) -> list[str]:
    return [str(entry.get(key, "")) for key in ("manager", "operation", "apiVersion", "subresource")]


def _metadata_first(value: Json) -> list[tuple[str, Any]]:
    """Sort the keys, metadata first: uids and revisions get their numbers in the same order on every server."""
    return sorted(value.items(), key=lambda item: (item[0] != "metadata", item[0]))


def _without_list_revision(value: Json) -> Json:
    """Replace the revision of a list, a table or a bookmark, which other clients of the server move."""
    is_list = "items" in value or value.get("kind") == "Table"
    is_bookmark = "spec" not in value and set(value.get("metadata") or ()) <= {"resourceVersion", "creationTimestamp", "annotations"}
    if (is_list or is_bookmark) and (value.get("metadata") or {}).get("resourceVersion"):
        return value | {"metadata": value["metadata"] | {"resourceVersion": "<revision>"}}
    return value


def _unordered_causes(obj: Json) -> Json:
    causes = (obj.get("details") or {}).get("causes") if isinstance(obj.get("details"), dict) else None
    if causes and len(causes) > 1:
        causes[:] = [json.loads(text) for text in sorted({json.dumps(cause, sort_keys=True) for cause in causes})]
        head, bracket, rest = str(obj["message"]).partition(": [")
        if bracket:
            obj["message"] = f"{head}: [{', '.join(sorted(set(rest.removesuffix(']').split(', '))))}]"
    return obj
