"""Rules that a schema cannot say, built once per kind and run after the schema's own validation.

* A full name is a path: the components in ``spec`` and ``metadata.name`` say the same, and
  neither ever changes. :func:`path_name` fills components that were left out from the name
  and :func:`path_rule` holds the two against each other.
* :func:`immutable` fields keep the value they were created with.

Every rule returns causes in the words of the Kubernetes field errors and never raises.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Sequence

from skerry.kinds.shape import LABEL
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Json, Look, Rule

_LABEL = re.compile(LABEL)
_KEY = re.compile(r"[-._a-zA-Z0-9]+")

MAX_BYTES = 1024 * 1024
"""What the values of a ConfigMap or a Secret may have together."""


def bad(field: str, value: object, why: str) -> Cause:
    """A cause for a value that breaks a rule, worded as Kubernetes words it."""
    return Cause("FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {why}", field)


def bad_keys(field: str, keys: Iterable[str]) -> list[Cause]:
    """Causes for keys of a ConfigMap or a Secret that could not be file names."""
    text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    examples = "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    return [bad(f"{field}[{key}]", key, f"{text} {examples}") for key in keys if not _KEY.fullmatch(key)]


def decoded(text: str) -> bytes | None:
    """The bytes behind base64, None if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def missing(field: str, why: str = "") -> Cause:
    """A cause for a value that must be there."""
    return Cause("FieldValueRequired", f"Required value: {why}" if why else "Required value", field)


def at(obj: Json, path: str) -> object:
    """The value at a dotted path, None where it ends early."""
    value: object = obj
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def immutable(*paths: str) -> Rule:
    """Fields that keep the value of their creation."""

    def rule(look: Look) -> Sequence[Cause]:
        if look.old is None or look.status:
            return ()
        old = look.old
        return [bad(path, at(look.new, path), "field is immutable") for path in paths if at(look.new, path) != at(old, path)]

    return rule


def sparse(obj: Json, *names: str) -> None:
    """Take out what holds nothing: in Kubernetes' own kinds an empty map is not there."""
    for name in names:
        if obj.get(name) == {}:
            del obj[name]


def path_name(*components: str) -> Callable[[Json], None]:
    """Fill the leading components of the spec (``provisioner``, ``cluster``) from the name where they were left out."""

    def prepare(obj: Json) -> None:
        name = obj.get("metadata", {}).get("name")
        if not isinstance(name, str):
            return
        parts = name.split(".")
        if len(parts) != len(components) + 1:
            return  # path_rule says what is wrong with the name
        spec = obj.setdefault("spec", {})
        if isinstance(spec, dict):
            for component, part in zip(components, parts, strict=False):
                spec.setdefault(component, part)

    return prepare


def path_rule(*components: str) -> Rule:
    """``metadata.name`` is the components of the spec and a last label, joined by dots."""
    form = ".".join([*(f"<{component}>" for component in components), "<name>"])

    def rule(look: Look) -> Sequence[Cause]:
        if look.status:
            return ()
        name = str(look.new["metadata"].get("name", ""))
        parts = name.split(".")
        if len(parts) != len(components) + 1 or not all(_LABEL.match(part) and len(part) <= 63 for part in parts):
            return [bad("metadata.name", name, f"must have the form {form}, each part a DNS label of at most 63 characters")]
        spec = look.new.get("spec", {})
        return [
            bad(f"spec.{component}", spec.get(component), f'must be "{part}", as metadata.name says')
            for component, part in zip(components, parts, strict=False)
            if spec.get(component) != part
        ]

    return rule


def label_rule(look: Look) -> Sequence[Cause]:
    """The name is one component: a DNS label."""
    name = str(look.new["metadata"].get("name", ""))
    if look.old is not None or (_LABEL.match(name) and len(name) <= 63):
        return ()
    return [bad("metadata.name", name, "must be a DNS label of at most 63 characters: lower-case letters, digits and dashes")]


def not_named(*patterns: str) -> Rule:
    """Names that are kept for the installation itself."""
    reserved = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))

    def rule(look: Look) -> Sequence[Cause]:
        name = str(look.new["metadata"].get("name", ""))
        if look.old is not None or not reserved.fullmatch(name):
            return ()
        return [bad("metadata.name", name, "is reserved; choose a name that is not default and does not begin with kube- or skerry-")]

    return rule
