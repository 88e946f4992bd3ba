"""What the machinery knows of a kind: names, shape, columns and rules, and nothing of what it means.

A :class:`Resource` is all that ``restapi`` needs to serve a kind. Our own kinds are
declared in ``kinds/``; a simulated cluster makes them at run time out of CRDs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from skerry.machinery.errors import Cause
from skerry.machinery.names import Naming, object_name_problems
from skerry.machinery.scale import Scale
from skerry.machinery.schema import Schema
from skerry.machinery.twin import Twin

Json: TypeAlias = dict[str, Any]
"""A JSON object. ``Any`` is honest here: the machinery is generic in the kind."""

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column.

    ``path`` is a JSONPath without braces (``.spec.version``); ``type`` is one of string, integer, number, boolean, date.
    """

    name: str
    path: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    value: Callable[[Json], Any] | None = None
    """Computes the cell where a path cannot (how many keys a Secret has)."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a validation rule may look at: the object as it will be stored, and as it was (None on create), and the time."""

    new: Json
    old: Json | None = None
    status: bool = False  # a write to the status subresource
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that names another object, which stays for as long as it is named.

    ``path`` is dotted (``spec.clusterGroup``) and leads to a name or a list of names; ``to`` is the storage key of what is
    named. ``beside``: it stands in the same namespace; it belongs to none otherwise. ``demanded``: it must be there before
    it is named; other references may come first. ``where``: it is a reference only where this path has this value; ``unless``:
    only where it has another one.
    """

    path: str
    to: str
    beside: bool = False
    demanded: bool = False
    where: tuple[str, str] | None = None
    unless: tuple[str, str] | None = None


Rule: TypeAlias = Callable[[Look], Sequence[Cause]]
"""A check beyond the schema (immutability, one field against another); returns its causes, never raises."""

Advice: TypeAlias = Callable[[Look], Sequence[str]]
"""What is allowed and ill-advised, as warnings for whoever writes; never raises."""


@dataclass(frozen=True)
class Resource:
    """One kind as it is served under one group and version.

    ``generation`` says whether spec changes count ``metadata.generation`` up (Secrets, Events
    and Leases have none). ``selectable`` names field-selector paths beside metadata.name and
    metadata.namespace (``spec.provisioner``). ``rules`` run after the schema's own validation.
    ``create_only`` kinds are reviews: a POST is answered and nothing is stored.
    ``latest`` kinds live in the latest-value table: no log, no history, cheap to write.
    """

    group: str
    version: str
    kind: str
    plural: str
    schema: Schema
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    status: bool = False
    scale: Scale | None = None
    """Where its objects keep how many of something they ask for; it has a scale subresource then."""
    generation: bool = True
    selectable: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    """Labels and selectable fields by which its objects are looked for so often that there is an index."""
    columns: tuple[Column, ...] = ()
    name_first: bool = True
    """Whether the name is the first column, before all others."""
    rules: tuple[Rule, ...] = ()
    advice: tuple[Advice, ...] = ()
    farewell: tuple[Advice, ...] = ()
    """What whoever deletes an object is warned of."""
    prepare: Callable[[Json], None] | None = field(default=None, compare=False)
    """Runs after decoding and before validation (Secrets turn stringData into data)."""
    strategic: bool = False
    """Takes strategic merge patches; only built-in kinds do, as in Kubernetes."""
    latest: bool = False
    confidential: bool = False
    """Encrypted wherever it is stored, and never quoted: what it holds may be a credential."""
    create_only: bool = False
    zero: Json | None = field(default=None, compare=False)
    """What a new object holds before anybody sets a field: Kubernetes' own kinds are typed, and nobody owns their zero values."""
    references: tuple[Reference, ...] = ()
    """Which other objects its objects name and keep from going."""
    inseparable: bool = False
    """What was made elsewhere for its objects goes with them: none is deleted and leaves that behind."""
    built_in: frozenset[str] = frozenset()
    """Names of objects that are always there: they are not deleted, and may be named before anybody asks whether they exist."""
    naming: Naming = field(default=object_name_problems, compare=False)
    """What is wrong with an object's name, if anything."""
    hub: str = ""
    """The version objects are stored as, where a kind is served in several; empty: this one."""
    twin: Twin | None = field(default=None, compare=False)
    """The kind whose stored objects these are, under other names; its columns are this one's."""
    field_paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    """Where a selectable field stands in a stored object, if not under its own path: the first that is not empty counts."""

    @cached_property
    def list_kind(self) -> str:
        """``ClusterList``."""
        return f"{self.kind}List"

    @cached_property
    def api_version(self) -> str:
        """``fleet.skerry.dev/v1alpha1``, or ``v1`` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def singular_name(self) -> str:
        """The singular, by default the kind in lower case."""
        return self.singular or self.kind.lower()

    @cached_property
    def key(self) -> str:
        """What identifies the stored objects, whatever version serves them: ``clusters.fleet.skerry.dev``."""
        if self.twin is not None:
            return self.twin.key
        return f"{self.plural}.{self.group}" if self.group else self.plural
