"""What must not be seen is not seen: values in answers that are no objects, and objects that cannot be opened."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import pytest

from skerry.kit import log
from skerry.store.memory import MemoryStore
from skerry.store.sealed import SealedStore
from tests.restapi.door import Caller, door
from tests.restapi.planted import NOTE, Planter, secret

HERE = "/api/v1/namespaces/ns/secrets"
CONFIDENTIAL = ("secrets", "manifestsets.fleet.skerry.dev")


class Ring:
    """One key, which can be lost."""

    def __init__(self) -> None:
        self.keys = {"k1": os.urandom(32)}

    def primary(self) -> tuple[str, bytes] | None:
        return next(iter(self.keys.items()), None)

    def find(self, key_id: str) -> bytes | None:
        return self.keys.get(key_id)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, at the most talkative level."""
    stream = io.StringIO()
    log.configure(level="debug", json=False, stream=stream)
    yield stream
    log.configure(level="warning")


async def test_no_value_is_told_by_any_refusal_warning_or_log_and_none_is_stored_in_the_clear(logged: io.StringIO) -> None:
    planter, inner = Planter(), MemoryStore()
    async with door(store=SealedStore(inner, Ring(), CONFIDENTIAL)) as call:
        await call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        for sent in planter.requests():
            path, _, query = sent.path.partition("?")
            parameters: dict[str, Any] = dict(part.split("=") for part in query.split("&") if part)
            answer = await call(sent.method, path, sent.body, media=sent.media, **parameters)
            if sent.good:
                assert answer.code < 300, (sent, answer.body)
            else:
                assert 400 <= answer.code < 500 or parameters.get("dryRun"), (sent, answer.body)
            told = b"" if answer.code < 300 else answer.body
            told += repr((answer.headers, answer.warnings)).encode()
            assert planter.found_in(told) == [], (sent, told)
        stored = await inner.held([*(resource.key for resource in call.app.registry.keys().values())])
    assert len(planter.values) > 60
    assert len(stored) > 10
    assert planter.found_in(b"".join(row.value for row in stored)) == []
    assert planter.found_in(logged.getvalue().encode()) == []


async def test_server_side_apply_drops_the_note_of_client_side_apply_instead_of_writing_values_into_it(call: Caller) -> None:
    await call("POST", HERE, {**secret("a", data={"k": "b2xk"}), "metadata": {"name": "a", "annotations": {NOTE: "{}", "kept": "1"}}})
    answer = await call.patch(f"{HERE}/a", secret("a", data={"k": "bmV3"}), "apply", fieldManager="kubectl", force=True)
    assert answer.code == 200
    metadata = answer.json["metadata"]
    assert metadata["annotations"] == {"kept": "1"}
    assert all(NOTE not in str(entry) for entry in metadata["managedFields"])


async def test_an_object_that_cannot_be_opened_is_a_503_by_every_door_and_its_neighbours_are_served() -> None:
    ring, inner = Ring(), MemoryStore()
    sealed = SealedStore(inner, ring, CONFIDENTIAL)
    async with door(store=sealed) as call:
        for name in ("a", "b"):
            assert (await call("POST", HERE, secret(name, stringData={"k": "v"}))).code == 201
        rows = await inner.held(["secrets"])
        await inner.rewrite([(rows[0], rows[1].value)])
    async with door(store=sealed) as call:
        assert (await call("GET", f"{HERE}/b")).json["data"] == {"k": "dg=="}
        await _refused(call, "secrets ns/a does not open")


@pytest.mark.parametrize("value", [5432, True, ["a"], {"a": "b"}])
async def test_plain_data_that_is_no_text_is_refused_and_never_dropped(value: object) -> None:
    async with door() as call:
        answer = await call("POST", HERE, secret("a", stringData={"good": "v", "port": value}), fieldValidation="Ignore")
        assert (answer.code, [each["field"] for each in answer.json["details"]["causes"]]) == (422, ["stringData.port"])


async def test_without_the_key_nothing_confidential_is_served_or_taken_and_everything_else_is() -> None:
    ring = Ring()
    sealed = SealedStore(MemoryStore(), ring, CONFIDENTIAL)
    async with door(store=sealed) as call:
        assert (await call("POST", HERE, secret("a", stringData={"k": "v"}))).code == 201
    ring.keys.clear()
    async with door(store=sealed) as call:
        await _refused(call, "not in the keyring")
        answer = await call("POST", HERE, secret("new", stringData={"k": "v"}))
        assert (answer.code, answer.json["reason"]) == (503, "ServiceUnavailable")
        assert "keyring" in answer.json["message"]
        plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}}
        assert (await call("POST", "/api/v1/namespaces/ns/configmaps", plain)).code == 201
        call.app.trouble = lambda: "the key is away"
        answer = await call("GET", "/readyz")
        assert (answer.code, answer.body) == (
            500,
            b"[+]ping ok\n[+]serving ok\n[-]store failed: the key is away\nreadyz check failed\n",
        )
        assert (await call("GET", "/livez", verbose="")).body == b"[+]ping ok\nlivez check passed\n"


async def _refused(call: Caller, why: str) -> None:
    item, as_table = f"{HERE}/a", {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    only_metadata = {"accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    answers = [
        await call("GET", item),
        await call("GET", item, headers=as_table),
        await call("GET", item, headers=only_metadata),
        await call("GET", HERE),
        await call("GET", HERE, headers=as_table),
        await call("GET", HERE, labelSelector="a=b"),
        await call("PUT", item, secret("a", data={"k": "bmV3"})),
        await call.patch(item, {"data": {"k": "bmV3"}}),
        await call.patch(item, secret("a", data={"k": "bmV3"}), "apply"),
        await call("DELETE", item),
        await call("DELETE", HERE),
    ]
    assert [answer.code for answer in answers] == [503] * len(answers)
    for answer in answers:
        assert answer.json["reason"] == "ServiceUnavailable"
        assert why in answer.json["message"]
    taken = await call("POST", HERE, secret("a", stringData={"k": "v"}))
    assert taken.code in {409, 503}
    (event,) = (await call("GET", HERE, watch="true")).events[-1:]
    assert (event["type"], event["object"]["code"]) == ("ERROR", 503)


def test_the_kinds_that_may_hold_credentials_are_confidential() -> None:
    from skerry.kinds import catalogue

    found = {resource.key for resource in catalogue.ALL if resource.confidential}
    assert found == set(CONFIDENTIAL)
    assert not any(resource.confidential and resource.latest for resource in catalogue.ALL), "latest values are stored as they are"
