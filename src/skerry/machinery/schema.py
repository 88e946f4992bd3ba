"""A kind's shape: one structural schema, compiled on first use into what every write needs.

``prune``, ``default`` and ``validate`` are closures built from the document (``prune.py``,
``validate.py``), ``type`` is what field ownership reads (``types.py``). The document itself is
what OpenAPI and ``kubectl explain`` show. Schemas of our own kinds and of CRDs that arrive at
run time are the same to everybody else.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from skerry.machinery.compiled import Fast, fast
from skerry.machinery.errors import Cause
from skerry.machinery.prune import Defaulter, Pruner, defaulter, pruner
from skerry.machinery.types import FieldType, object_type
from skerry.machinery.validate import Check, compile_schema

Json = dict[str, Any]

OFTEN = 20
"""So many objects are validated by the slow walk before a kind is worth a function of its own (making one takes milliseconds)."""


class Schema:
    """The compiled form of a structural schema of a whole object."""

    def __init__(self, document: Json) -> None:
        """Keep the document; nothing is compiled before it is used."""
        self.document = document
        self._validated = 0

    @cached_property
    def _pruner(self) -> Pruner | None:
        return pruner(self.document, root=True)

    @cached_property
    def _defaulter(self) -> Defaulter | None:
        return defaulter(self.document)

    @cached_property
    def _check(self) -> Check:
        return compile_schema(self.document)

    @cached_property
    def type(self) -> FieldType:
        """How the whole object is owned."""
        return object_type(self.document)

    def prune(self, obj: Json) -> list[str]:
        """Drop, in place, what the schema does not know; return the paths of what was dropped (``spec.foo``)."""
        unknown: list[str] = []
        if self._pruner is not None:
            self._pruner(obj, "", unknown)
        return unknown

    def default(self, obj: Json) -> None:
        """Fill in defaults, in place."""
        if self._defaulter is not None:
            self._defaulter(obj)

    @cached_property
    def _fast(self) -> Fast:
        return fast(self.document)

    def validate(self, obj: Json) -> list[Cause]:
        """Return what breaks the schema; empty if nothing does."""
        self._validated += 1
        if self._validated > OFTEN and self._fast(obj):
            return []
        found: list[Cause] = []
        self._check(obj, "", found)
        return found
