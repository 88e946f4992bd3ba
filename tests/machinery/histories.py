"""Histories of writes to one object, drawn at random and played.

A history is a list of steps: creates, updates and applies by several managers, through two
versions and the status subresource, with conflicts, force, managed fields that a client
tampered with, and times that stand still or move. :class:`Played` takes each step as a server
would: its own keeping of status and metadata around ``machinery.ownership``. ``tests/differential``
sends the same steps to a real kube-apiserver, whose answers must be the same.

Not drawn, because Kubernetes has a flaw there that we do not share: a write to the main resource
with another status takes the status away from managers of other versions, and fields beside
metadata, spec and status are said to be owned by whoever writes to the status subresource.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import yaml

from skerry.machinery import meta, ownership
from skerry.machinery.errors import ApiError, Invalid
from skerry.machinery.ownership import Writer
from skerry.machinery.schema import Schema

Json = dict[str, Any]

GROUP = "test.skerry.dev"
SCHEMA: Json = yaml.safe_load((Path(__file__).with_name("thing.yaml")).read_text())
THING = Schema(SCHEMA)
BEGIN = 1_577_836_800
UPDATERS = ("kubectl-edit", "controller", "robot", "kubectl-client-side-apply")
APPLIERS = ("argo", "flux", "kubectl")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def definition() -> Json:
    """The CustomResourceDefinition of the subject: two versions of one schema, with a status."""
    schema = {"openAPIV3Schema": SCHEMA}
    version = {"served": True, "schema": schema, "subresources": {"status": {}}}
    versions = [{"name": name, "storage": name == "v1", **version} for name in ("v1", "v1beta1")]
    names = {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"}
    spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": versions}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return kind | {"metadata": {"name": f"things.{GROUP}"}, "spec": spec}


def thing(spec: Json | None = None, **more: Any) -> Json:
    """A whole object; ``metadata`` is completed."""
    metadata = {"name": "a", **more.pop("metadata", {})}
    found = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": metadata}
    return found | ({} if spec is None else {"spec": spec}) | more


def identity(entry: Json) -> tuple[str, ...]:
    """What tells the entries of managedFields apart."""
    return tuple(entry.get(name, "") for name in ("operation", "manager", "apiVersion", "subresource"))


def tampered(how: Json, live: Json | None) -> Json:
    """What a client makes of the managedFields that it read: the part of the metadata that it sends."""
    entries = sorted((live or {}).get("metadata", {}).get("managedFields", []), key=identity)
    match how["how"]:
        case "keep":
            return {"managedFields": entries}
        case "empty":
            return {"managedFields": []}
        case "forget":
            return {"managedFields": [{}]}
        case "some":
            return {"managedFields": [each for each, is_kept in zip(entries, how["kept"], strict=False) if is_kept]}
        case _ if entries:
            return {"managedFields": [entries[0] | how["change"], *entries[1:]]}
    return {}


@dataclass
class Played:
    """The object as it stands after the steps so far."""

    live: Json | None = None
    answers: list[Json] = field(default_factory=list)

    def take(self, step: Json) -> Json:
        """Take one step and return its answer: ``{"object"}`` or ``{"error", "causes"}``."""
        try:
            self.live = self._written(copy.deepcopy(step))
            answer: Json = {"object": copy.deepcopy(self.live)}
        except ApiError as error:
            causes = [{"reason": each.kind, "message": each.message, "field": each.field} for each in error.causes]
            answer = {"error": error.message, "causes": causes}
        self.answers.append(answer)
        return answer

    def _written(self, step: Json) -> Json:
        version = f"{GROUP}/{step['version']}"
        now = datetime.fromtimestamp(step["now"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        writer = Writer(step["manager"], version, now, step.get("subresource", ""))
        kind = THING.type.status_alone if writer.subresource else THING.type.beside_status
        sent = step["object"]
        if "tamper" in step:
            sent["metadata"] |= tampered(step["tamper"], self.live)
        old = copy.deepcopy(self.live) | {"apiVersion": version} if self.live else None
        if step["op"] == "apply":
            kept = copy.deepcopy(old)
            new = copy.deepcopy(ownership.apply(old, sent, kind, writer, force=step.get("force", False)))
            assert old == kept, "apply changed its argument"
            meta.decode(new["metadata"])
            THING.default(new)
            ownership.settle_times(old, new)
        else:
            new = sent
            meta.decode(new["metadata"])
            THING.prune(new)
            THING.default(new)
            ownership.on_write(old, new, kind, writer)
        if causes := THING.validate(new):
            raise Invalid("invalid", causes=causes)
        return _stored(old, new, writer.subresource)


def _stored(old: Json | None, new: Json, subresource: str) -> Json:
    if subresource:
        kept = copy.deepcopy(old or {})
        kept.pop("status", None)
        kept["metadata"].pop("managedFields", None)
        if entries := new["metadata"].get("managedFields"):
            kept["metadata"]["managedFields"] = entries
        return kept | ({"status": new["status"]} if "status" in new else {})
    new.pop("status", None)
    if old and "status" in old:
        new["status"] = old["status"]
    if old is None:
        new["metadata"]["uid"] = "u"
    return new


class Author:
    """Draws the steps of a history, each in sight of the object as it stands."""

    def __init__(self, random: Random) -> None:
        """A third of the histories speak two versions."""
        self.random = random
        self.now = BEGIN
        self.configs: dict[str, Json] = {}
        self.versions = ("v1", "v1", "v1beta1") if random.random() < 0.35 else ("v1",)

    def history(self, length: int) -> tuple[list[Json], Played]:
        """Return the steps, and the object after them with all answers on the way."""
        played, steps = Played(), []
        for _ in range(length):
            self.now += self.random.choice((0, 0, 1, 2))
            step = self.step(played.live)
            steps.append(step)
            played.take(step)
        return steps, played

    def step(self, live: Json | None) -> Json:
        """Draw one step; one that finds nothing creates."""
        choice = self.random.random()
        if live is None:
            return self._apply() if choice < 0.4 else self._step("create", self._object(self.values()), self._updater())
        if choice < 0.3:
            return self._update(live)
        if choice < 0.42:
            return self._status_update(live)
        if choice < 0.5:
            return self._status_apply()
        return self._apply()

    def _step(self, op: str, obj: Json, manager: str, **more: Any) -> Json:
        version = self.random.choice(self.versions)
        named = {**copy.deepcopy(obj), "apiVersion": f"{GROUP}/{version}"}
        return {"op": op, "manager": manager, "version": version, "now": self.now, "object": named, **more}

    def _updater(self) -> str:
        if self.random.random() < 0.1:
            return f"m{self.random.randrange(20)}"
        return self.random.choice(UPDATERS)

    def _object(self, spec: Json | None, **more: Any) -> Json:
        metadata: Json = {}
        for name, value in (("labels", self._labels()), ("annotations", self._strings()), ("finalizers", self._some("x.y/a", "x.y/b"))):
            if self.random.random() < 0.2:
                metadata[name] = value
        return thing(spec, metadata=metadata, **more)

    def _update(self, live: Json) -> Json:
        new = copy.deepcopy(live)
        new["metadata"].pop("managedFields", None)
        fresh = self._object(self.values())
        choice = self.random.random()
        if choice < 0.15:
            new = fresh | {"metadata": fresh["metadata"] | {"uid": "u"}} | ({"status": new["status"]} if "status" in new else {})
        elif choice < 0.9:
            self._mix(new.setdefault("spec", {}), fresh["spec"])
            if self.random.random() < 0.3:
                self._mix(new["metadata"], fresh["metadata"])
                new["metadata"]["name"] = "a"
        if self.random.random() < 0.1 and self.versions == ("v1",):
            new["status"] = self._status()
        return self._step("update", new, self._updater(), **self._tamper())

    def _mix(self, into: Json, fresh: Json) -> None:
        for name, value in fresh.items():
            choice = self.random.random()
            if choice < 0.2:
                into.pop(name, None)
            elif isinstance(value, dict) and isinstance(into.get(name), dict) and choice < 0.8:
                self._mix(into[name], value)
            elif isinstance(value, list) and isinstance(into.get(name), list) and choice < 0.8:
                self.random.shuffle(into[name])
                if into[name] and choice < 0.5:
                    into[name].pop()
            else:
                into[name] = value

    def _tamper(self) -> Json:
        kept = [self.random.random() < 0.5 for _ in range(10)]
        odd: list[Json] = [{"manager": "renamed"}, {"operation": "Bad"}, {"fieldsV1": {"f:spec": {"x": {}}}}, {"fieldsType": ""}]
        ways: list[Json] = [
            *({"how": name} for name in ("keep", "keep", "keep", "forget", "empty")),
            {"how": "some", "kept": kept},
            {"how": "change", "change": self.random.choice(odd)},
        ]
        return {"tamper": self.random.choice(ways)} if self.random.random() < 0.5 else {}

    def _status_update(self, live: Json) -> Json:
        new = copy.deepcopy(live) | {"status": self._status()}
        new["metadata"].pop("managedFields", None)
        if self.random.random() < 0.3:
            new["metadata"]["labels"] = {"x": "y"}
            new["spec"] = {"color": "green"}
        return self._step("update", new, self._updater(), subresource="status", **self._tamper())

    def _status_apply(self) -> Json:
        obj = self._object(None, status=self._status())
        if self.random.random() < 0.2:
            obj["spec"] = self.values()
        return self._step("apply", obj, self.random.choice(APPLIERS), subresource="status", force=self.random.random() < 0.6)

    def _apply(self) -> Json:
        manager = self.random.choice(APPLIERS)
        config = self.configs.get(manager)
        choice = self.random.random()
        if config is None or choice < 0.4:
            config = self._object(self.values())
        elif choice < 0.8:
            config = copy.deepcopy(config)
            self._mix(config.setdefault("spec", {}), self.values())
        if manager == "kubectl" and self.random.random() < 0.3:
            annotations = {"own": "x"} if self.random.random() < 0.5 else {}
            config = copy.deepcopy(config)
            config["metadata"]["annotations"] = annotations | {LAST_APPLIED: self._last_applied()}
        if self.random.random() < 0.1 and self.versions == ("v1",):
            config = config | {"status": self._status()}
        self.configs[manager] = config
        return self._step("apply", config, manager, force=self.random.random() < 0.6)

    def _last_applied(self) -> str:
        named = thing(self.values()) | {"apiVersion": f"{GROUP}/{self.random.choice(self.versions)}"}
        return self.random.choice(("{}", "", "no JSON", json.dumps(named), json.dumps(named)))

    # values of the schema's fields

    def values(self) -> Json:
        """A spec with some of the fields."""
        makers: dict[str, Callable[[], Any]] = {
            "color": lambda: self.random.choice(("red", "green", "blue", None)),
            "size": lambda: self.random.randrange(3),
            "note": lambda: self.random.choice((None, "n", "m")),
            "port": lambda: self.random.choice((1, "http")),
            "labels": self._strings,
            "frozen": self._strings,
            "numbers": lambda: [self.random.randrange(3) for _ in range(self.random.randrange(3))],
            "tags": lambda: self.random.choice((None, *[self._some("a", "b", "c", "<d>")] * 5)),
            "primes": lambda: self._some(2, 3, 5),
            "ports": self._ports,
            "pools": self._pools,
            "frames": lambda: [{"name": name, "data": self._strings()} for name in self._some("a", "b")],
            "owner": lambda: {name: self._word() for name in self._some("name", "mail", "role")},
            "free": self._free,
            "loose": lambda: {"known": {"a": self._word()}, **self._free()} if self.random.random() < 0.7 else {},
            "byName": self._by_name,
            "nested": lambda: {name: self._strings() for name in self._some("x", "y")},
            "template": lambda: {
                "apiVersion": "v1",
                "kind": "K",
                "metadata": {"name": self.random.choice("nm"), "labels": self._labels() | {"z": "z"}},
                **self._free(),
            },
        }
        return {name: makers[name]() for name in self.random.sample(sorted(makers), self.random.randrange(6))}

    def _word(self) -> str:
        return self.random.choice(("one", "two", 'ü<&>"', ""))

    def _some(self, *among: Any) -> list[Any]:
        return self.random.sample(among, self.random.randrange(len(among) + 1))

    def _strings(self) -> dict[str, str]:
        return {name: self._word() for name in self._some("a", "b", "c.d/e")}

    def _labels(self) -> dict[str, str]:
        return {name: self.random.choice(("one", "two", "")) for name in self._some("a", "b", "c.d/e")}

    def _by_name(self) -> Json:
        return {name: {"weight": self.random.randrange(2), "tags": self._some("a", "b")} for name in self._some("x", "y.z")}

    def _ports(self) -> list[Json]:
        found: dict[tuple[str, str], Json] = {}
        for name in self._some("a", "b", "c"):
            port: Json = {"name": name, "port": self.random.randrange(2)}
            if self.random.random() < 0.6:
                port["protocol"] = self.random.choice(("TCP", "UDP"))
            if self.random.random() < 0.3:
                port["annotations"] = self._strings()
            found[name, port.get("protocol", "TCP")] = port
        return list(found.values())

    def _pools(self) -> list[Json]:
        pools: list[Json] = [{"id": number, "tags": self._some("a", "b")} for number in self._some(1, 2, 3)]
        for pool in pools:
            if self.random.random() < 0.4:
                pool["deep"] = self._ports()
        return pools

    def _free(self) -> Json:
        values: tuple[Any, ...] = (1, "s", True, None, [1, {"x": 2}], {"b": {"c": 1}, "d": []}, {}, [])
        return {name: copy.deepcopy(self.random.choice(values)) for name in self._some("a", "b", "e")}

    def _condition(self, name: str) -> Json:
        found = {"type": name, "status": self.random.choice(("True", "False"))}
        return found | ({"reason": self._word()} if self.random.random() < 0.5 else {})

    def _status(self) -> Json:
        found: Json = {}
        if self.random.random() < 0.7:
            found["phase"] = self._word()
        if self.random.random() < 0.7:
            found["conditions"] = [self._condition(name) for name in self._some("Ready", "Healthy", "Paused")]
        return found
