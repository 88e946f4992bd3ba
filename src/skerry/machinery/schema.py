"""A kind's shape: one structural schema, compiled on first use into what every write needs.

Pruning and validation are each written twice: as a walk that knows every rule, path and text
(``prune.py``; ``validate.py`` and ``invariants.py``), and as a function compiled from the schema
that finds most objects clean at a tenth of the price (``tidy.py``, ``compiled.py``). Defaulting
is exact as it is (``defaults.py``), ``type`` is what field ownership reads (``types.py``). The
document itself is what OpenAPI and ``kubectl explain`` show. Schemas of our own kinds and of
CRDs that arrive at run time are the same to everybody else.

Not here: rules in CEL (``x-kubernetes-validations``). A definition may carry them and they are
shown to whoever reads the schema, but they are not evaluated: an object that breaks only such a
rule is taken.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from skerry.machinery import prune
from skerry.machinery.compiled import surely_valid
from skerry.machinery.defaults import Defaulter, defaulter
from skerry.machinery.errors import Cause
from skerry.machinery.invariants import duplicates, embedded
from skerry.machinery.source import Answer
from skerry.machinery.tidy import surely_tidy
from skerry.machinery.types import FieldType, object_type
from skerry.machinery.validate import ABSENT, explain

Json = dict[str, Any]

OFTEN = 20
"""So many objects are walked before a kind is worth functions of its own (making them takes milliseconds)."""


class Schema:
    """The compiled form of a structural schema of a whole object."""

    def __init__(self, document: Json) -> None:
        """Keep the document; nothing is compiled before it is used."""
        self.document = document
        self._pruned = self._validated = 0

    @cached_property
    def type(self) -> FieldType:
        """How the whole object is owned."""
        return object_type(self.document)

    @cached_property
    def _tidy(self) -> Answer:
        return surely_tidy(self.document, root=True)

    @cached_property
    def _defaulter(self) -> Defaulter | None:
        return defaulter(self.document)

    @cached_property
    def _valid(self) -> Answer:
        return surely_valid(self.document)

    def prune(self, obj: Json) -> list[str]:
        """Drop, in place, what the schema does not know; return the paths of what was dropped (``spec.foo``).

        Raises BadRequest where the metadata of an object inside the object cannot be understood.
        """
        self._pruned += 1
        if self._pruned > OFTEN and self._tidy(obj):
            return []
        return prune.prune(self.document, obj)

    def default(self, obj: Json) -> None:
        """Fill in defaults, in place."""
        if self._defaulter is not None:
            self._defaulter(obj)

    def validate(self, obj: Json, old: Json | None = None, *, status: bool = False) -> list[Cause]:
        """Return what breaks the schema; empty if nothing does.

        With ``old``, what was broken there already and has not changed is forgiven. A write to the
        status subresource is held to the status' schema alone.
        """
        self._validated += 1
        if self._validated > OFTEN and self._valid(obj):
            return []
        found = self._explain(obj, old, status=status)
        again = duplicates(self.document, obj)
        return found if again and old is not None and duplicates(self.document, old) else found + again

    def _explain(self, obj: Json, old: Json | None, *, status: bool) -> list[Cause]:
        if not status:
            return explain(self.document, obj, ABSENT if old is None else old) + embedded(self.document, obj)
        below = (self.document.get("properties") or {}).get("status") or {}
        return explain(below, obj["status"], (old or {}).get("status", ABSENT), prefix="status") if "status" in obj else []
