"""Who owns which field: ``metadata.managedFields`` on every kind of write, and server-side apply.

* A manager is a name, an operation (Apply or Update), an API version and a subresource.
* A write by Update owns what it added or modified; every other manager loses what was
  modified, added over it, or removed. A manager that owns nothing is gone.
* An Apply owns exactly what its config names. What it named before and names no more is
  removed, unless somebody else owns it. A field that another manager owns and that would
  change is a conflict, unless it is forced; then the other manager loses it.
* An entry's time moves only when its manager took or gave up something by a write of its own.
* ``[{}]`` or ``[]`` as managedFields in an update forgets all managers.
* At most ten Update entries: the oldest are merged into ``ancient-changes``.

The rules are those of ``k8s.io/apimachinery/pkg/util/managedfields``; the differential suite
holds the results against a real API server. Metadata that the server itself keeps (name, uid,
revision …) is owned by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skerry.machinery.compare import Changes, compare
from skerry.machinery.errors import BadRequest, Cause, Conflict
from skerry.machinery.fieldset import FieldSet, difference, intersection, owned, paths, union
from skerry.machinery.merge import merge, prune
from skerry.machinery.types import FieldType

Json = dict[str, Any]

MOST_UPDATERS = 10
ANCIENT = "ancient-changes"

SERVER_KEPT = frozenset(
    f"f:{name}"
    for name in (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the manager's name, the API version and subresource it writes through, and the time (RFC 3339)."""

    manager: str
    api_version: str
    now: str
    subresource: str = ""

    def entry(self, operation: str, fields: FieldSet) -> Json:
        """The managedFields entry of this writer."""
        entry = {
            "manager": self.manager,
            "operation": operation,
            "apiVersion": self.api_version,
            "time": self.now,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry

    def is_of(self, entry: Json, operation: str) -> bool:
        """Tell whether an entry is this writer's own for an operation."""
        return (
            entry.get("manager") == self.manager
            and entry.get("operation") == operation
            and entry.get("apiVersion") == self.api_version
            and entry.get("subresource", "") == self.subresource
        )


def on_write(old: Json | None, new: Json, kind: FieldType, writer: Writer) -> None:
    """Set ``new``'s managedFields after a create, an update or a classic patch by ``writer``, in place."""
    before = _entries_before(old, new)
    changes = _changes(old, new, kind)
    if not changes:
        _put(new, before)
        return
    taken = union(changes.added, changes.modified)
    entries: list[Json] = []
    mine: Json | None = None
    for entry in before:
        rest = difference(difference(entry["fieldsV1"], taken), changes.removed)
        kept = entry if rest is entry["fieldsV1"] else {**entry, "fieldsV1": rest}
        if mine is None and writer.is_of(entry, "Update"):
            mine = kept
        elif rest:
            entries.append(kept)
    if taken:
        entries.append(writer.entry("Update", union(mine["fieldsV1"], taken) if mine else taken))
        entries = _capped(entries)
    elif mine is not None and mine["fieldsV1"]:
        entries.append(mine)
    _put(new, entries)


def apply(live: Json | None, config: Json, kind: FieldType, writer: Writer, *, force: bool, only: FieldType | None = None) -> Json:
    """Merge an applied config into the live object and return the result, managedFields included.

    ``only`` limits what is applied to part of the object (its status, or everything but it): the rest of the
    config is ignored. Raises Conflict with one cause per field, and BadRequest for a config with managedFields.
    """
    metadata = config.get("metadata") or {}
    if metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    if only is not None:
        config = {name: value for name, value in config.items() if name in only.fields}
    base = _bare(live) if live else {}
    entries = _entries(live or {})
    applied = _strip(owned(config, kind))
    if live and not entries and base:
        entries = [Writer("before-first-apply", writer.api_version, writer.now).entry("Update", _changes(None, base, kind).added)]
    last = next((entry for entry in entries if writer.is_of(entry, "Apply")), None)
    others = [entry for entry in entries if entry is not last]
    result: Json = merge(base, config, kind)
    if last is not None:
        kept = applied
        for entry in others:
            kept = union(kept, entry["fieldsV1"])
        result = prune(
            result, kind, last["fieldsV1"], {**kept, "f:apiVersion": {}, "f:kind": {}, "f:metadata": kept.get("f:metadata", {".": {}})}
        )
    changes = _changes(base, result, kind)
    others = _yield(others, changes, force=force)
    same_claim = last is not None and last["fieldsV1"] == applied
    if same_claim and last is not None and not changes:
        others.append(last)
    elif applied:
        entry = writer.entry("Apply", applied)
        if not changes:
            # nothing but ownership moves: Kubernetes leaves the time as it was, or out
            entry = {name: value for name, value in entry.items() if name != "time"}
            if last is not None and "time" in last:
                entry["time"] = last["time"]
        others.append(entry)
    _put(result, others)
    return result


def _yield(entries: list[Json], changes: Changes, *, force: bool) -> list[Json]:
    """What the other managers keep; raises Conflict if they would lose something unasked."""
    taken = union(changes.added, changes.modified)
    conflicts: list[tuple[Json, FieldSet]] = []
    result = []
    for entry in entries:
        lost = intersection(entry["fieldsV1"], taken)
        if lost:
            conflicts.append((entry, lost))
        rest = difference(difference(entry["fieldsV1"], lost), changes.removed)
        if rest:
            result.append(entry if rest is entry["fieldsV1"] else {**entry, "fieldsV1": rest})
    if conflicts and not force:
        raise _conflict(conflicts)
    return result


def _conflict(conflicts: list[tuple[Json, FieldSet]]) -> Conflict:
    named = sorted(((_who(entry), list(paths(lost))) for entry, lost in conflicts), key=lambda each: each[0])
    causes = [Cause("FieldManagerConflict", f"conflict with {who}", path) for who, lost in named for path in lost]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: conflict with {named[0][0]}: {named[0][1][0]}"
    else:
        lines = [line for who, lost in named for line in (f"conflicts with {who}:", *(f"- {path}" for path in lost))]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Conflict(text, causes=causes)


def _who(entry: Json) -> str:
    name = f'"{entry.get("manager", "")}"'
    if entry.get("subresource"):
        name += f' with subresource "{entry["subresource"]}"'
    return f"{name} using {entry.get('apiVersion', '')}" if entry.get("operation") == "Update" else name


def _changes(old: Json | None, new: Json, kind: FieldType) -> Changes:
    changes = compare(_bare(old) if old else {}, _bare(new), kind)
    return Changes(_strip(changes.added), _strip(changes.modified), _strip(changes.removed))


def _bare(obj: Json) -> Json:
    """The object without its managedFields."""
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _strip(fields: FieldSet) -> FieldSet:
    """Take away what nobody owns: apiVersion, kind, and the metadata that the server keeps."""
    if not fields:
        return fields
    result = {name: node for name, node in fields.items() if name not in {"f:apiVersion", "f:kind", "f:metadata"}}
    below = {name: node for name, node in fields.get("f:metadata", {}).items() if name not in SERVER_KEPT and name != "."}
    if below:
        result["f:metadata"] = below
    return result


def _entries(obj: Json) -> list[Json]:
    found = (obj.get("metadata") or {}).get("managedFields") or []
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("fieldsV1"), dict)]


def _entries_before(old: Json | None, new: Json) -> list[Json]:
    """The entries that a write starts from: the caller's own list where he sent a sound one, else the stored one."""
    sent = (new.get("metadata") or {}).get("managedFields")
    if sent == [{}]:
        return []
    if sent and all(_is_sound(entry) for entry in sent):
        return list(sent)
    return _entries(old) if old else []


def _is_sound(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("operation") in {"Apply", "Update"}
        and bool(entry.get("apiVersion"))
        and entry.get("fieldsType") == "FieldsV1"
        and isinstance(entry.get("fieldsV1"), dict)
    )


def _put(obj: Json, entries: list[Json]) -> None:
    if entries:
        entries.sort(key=_order)
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def _order(entry: Json) -> tuple[str, str, str, str, str]:
    return (entry["operation"], entry.get("time", ""), entry.get("manager", ""), entry["apiVersion"], entry.get("subresource", ""))


def _capped(entries: list[Json]) -> list[Json]:
    """Merge the oldest Update entries of one API version until there are at most ten."""
    updaters = sorted((entry for entry in entries if entry["operation"] == "Update"), key=_order)
    surplus = len(updaters) - MOST_UPDATERS
    if surplus <= 0:
        return entries
    merged: dict[str, Json] = {}
    old = updaters[: surplus + 1]
    for entry in old:
        found = merged.get(entry["apiVersion"])
        fields = union(found["fieldsV1"], entry["fieldsV1"]) if found else entry["fieldsV1"]
        merged[entry["apiVersion"]] = {key: value for key, value in entry.items() if key != "subresource"} | {
            "manager": ANCIENT,
            "fieldsV1": fields,
        }
    return [entry for entry in entries if not any(entry is each for each in old)] + list(merged.values())
