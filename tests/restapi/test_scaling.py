"""What the comparison with a kube-apiserver cannot show of the scale subresource."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.restapi.door import Caller

POOLS = "/apis/fleet.skerry.dev/v1alpha1/namespaces/ns/nodepools"
SCALE = f"{POOLS}/p.a.md-0/scale"


async def made(call: Caller, **spec: Any) -> None:
    body = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "NodePool", "metadata": {"name": "p.a.md-0"}, "spec": spec}
    assert (await call("POST", POOLS, body)).code == 201


async def test_of_many_who_scale_at_once_each_is_heard_and_the_generation_counts_them(call: Caller) -> None:
    await made(call, replicas=20)
    answers = await asyncio.gather(*(call.patch(SCALE, {"spec": {"replicas": count}}) for count in range(5)))
    assert all(each.code == 200 for each in answers), [each.json for each in answers]
    assert [(each.code, each.json["spec"].get("replicas", 0)) for each in answers] == [(200, count) for count in range(5)]
    assert (await call("GET", f"{POOLS}/p.a.md-0")).json["metadata"]["generation"] == 6


async def test_only_one_of_many_who_name_the_revision_scales(call: Caller) -> None:
    await made(call)
    read = (await call("GET", SCALE)).json
    assert (read["spec"], read["status"]) == ({"replicas": 1}, {"replicas": 0})
    answers = await asyncio.gather(*(call("PUT", SCALE, {**read, "spec": {"replicas": count}}) for count in range(2, 7)))
    assert sorted(each.code for each in answers) == [200, 409, 409, 409, 409]


async def test_what_is_no_scale_is_refused(call: Caller) -> None:
    await made(call)
    read = (await call("GET", SCALE)).json
    for body in ({**read, "kind": "NodePool"}, {**read, "spec": {"replicas": "many"}}, {**read, "spec": {"replicas": 2**31}}):
        assert (await call("PUT", SCALE, body)).code in {400, 422}, body
    patches: list[Any] = [
        {"spec": {"replicas": "many"}},
        {"spec": {"replicas": 10001}},
        {"spec": 3},
        {"metadata": {"name": "p.a.md-1"}},
        [],
    ]
    for patch in patches:
        assert (await call.patch(SCALE, patch)).code in {400, 422}, patch
    refused = await call.patch(SCALE, {**read, "spec": {"replicas": 2}}, "apply")
    assert refused.code == 415
    assert (await call("GET", SCALE)).json["spec"] == {"replicas": 1}
