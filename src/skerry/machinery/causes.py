"""Field errors in the words of ``k8s.io/apimachinery/pkg/util/validation/field``: one function per kind of error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skerry.machinery.errors import Cause
from skerry.machinery.gotext import quoted, shown


def invalid(field: str, value: Any, detail: str) -> Cause:
    """Say that the value breaks a rule."""
    return Cause("FieldValueInvalid", _with(f"Invalid value: {shown(value)}", detail), field)


def type_invalid(field: str, value: Any, detail: str) -> Cause:
    """Say that the value has the wrong type."""
    return Cause("FieldValueTypeInvalid", _with(f"Invalid value: {shown(value)}", detail), field)


def required(field: str, detail: str = "") -> Cause:
    """Say that the value must be there."""
    return Cause("FieldValueRequired", _with("Required value", detail), field)


def forbidden(field: str, detail: str) -> Cause:
    """Say that the value may not be there, or not be changed."""
    return Cause("FieldValueForbidden", _with("Forbidden", detail), field)


def duplicate(field: str, value: Any) -> Cause:
    """Say that the value stands twice."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", field)


def not_supported(field: str, value: Any, allowed: Iterable[str]) -> Cause:
    """Say which values are allowed."""
    values = ", ".join(quoted(str(each)) for each in allowed)
    return Cause("FieldValueNotSupported", _with(f"Unsupported value: {shown(value)}", f"supported values: {values}"), field)


def too_long(field: str, most: int) -> Cause:
    """Say how many bytes there may be."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {most} {'byte' if most == 1 else 'bytes'}", field)


def too_many(field: str, count: int, most: int) -> Cause:
    """Say how many items there may be."""
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {most} {'item' if most == 1 else 'items'}", field)


def _with(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head
