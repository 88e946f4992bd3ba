"""Who owns which field: ``metadata.managedFields`` on every kind of write, and server-side apply.

* A manager is a name, an operation (Apply or Update), a subresource, and for updates an API version.
* A write by Update owns what it added or modified; every other manager loses what was
  modified, added over it, or removed. A manager that owns nothing is gone.
* An Apply owns exactly what its config names. What it named before and names no more is
  removed, unless somebody else owns it. A field that another manager owns and that would
  change is a conflict, unless it is forced; then the other manager loses it.
* An entry's time moves only when its manager took or gave up something by a write of its own.
* ``[{}]`` as managedFields in an update forgets all managers, and no account is kept until
  somebody applies. A list that is empty or cannot be read, and any sent to a subresource, is ignored.
* At most ten Update entries: the oldest are merged into ``ancient-changes``.
* A manager of another API version is judged by that version's type; one of a version that is
  served no more is gone.

The rules are those of ``k8s.io/apimachinery/pkg/util/managedfields``; random histories are
played against it in ``tests/machinery``. What may be owned at all is the type's to say
(``types.py``): metadata that the server keeps is owned by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skerry.machinery import lastapplied
from skerry.machinery.compare import compare, same
from skerry.machinery.errors import BadRequest, Cause, Conflict
from skerry.machinery.fieldset import FieldSet, difference, intersection, is_sound, owned, paths, settled, union
from skerry.machinery.merge import merge, prune
from skerry.machinery.types import FieldType

Json = dict[str, Any]
Versions = Callable[[str], FieldType | None]
"""The type of an object in another API version, None if that is not served."""

MOST_UPDATERS = 10
ANCIENT = "ancient-changes"
FIRST = "before-first-apply"


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the manager's name, the API version and subresource it writes through, and the time (RFC 3339).

    ``quotable`` says whether the config may be noted in kubectl's annotation: not if it holds credentials, which
    would then stand in what readers of mere metadata see.
    """

    manager: str
    api_version: str
    now: str
    subresource: str = ""
    quotable: bool = True

    def entry(self, operation: str, fields: FieldSet, time: str | None) -> Json:
        """The managedFields entry of this writer."""
        return _entry(self.manager, operation, self.api_version, time, fields, self.subresource)

    def is_of(self, entry: Json, operation: str) -> bool:
        """Tell whether an entry is this writer's own for an operation."""
        if entry["operation"] != operation or entry.get("manager", "") != self.manager:
            return False
        is_version = operation == "Apply" or entry["apiVersion"] == self.api_version
        return is_version and bool(entry.get("subresource", "") == self.subresource)


def _entry(manager: str, operation: str, api_version: str, time: str | None, fields: FieldSet, subresource: str) -> Json:
    entry: Json = {"manager": manager, "operation": operation, "apiVersion": api_version}
    if time:
        entry["time"] = time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = fields
    if subresource:
        entry["subresource"] = subresource
    return entry


def _identity(entry: Json) -> tuple[str, str, str, str]:
    operation = entry["operation"]
    version = "" if operation == "Apply" else entry["apiVersion"]
    return (entry.get("manager", ""), operation, version, entry.get("subresource", ""))


def on_write(
    old: Json | None, new: Json, kind: FieldType, writer: Writer, *, versions: Versions | None = None, zero: Json | None = None
) -> None:
    """Set ``new``'s managedFields after a create, an update or a classic patch by ``writer``, in place.

    ``zero`` is what every object of the kind holds from the start, and nobody is said to have added.
    """
    before = _entries_before(old, new, writer)
    if old is not None and not before:
        _put(new, before)
        return
    base = _base(zero) if old is None else old
    judge = _Judge(base, new, kind, writer, versions)
    if before and not judge.own.changes and before is _entries(old or {}) and judge.is_alone(before):
        _put(new, before)
        return
    taken = judge.own.changes.taken
    entries: list[Json] = []
    mine: FieldSet = {}
    for entry in before:
        view = judge.view(entry)
        rest = view.rest(entry, view.changes.taken) if view else {}
        if taken and writer.is_of(entry, "Update"):
            mine = rest
        elif rest:
            entries.append(_holding(entry, rest))
    if taken:
        entries.append(writer.entry("Update", union(mine, taken), writer.now))
    _put(new, _capped(entries))


def apply(
    live: Json | None,
    config: Json,
    kind: FieldType,
    writer: Writer,
    *,
    force: bool,
    versions: Versions | None = None,
    zero: Json | None = None,
) -> Json:
    """Merge an applied config into the live object and return the result, managedFields included.

    The result has no defaults yet and may hold nulls; it shares parts with both arguments, which stay as they
    are. Raises Conflict with one cause per field, and BadRequest for a config with managedFields.
    """
    if (config.get("metadata") or {}).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    base = live or _base(zero)
    entries = _entries(base)
    if not entries and live:
        first = compare(_base(zero), live, kind).taken
        entries = [Writer(FIRST, writer.api_version, writer.now, writer.subresource).entry("Update", first, writer.now)] if first else []
    last = next((entry for entry in entries if writer.is_of(entry, "Apply")), None)
    others = [entry for entry in entries if entry is not last]
    applied = owned(config, kind)
    result: Json = merge(base, config, kind)
    if last is not None and last["fieldsV1"] != applied:
        managed = applied
        for entry in others:
            managed = union(managed, settled(entry["fieldsV1"], kind))
        result = prune(result, kind, settled(last["fieldsV1"], kind), managed)
    if _keeps_note(result, writer) and not writer.quotable:
        result = _annotated(result, lastapplied.without(result["metadata"]["annotations"]))
    judge = _Judge(base, result, kind, writer, versions)
    others = _yielded(others, judge, _allowed(live, kind, writer), force=force)
    if applied:
        others.append(_claim(last, applied, writer, moved=not same(base, result)))
    return _noted(_with(result, others), config, writer)


def _base(zero: Json | None) -> Json:
    """What stands before an object is created."""
    return {"metadata": {}, **(zero or {})}


class _View:
    """What one write changed, and what a manager owned, as one API version sees it."""

    def __init__(self, old: Json, new: Json, kind: FieldType) -> None:
        self.kind = kind
        self.changes = compare(old, new, kind)

    def fields(self, entry: Json) -> FieldSet:
        """What a manager owned before; what the schema has made atomic since then only matters where it was touched."""
        fields: FieldSet = entry["fieldsV1"]
        return settled(fields, self.kind) if self.changes.touches_atomic else fields

    def rest(self, entry: Json, lost: FieldSet) -> FieldSet:
        """What a manager keeps when it loses some fields and what was removed."""
        return difference(difference(self.fields(entry), lost), self.changes.removed)


class _Judge:
    """One write in the eyes of every manager: each has the API version through which it wrote."""

    def __init__(self, old: Json, new: Json, kind: FieldType, writer: Writer, versions: Versions | None) -> None:
        self._old, self._new, self._versions = old, new, versions
        self.own = _View(old, new, kind)
        self._views: dict[str, _View | None] = {writer.api_version: self.own}

    def is_alone(self, entries: list[Json]) -> bool:
        """Whether every manager wrote through the version of this write."""
        return self._versions is None or all(entry["apiVersion"] in self._views for entry in entries)

    def view(self, entry: Json) -> _View | None:
        """The view of a manager; None if its version is served no more."""
        version: str = entry["apiVersion"]
        if version not in self._views:
            kind = self._versions(version) if self._versions else self.own.kind
            other = _View(self._old, self._new, kind) if kind and kind is not self.own.kind else None
            self._views[version] = self.own if kind is self.own.kind else other
        return self._views[version]


def _holding(entry: Json, fields: FieldSet) -> Json:
    return entry if fields is entry["fieldsV1"] else {**entry, "fieldsV1": fields}


def _claim(last: Json | None, applied: FieldSet, writer: Writer, *, moved: bool) -> Json:
    """The applier's own entry. Where the object stays as it is the time does, too: one that had none has none."""
    if moved:
        return writer.entry("Apply", applied, writer.now)
    if last is not None and last["fieldsV1"] == applied and last["apiVersion"] == writer.api_version:
        return last
    return writer.entry("Apply", applied, last.get("time") if last else None)


def _allowed(live: Json | None, kind: FieldType, writer: Writer) -> Callable[[], FieldSet]:
    """What ``kubectl apply --server-side`` may take over unasked: what client-side apply had set before."""
    if live is None or writer.manager != lastapplied.KUBECTL:
        return dict
    return lambda: lastapplied.still_applied(live, kind, writer.api_version)


def _yielded(entries: list[Json], judge: _Judge, allowed: Callable[[], FieldSet], *, force: bool) -> list[Json]:
    """What the other managers keep; raises Conflict if they would lose something unasked."""
    conflicts: list[tuple[Json, FieldSet]] = []
    result = []
    for entry in entries:
        view = judge.view(entry)
        if view is None:
            continue
        lost = intersection(view.fields(entry), view.changes.taken)
        if lost:
            conflicts.append((entry, lost))
        if rest := view.rest(entry, lost):
            result.append(_holding(entry, rest))
    if conflicts and not force:
        free = allowed()
        conflicts = [(entry, left) for entry, lost in conflicts if (left := difference(lost, free))]
        if conflicts:
            raise _conflict(conflicts)
    return result


def _conflict(conflicts: list[tuple[Json, FieldSet]]) -> Conflict:
    ordered = [(_who(entry), list(paths(lost))) for entry, lost in sorted(conflicts, key=lambda each: _identity(each[0]))]
    causes = [Cause("FieldManagerConflict", f"conflict with {who}", path) for who, lost in ordered for path in lost]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        lines = [line for who, lost in ordered for line in (f"conflicts with {who}:", *(f"- {path}" for path in lost))]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Conflict(text, causes=causes)


def _who(entry: Json) -> str:
    name = f'"{entry.get("manager", "")}"'
    if entry.get("subresource"):
        name += f' with subresource "{entry["subresource"]}"'
    return f"{name} using {entry['apiVersion']}" if entry["operation"] == "Update" else name


def _keeps_note(result: Json, writer: Writer) -> bool:
    """Whether it is on this writer to keep the annotation of client-side apply true."""
    return writer.manager == lastapplied.KUBECTL and not writer.subresource and bool(lastapplied.of(result))


def _noted(result: Json, config: Json, writer: Writer) -> Json:
    if not _keeps_note(result, writer):
        return result
    return _annotated(result, lastapplied.noted(result["metadata"]["annotations"], config))


def _annotated(result: Json, annotations: dict[str, str]) -> Json:
    return {**result, "metadata": {**result["metadata"], "annotations": annotations}}


def _entries(obj: Json) -> list[Json]:
    return (obj.get("metadata") or {}).get("managedFields") or []


def _entries_before(old: Json | None, new: Json, writer: Writer) -> list[Json]:
    """The entries that a write starts from: the caller's own list where he sent one that can be read, else the stored one."""
    stored = _entries(old) if old else []
    sent = (new.get("metadata") or {}).get("managedFields")
    if sent is None or sent == stored or writer.subresource:
        return stored
    if sent == [{}]:
        return []
    if not sent or not all(_is_sound(entry) for entry in sent):
        return stored
    return list({_identity(entry): _known(entry) for entry in sent}.values())


def _is_sound(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("operation") in {"Apply", "Update"}
        and bool(entry.get("apiVersion"))
        and entry.get("fieldsType") == "FieldsV1"
        and is_sound(entry.get("fieldsV1") or {})
    )


def _known(entry: Json) -> Json:
    """A client's entry with the fields that an entry has."""
    names = (entry.get("manager", ""), entry["operation"], entry["apiVersion"], entry.get("time"))
    return _entry(*names, entry.get("fieldsV1") or {}, entry.get("subresource", ""))


def _put(obj: Json, entries: list[Json]) -> None:
    if entries:
        obj["metadata"]["managedFields"] = sorted(entries, key=_order) if len(entries) > 1 else entries
    else:
        obj["metadata"].pop("managedFields", None)


def _with(obj: Json, entries: list[Json]) -> Json:
    result = {**obj, "metadata": dict(obj.get("metadata") or {})}
    _put(result, entries)
    return result


def _order(entry: Json) -> tuple[str, str, str, str, str]:
    return (entry["operation"], entry.get("time", ""), entry.get("manager", ""), entry["apiVersion"], entry.get("subresource", ""))


def _capped(entries: list[Json]) -> list[Json]:
    """Merge the oldest Update entries of one API version into one until there are at most ten."""
    updaters = [entry for entry in entries if entry["operation"] == "Update"]
    surplus = len(updaters) - MOST_UPDATERS
    if surplus <= 0:
        return entries
    updaters.sort(key=lambda entry: (entry.get("time", ""), *_identity(entry)))
    first: dict[str, Json] = {}
    buckets = {entry["apiVersion"]: entry for entry in updaters if entry.get("manager") == ANCIENT and "subresource" not in entry}
    gone: list[Json] = []
    for entry in updaters:
        version = entry["apiVersion"]
        if version not in first:
            first[version] = entry
            continue
        into = buckets.get(version)
        if entry is into:
            continue
        if into is None:
            into = first[version]
        buckets[version] = _entry(ANCIENT, "Update", version, entry.get("time"), union(entry["fieldsV1"], into["fieldsV1"]), "")
        gone += [into, entry]
        surplus -= 1
        if not surplus:
            break
    kept = [entry for entry in entries if not any(entry is each for each in gone)]
    return kept + [entry for entry in buckets.values() if not any(entry is each for each in kept + gone)]


def settle_times(old: Json | None, new: Json) -> None:
    """Put back the times of managedFields, in place, where nothing but times changed: such a write is none."""
    was, now = _entries(old or {}), _entries(new)
    if old is None or len(was) != len(now) or was == now:
        return
    if all(_timeless(one) == _timeless(other) for one, other in zip(was, now, strict=True)):
        bare_old, bare_new = ({**obj, "metadata": {**obj["metadata"], "managedFields": None}} for obj in (old, new))
        if same(bare_old, bare_new):
            new["metadata"]["managedFields"] = was


def _timeless(entry: Json) -> Json:
    return {**entry, "time": None}
