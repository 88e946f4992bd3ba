"""Requests that carry a secret value by every door, sound ones and ones that are refused; and a search for what is left of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]

SECRETS = "/api/v1/namespaces/default/secrets"
SETS = "/apis/fleet.skerry.dev/v1alpha1/namespaces/default/manifestsets"
CREDENTIALS = "/apis/fleet.skerry.dev/v1alpha1/credentials"
MERGE, STRATEGIC, PATCH = "application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json"
APPLY, YAML, PLAIN = "application/apply-patch+yaml", "application/yaml", "application/json"
NOTE = "kubectl.kubernetes.io/last-applied-configuration"


class Sent(NamedTuple):
    """A request, and whether it shall succeed."""

    method: str
    path: str
    body: bytes
    media: str
    good: bool


class Planter:
    """Makes values that stand nowhere else, and remembers them."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def value(self) -> str:
        made = f"planted-{len(self.values):04d}-7QdXw3TzK9"  # of a length that base64 needs no padding for
        made += "x" * (-len(made) % 3)
        self.values.append(made)
        return made

    def coded(self) -> str:
        return base64.b64encode(self.value().encode()).decode()

    def found_in(self, data: bytes) -> list[str]:
        """Which values stand in some bytes, in the clear or as base64 at any offset."""
        return [value for value in self.values if any(form in data for form in forms(value))]

    def requests(self) -> Iterator[Sent]:
        """Every door, one after the other; good ones and bad ones."""
        yield from self._good()
        yield from self._malformed()
        yield from self._broken_text()
        yield from self._of_other_kinds()

    def _good(self) -> Iterator[Sent]:
        value, coded = self.value, self.coded
        yield _sent("POST", SECRETS, secret("a", stringData={"k": value()}, data={"j": coded()}))
        yield _sent("POST", f"{SECRETS}?dryRun=All", secret("dry", stringData={"k": value()}))
        yield _sent("PATCH", f"{SECRETS}/a", {"stringData": {"k": value()}}, MERGE)
        yield _sent("PATCH", f"{SECRETS}/a", {"data": {"k": coded()}}, STRATEGIC)
        yield _sent("PATCH", f"{SECRETS}/a?dryRun=All", {"data": {"k": coded()}}, STRATEGIC)
        yield _sent("PATCH", f"{SECRETS}/a", [{"op": "replace", "path": "/data/k", "value": coded()}], PATCH)
        yield _sent("PUT", f"{SECRETS}/b", {}, good=False)
        yield _sent("PATCH", f"{SECRETS}/b?fieldManager=x", secret("b", stringData={"k": value()}, data={"j": coded()}), APPLY)
        yield _sent("PATCH", f"{SECRETS}/b?fieldManager=x&dryRun=All", secret("b", data={"k": coded()}), APPLY)
        yield _sent("PATCH", f"{SECRETS}/b?fieldManager=y", secret("b", data={"j": coded()}), APPLY, good=False)  # a conflict
        noted = json.dumps(secret("c", data={"k": coded()}))
        yield _sent("POST", SECRETS, {**secret("c", data={"k": coded()}), "metadata": {"name": "c", "annotations": {NOTE: noted}}})
        yield _sent("PATCH", f"{SECRETS}/c?fieldManager=kubectl&force=true", secret("c", data={"k": coded()}), APPLY)

    def _malformed(self) -> Iterator[Sent]:
        value, coded = self.value, self.coded
        for strict in ("", "fieldValidation=Strict"):
            bodies: tuple[Json, ...] = (
                *({"data": each} for each in (value(), [value()], {"k": value()}, {"k": [value()]}, {"k": {"x": value()}})),
                {"data": {"no good": coded()}},
                *({"stringData": each} for each in (value(), [value()], {"k": [value()]}, {"k": {"x": value()}})),
                {"password": value()}, {"immutable": value()}, {"type": [value()]},
                {"metadata": value()}, {"metadata": {"labels": value()}},
                {"data": {"k": coded()}, "metadata": {"resourceVersion": "1", "name": "a"}},
            )  # fmt: skip
            for body in bodies:
                for method, path, media in (
                    ("POST", SECRETS, PLAIN), ("PUT", f"{SECRETS}/a", PLAIN), ("PATCH", f"{SECRETS}/a", MERGE),
                    ("PATCH", f"{SECRETS}/a", STRATEGIC), ("PATCH", f"{SECRETS}/a", APPLY),
                ):  # fmt: skip
                    query = "&".join(filter(None, (strict, "dryRun=All", "fieldManager=x")))
                    whole = body if media in {MERGE, STRATEGIC} else {**secret("a"), **body}
                    yield _sent(method, f"{path}?{query}", whole, media, good=False)
            for operations in (
                value(), [value()], [{"op": "test", "path": "/data/k", "value": value()}],
                [{"op": "add", "path": "/data/k/x", "value": value()}],
                [{"op": "replace", "path": "/no/x", "value": value()}], [{"op": "add", "path": "/type", "value": {"x": value()}}],
            ):  # fmt: skip
                yield _sent("PATCH", f"{SECRETS}/a", operations, PATCH, good=False)

    def _broken_text(self) -> Iterator[Sent]:
        value = self.value
        texts = (
            f'{{"data":{{"k":"{value()}"', f'{{"data":{{"k":{value()}}}}}', f'\ud800{{"data":"{value()}"}}', f"data: {value()}: x\n y",
            f"data:\n  k: !!int {value()}", f"data: {{k: !!float {value()}}}", f"data: {{k: !!timestamp {value()}}}",
            f"data: {{k: !!bool {value()}}}", f'data: "{value()}\\q"', f'k: "{value()}', f"\t{value()}",
            f"apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\ndata: {{k: [{value()}]}}", f"data: {{k: !!binary {value()}-}}",
        )  # fmt: skip
        for text in texts:
            body = text.encode("utf-8", "surrogatepass")
            for media in (PLAIN, YAML):
                yield Sent("POST", SECRETS, body, media, good=False)
            yield Sent("PATCH", f"{SECRETS}/a?fieldManager=x", body, APPLY, good=False)

    def _of_other_kinds(self) -> Iterator[Sent]:
        value, coded = self.value, self.coded
        head = {"apiVersion": "fleet.skerry.dev/v1alpha1"}
        manifests = [secret("x", stringData={"k": value()}, data={"j": coded()})]
        body = {**head, "kind": "ManifestSet", "metadata": {"name": "m"}, "spec": {"ownerEpoch": 1, "manifests": manifests}}
        yield _sent("POST", SETS, body)
        for wrong in (
            [{"kind": "Secret", "data": value()}],
            value(),
            [value()],
            [[value()]],
            [{"apiVersion": ["x"], "stringData": {"k": value()}}],
        ):
            yield _sent("PATCH", f"{SETS}/m?fieldManager=x", {**body, "spec": {"ownerEpoch": 1, "manifests": wrong}}, APPLY, good=False)
        credential = {**head, "kind": "Credential", "metadata": {"name": "c"}, "spec": {"secretRef": {"name": "s"}, "password": value()}}
        yield _sent("POST", CREDENTIALS, credential)  # an unknown field is pruned
        yield _sent("POST", f"{CREDENTIALS}?fieldValidation=Strict", credential, good=False)


def secret(name: str, **parts: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **parts}


def forms(value: str) -> Iterator[bytes]:
    """A value in the clear, and the part of its base64 that is the same wherever in a longer text it stands."""
    yield value.encode()
    for offset in range(3):
        yield base64.b64encode(b"x" * offset + value.encode())[4 if offset else 0 : -4]
    yield base64.b64encode(base64.b64encode(value.encode()))[:-4]


def _sent(method: str, path: str, body: object, media: str = PLAIN, *, good: bool = True) -> Sent:
    return Sent(method, path, json.dumps(body).encode(), media, good)
