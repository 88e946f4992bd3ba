"""Lists, watches, tables, discovery: what clients read, and from which revision."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from skerry.restapi.cache import Item
from tests.restapi.door import Answer, Caller

GROUPS = "/apis/fleet.skerry.dev/v1alpha1/clustergroups"


async def make(call: Caller, name: str, **labels: str) -> dict[str, Any]:
    body = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ClusterGroup", "metadata": {"name": name, "labels": labels}, "spec": {}}
    answer = await call("POST", GROUPS, body)
    assert answer.code == 201
    return answer.json


def names(answer: Answer) -> list[str]:
    return [each["metadata"]["name"] for each in answer.json["items"]]


async def test_a_list_is_read_page_by_page_at_one_revision(call: Caller) -> None:
    for name in "abcde":
        await make(call, name)
    first = await call("GET", GROUPS, limit="2")
    assert names(first) == ["a", "b"]
    assert first.json["metadata"]["remainingItemCount"] == 3
    await call("DELETE", f"{GROUPS}/c")
    await make(call, "f")
    second = await call("GET", GROUPS, limit="2", **{"continue": first.json["metadata"]["continue"]})
    assert names(second) == ["c", "d"]
    assert second.json["metadata"]["resourceVersion"] == first.json["metadata"]["resourceVersion"]
    third = await call("GET", GROUPS, limit="2", **{"continue": second.json["metadata"]["continue"]})
    assert names(third) == ["e"]
    assert not third.json["metadata"]["continue"]


async def test_an_expired_page_is_410_with_a_token_that_goes_on(call: Caller) -> None:
    for name in "abc":
        await make(call, name)
    first = await call("GET", GROUPS, limit="1")
    await make(call, "d")
    store = call.app.parts.store
    await store.compact(await store.head())
    expired = await call("GET", GROUPS, limit="1", **{"continue": first.json["metadata"]["continue"]})
    assert (expired.code, expired.json["reason"]) == (410, "Expired")
    rest = await call("GET", GROUPS, **{"continue": expired.json["metadata"]["continue"]})
    assert names(rest) == ["b", "c", "d"]


async def test_selectors_choose_and_bad_ones_are_refused(call: Caller) -> None:
    await make(call, "a", tier="x", zone="1")
    await make(call, "b", tier="y")
    cases = {"tier=x": ["a"], "tier!=x": ["b"], "tier in (x, y)": ["a", "b"], "!zone": ["b"], "zone": ["a"], "tier notin (x)": ["b"]}
    for selector, expected in cases.items():
        assert names(await call("GET", GROUPS, labelSelector=selector)) == expected, selector
    assert names(await call("GET", GROUPS, fieldSelector="metadata.name=b")) == ["b"]
    for bad in ("a b", "tier in x", "=", "a=b=c", "tier=(", "!!a", "a,,b", "-x=y"):
        assert (await call("GET", GROUPS, labelSelector=bad)).code == 400, bad
    assert (await call("GET", GROUPS, fieldSelector="spec.nothing=1")).code == 400


async def test_an_exact_revision_shows_the_past(call: Caller) -> None:
    made = await make(call, "a")
    await make(call, "b")
    then = await call("GET", GROUPS, resourceVersion=made["metadata"]["resourceVersion"], resourceVersionMatch="Exact")
    assert names(then) == ["a"]
    assert (await call("GET", GROUPS, resourceVersionMatch="Exact")).code == 422
    assert (await call("GET", GROUPS, resourceVersion="x")).code == 400


async def test_a_watch_tells_what_happens_after_its_revision(call: Caller) -> None:
    made = await make(call, "a")
    task = asyncio.ensure_future(  # noqa: TID251 awaited below
        call("GET", GROUPS, watch="true", resourceVersion=made["metadata"]["resourceVersion"], timeoutSeconds="1")
    )
    await asyncio.sleep(0.05)
    await make(call, "b")
    await call.patch(f"{GROUPS}/b", {"spec": {"description": "x"}})
    await call("DELETE", f"{GROUPS}/b")
    events = (await task).events
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "b"),
        ("MODIFIED", "b"),
        ("DELETED", "b"),
    ]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(set(revisions))


async def test_a_watch_with_a_selector_sees_objects_come_and_go(call: Caller) -> None:
    made = await make(call, "a", tier="x")
    await call.patch(f"{GROUPS}/a", {"metadata": {"labels": {"tier": "y"}}})
    await call.patch(f"{GROUPS}/a", {"metadata": {"labels": {"tier": "x"}}})
    since = made["metadata"]["resourceVersion"]
    seen = await call("GET", GROUPS, watch="1", labelSelector="tier=x", resourceVersion=since, timeoutSeconds="1")
    assert [event["type"] for event in seen.events] == ["DELETED", "ADDED"]


async def test_a_watch_from_before_the_window_is_told_to_start_anew(call: Caller) -> None:
    await make(call, "a")
    call.app.parts.feeds.caches["clustergroups.fleet.skerry.dev"].oldest = 100
    answer = await call("GET", GROUPS, watch="1", resourceVersion="1", timeoutSeconds="1")
    assert answer.events[0]["type"] == "ERROR"
    assert answer.events[0]["object"]["code"] == 410


async def test_initial_events_end_with_a_bookmark_that_says_so(call: Caller) -> None:
    await make(call, "a")
    query: dict[str, Any] = {
        "watch": "1",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    events = (await call("GET", GROUPS, timeoutSeconds="1", **query)).events
    assert [event["type"] for event in events[:2]] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_table_has_the_columns_of_the_kind(call: Caller) -> None:
    await make(call, "a")
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    table = (await call("GET", GROUPS, headers=accept)).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Description", "Age"]
    assert table["rows"][0]["cells"][0] == "a"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_metadata_alone_can_be_asked_for(call: Caller) -> None:
    await make(call, "a")
    accept = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    found = (await call("GET", GROUPS, headers=accept)).json
    assert found["kind"] == "PartialObjectMetadataList"
    assert set(found["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_a_client_that_prefers_protobuf_gets_json_and_one_that_takes_nothing_else_is_told(call: Caller) -> None:
    both = await call("GET", GROUPS, headers={"accept": "application/vnd.kubernetes.protobuf,application/json"})
    assert both.headers["content-type"] == "application/json"
    assert (await call("GET", GROUPS, headers={"accept": "application/vnd.kubernetes.protobuf"})).code == 406


async def test_discovery_names_every_kind_in_both_forms(call: Caller) -> None:
    walked = (await call("GET", "/apis/fleet.skerry.dev/v1alpha1")).json
    plain = {each["name"] for each in walked["resources"]}
    assert {"clusters", "clusters/status", "nodepools"} <= plain
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    merged = (await call("GET", "/apis", headers=accept)).json
    fleet = next(each for each in merged["items"] if each["metadata"]["name"] == "fleet.skerry.dev")
    assert {each["resource"] for each in fleet["versions"][0]["resources"]} == {name for name in plain if "/" not in name}


async def test_openapi_v3_is_indexed_by_hash_and_resolves_every_reference(call: Caller) -> None:
    index = (await call("GET", "/openapi/v3")).json["paths"]
    for entry in index.values():
        document = (await call("GET", entry["serverRelativeURL"].split("?")[0])).json
        text = json.dumps(document)
        for name in set(text.split('"#/components/schemas/')[1:]):
            assert name.split('"')[0] in document["components"]["schemas"]


async def test_unknown_paths_and_methods_are_told_apart(call: Caller) -> None:
    assert (await call("GET", "/apis/nothing.dev/v1/things")).code == 404
    assert (await call("GET", "/nothing")).code == 404
    assert (await call("PUT", GROUPS, {})).code == 400
    assert (await call("POST", f"{GROUPS}/a", {})).code == 405
    assert (await call("GET", f"{GROUPS}/a/nothing")).code == 404


async def test_ten_thousand_objects_do_not_hold_the_loop(call: Caller) -> None:
    cache = call.app.parts.feeds.caches["clustergroups.fleet.skerry.dev"]
    await make(call, "a")
    await call("GET", f"{GROUPS}/a")
    value = cache.rows[("", "a")].value
    for number in range(10_000):
        cache.rows[("", f"n{number:05}")] = Item(("", f"n{number:05}"), 1, value)
    listing = asyncio.ensure_future(  # noqa: TID251 awaited below
        call("GET", GROUPS, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    )
    turns = 0
    while not listing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10_000 / 250
    assert len((await listing).json["rows"]) == 10_001
