from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from skerry.client.connection import BadConnection, Connection
from skerry.client.contract import PatchKind, Ref
from skerry.client.discovery import discover, ref_of
from skerry.client.http import HttpClient, Times, path_of
from skerry.machinery import errors
from skerry.pki import policy
from skerry.pki.authority import Authority, make_root
from skerry.pki.tls import server_context
from tests.client.api import answering

PODS = Ref("", "v1", "pods")
NODES = Ref("", "v1", "nodes", namespaced=False)
CLUSTERS = Ref("fleet.skerry.dev", "v1alpha1", "clusters")
NOW = datetime.now(UTC)
ROOT = Authority(make_root("test", NOW))
SERVER = ROOT.issue(policy.SERVER, "skerry", NOW, hosts=("127.0.0.1",))


def test_a_path_names_group_namespace_object_and_subresource() -> None:
    assert path_of(PODS) == "/api/v1/pods"
    assert path_of(PODS, "n", "a", "status") == "/api/v1/namespaces/n/pods/a/status"
    assert path_of(NODES, "ignored", "a") == "/api/v1/nodes/a"
    assert path_of(CLUSTERS, "sv-1", "team-a.shop") == "/apis/fleet.skerry.dev/v1alpha1/namespaces/sv-1/clusters/team-a.shop"


def test_a_name_cannot_reach_another_path() -> None:
    assert path_of(PODS, "../x", "a/../../secrets/b?c#d") == "/api/v1/namespaces/..%2Fx/pods/a%2F..%2F..%2Fsecrets%2Fb%3Fc%23d"


async def test_every_verb_is_spoken_as_the_api_expects_it() -> None:
    heard: list[tuple[str, str, str, Any]] = []

    async def hear(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        heard.append((request.method, request.path_qs, request.headers.get("Content-Type", ""), json.loads(body) if body else None))
        return web.json_response({})

    obj = {"metadata": {"name": "a", "namespace": "n"}}
    async with answering(hear) as url, HttpClient(Connection(url, token="t")) as client:
        await client.get(PODS, "a", "n", resource_version="0")
        await client.create(PODS, obj, manager="m")
        await client.replace(PODS, obj, subresource="status")
        await client.apply(PODS, obj, manager="a b&c", force=True, dry_run=True)
        await client.patch(PODS, "a", "n", PatchKind.JSON, [{"op": "remove", "path": "/x"}])
        await client.delete(PODS, "a", "n", propagation="Foreground", uid="u", resource_version="7")
        await client.raw("GET", "/version?x=1")
    pod = "/api/v1/namespaces/n/pods"
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
    assert heard == [
        ("GET", f"{pod}/a?resourceVersion=0", "", None),
        ("POST", f"{pod}?fieldManager=m", "application/json", obj),
        ("PUT", f"{pod}/a/status", "application/json", obj),
        ("PATCH", f"{pod}/a?fieldManager=a%20b%26c&force=true&dryRun=All", "application/apply-patch+yaml", obj),
        ("PATCH", f"{pod}/a", "application/json-patch+json", [{"op": "remove", "path": "/x"}]),
        ("DELETE", f"{pod}/a", "application/json", {**options, "preconditions": {"uid": "u", "resourceVersion": "7"}}),
        ("GET", "/version?x=1", "", None),
    ]


def page(items: Sequence[int], revision: str, token: str = "") -> web.Response:
    metadata = {"resourceVersion": revision, **({"continue": token, "remainingItemCount": 9} if token else {})}
    return web.json_response({"kind": "PodList", "metadata": metadata, "items": [{"n": each} for each in items]})


def gone() -> web.Response:
    return web.json_response({"kind": "Status", "reason": "Expired", "message": "old", "code": 410}, status=410)


async def test_a_list_is_whole_whatever_its_pages() -> None:
    async def pages(request: web.Request) -> web.StreamResponse:
        assert request.query["labelSelector"] == "a in (b,c)"
        assert request.query["limit"] == "2"
        return {"": page((1, 2), "10", "p2"), "p2": page((3, 4), "10", "p3"), "p3": page((5,), "10")}[request.query.get("continue", "")]

    async with answering(pages) as url, HttpClient(Connection(url)) as client:
        found = await client.list(PODS, labels="a in (b,c)", page=2)
    assert found == {"kind": "PodList", "metadata": {"resourceVersion": "10"}, "items": [{"n": n} for n in range(1, 6)]}


async def test_a_list_whose_revision_is_forgotten_half_way_begins_anew_in_one_piece() -> None:
    async def forgetful(request: web.Request) -> web.StreamResponse:
        if "continue" in request.query:
            return gone()
        return page((1, 2), "10", "p2") if "limit" in request.query else page((7, 8, 9), "20")

    async with answering(forgetful) as url, HttpClient(Connection(url)) as client:
        found = await client.list(PODS, page=2)
    assert (found["items"], found["metadata"]) == ([{"n": 7}, {"n": 8}, {"n": 9}], {"resourceVersion": "20"})


async def test_a_list_that_is_expired_from_the_start_says_so() -> None:
    async def old(_: web.Request) -> web.StreamResponse:
        return gone()

    async with answering(old) as url, HttpClient(Connection(url)) as client:
        with pytest.raises(errors.Expired):
            await client.list(PODS, resource_version="1")


async def streaming(request: web.Request, *chunks: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    return response


async def test_a_watch_yields_events_of_any_size_and_ends_where_the_server_ends_it() -> None:
    big = "x" * 3_000_000
    added = json.dumps({"type": "ADDED", "object": {"big": big}}).encode() + b"\n"
    bookmark = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}\n'

    async def watch(request: web.Request) -> web.StreamResponse:
        assert request.query["watch"] == request.query["allowWatchBookmarks"] == "true"
        assert request.query["resourceVersion"] == "5"
        return await streaming(request, added[:1000], added[1000:], b"\n", bookmark)

    async with answering(watch) as url, HttpClient(Connection(url)) as client:
        events = [event async for event in client.watch(PODS, resource_version="5")]
    assert [event.type for event in events] == ["ADDED", "BOOKMARK"]
    assert events[0].object == {"big": big}


async def test_a_watch_of_a_compacted_revision_is_expired_in_the_answer_and_in_the_stream() -> None:
    async def at_once(_: web.Request) -> web.StreamResponse:
        return gone()

    async def later(request: web.Request) -> web.StreamResponse:
        return await streaming(request, b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}\n')

    for answer in (at_once, later):
        async with answering(answer) as url, HttpClient(Connection(url)) as client:
            with pytest.raises(errors.Expired, match="old"):
                _ = [event async for event in client.watch(PODS)]


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b'{"type":"ADDED"}\n', b"\xff\xfe\n"])
async def test_a_watch_that_does_not_speak_the_protocol_is_an_error_and_no_crash(line: bytes) -> None:
    async def noise(request: web.Request) -> web.StreamResponse:
        return await streaming(request, line)

    async with answering(noise) as url, HttpClient(Connection(url)) as client:
        with pytest.raises(errors.ServiceUnavailable):
            _ = [event async for event in client.watch(PODS)]


async def test_a_watch_that_breaks_or_falls_silent_raises() -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = await streaming(request, b'{"type":"ADDED","object":{}}\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def silent(request: web.Request) -> web.StreamResponse:
        response = await streaming(request, b'{"type":"ADDED","object":{}}\n')
        await asyncio.sleep(5)
        return response

    for answer, kind in ((breaks, errors.ServiceUnavailable), (silent, errors.Timeout)):
        async with answering(answer) as url, HttpClient(Connection(url), times=Times(watch=0, slack=0.2)) as client:
            with pytest.raises(kind):
                _ = [event async for event in client.watch(PODS)]


async def test_leaving_a_watch_closes_its_connection() -> None:
    ended = asyncio.Event()

    async def watch(request: web.Request) -> web.StreamResponse:
        response = await streaming(request, b'{"type":"ADDED","object":{}}\n')
        try:
            while True:
                await response.write(b'{"type":"ADDED","object":{}}\n')
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async with answering(watch) as url, HttpClient(Connection(url)) as client:
        events = client.watch(PODS)
        await anext(aiter(events))
        await events.aclose()  # type: ignore[attr-defined] # an async generator, which the contract need not promise
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_server_that_is_away_or_slow_or_no_api_server_is_an_api_error() -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    async def page_of_a_proxy(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>hello</html>")

    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://elsewhere.invalid/")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        async with HttpClient(Connection(f"http://127.0.0.1:{taken.getsockname()[1]}")) as client:
            with pytest.raises(errors.ServiceUnavailable, match=r"cannot be reached: Connection refused$"):
                await client.get(PODS, "a", "n")
    for answer, kind in ((slow, errors.Timeout), (page_of_a_proxy, errors.ServiceUnavailable), (elsewhere, errors.BadRequest)):
        async with answering(answer) as url, HttpClient(Connection(url), times=Times(read=0.2)) as client:
            with pytest.raises(kind):
                await client.get(PODS, "a", "n")


async def test_closing_twice_is_fine_and_a_closed_client_says_so() -> None:
    client = HttpClient(Connection("http://127.0.0.1:1"))
    await client.close()
    await client.close()
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await client.get(PODS, "a", "n")


async def test_the_environment_decides_neither_proxy_nor_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def hear(request: web.Request) -> web.StreamResponse:
        return web.json_response({"authorization": request.headers.get("Authorization", "")})

    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with answering(hear) as url, HttpClient(Connection(url)) as client:
        assert await client.raw("GET", "/") == {"authorization": ""}


async def test_a_proxy_that_is_named_is_used() -> None:
    async def proxy(request: web.Request) -> web.StreamResponse:
        return web.json_response({"asked": str(request.url)})

    async with answering(proxy) as url, HttpClient(Connection("http://api.invalid", proxy=url)) as client:
        assert await client.raw("GET", "/version") == {"asked": "http://api.invalid/version"}


async def test_a_token_file_is_read_anew_for_each_request(tmp_path: Path) -> None:
    async def hear(request: web.Request) -> web.StreamResponse:
        return web.json_response({"authorization": request.headers.get("Authorization", "")})

    file = tmp_path / "token"
    file.write_text("one\n")
    async with answering(hear) as url, HttpClient(Connection(url, token_file=file)) as client:
        assert (await client.raw("GET", "/"))["authorization"] == "Bearer one"
        file.write_text("two\n")
        assert (await client.raw("GET", "/"))["authorization"] == "Bearer two"
        file.unlink()
        with pytest.raises(errors.ServiceUnavailable, match="token"):
            await client.raw("GET", "/")


async def hello(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    peer = request.transport.get_extra_info("peercert")
    return web.json_response({"peer": str(peer["subject"]) if peer else ""})


async def test_a_server_of_another_root_or_another_name_is_not_trusted() -> None:
    other = Authority(make_root("other", NOW))
    elsewhere = ROOT.issue(policy.SERVER, "skerry", NOW, hosts=("elsewhere.example",))
    async with answering(hello, server_context(SERVER.pem, ROOT.bundle)) as url:
        async with HttpClient(Connection(url, ca=other.bundle)) as client:
            with pytest.raises(errors.ServiceUnavailable, match="not trusted"):
                await client.raw("GET", "/")
        async with HttpClient(Connection(url, insecure=True)) as client:
            assert await client.raw("GET", "/") == {"peer": ""}
    async with answering(hello, server_context(elsewhere.pem, ROOT.bundle)) as url:
        async with HttpClient(Connection(url, ca=ROOT.bundle)) as client:
            with pytest.raises(errors.ServiceUnavailable, match="not trusted"):
                await client.raw("GET", "/")
        async with HttpClient(Connection(url, ca=ROOT.bundle, server_name="elsewhere.example")) as client:
            assert await client.raw("GET", "/") == {"peer": ""}


async def test_a_client_shows_its_certificate_and_takes_a_new_one_without_being_opened_again() -> None:
    def connection(url: str, name: str) -> Connection:
        pair = ROOT.issue(policy.CLIENT, name, NOW)
        return Connection(url, ca=ROOT.bundle, certificate=pair.certificate, key=pair.key)

    async with answering(hello, server_context(SERVER.pem, ROOT.bundle)) as url, HttpClient(connection(url, "one")) as client:
        assert "one" in (await client.raw("GET", "/"))["peer"]
        client.renew(connection(url, "two"))
        assert "two" in (await client.raw("GET", "/"))["peer"]
        with pytest.raises(BadConnection):
            client.renew(connection("https://elsewhere.example", "three"))


async def test_discovery_maps_kinds_to_where_they_are_and_leaves_out_groups_that_are_away() -> None:
    documents = {
        "/api": {"versions": ["v1"]},
        "/apis": {"groups": [{"name": "apps", "versions": [{"version": "v1"}]}, {"name": "metrics", "versions": [{"version": "v1"}]}]},
        "/api/v1": {
            "resources": [
                {"name": "pods", "kind": "Pod", "namespaced": True},
                {"name": "pods/log", "kind": "Pod", "namespaced": True},
                {"name": "nodes", "kind": "Node", "namespaced": False},
            ]
        },
        "/apis/apps/v1": {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True}]},
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        found = documents.get(request.path)
        return web.json_response(found) if found else web.Response(status=503, text="away")

    async with answering(answer) as url, HttpClient(Connection(url)) as client:
        served = await discover(client)
    assert served == {("v1", "Pod"): PODS, ("v1", "Node"): NODES, ("apps/v1", "Deployment"): Ref("apps", "v1", "deployments")}
    assert ref_of(served, {"apiVersion": "v1", "kind": "Pod"}) == PODS
    with pytest.raises(errors.NotFound, match='no matches for kind "Widget" in version "x/v1"'):
        ref_of(served, {"apiVersion": "x/v1", "kind": "Widget"})


async def test_discovery_that_is_forbidden_says_so() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/api":
            return web.json_response({"versions": ["v1"]})
        return web.json_response({"groups": []}) if request.path == "/apis" else web.Response(status=403)

    async with answering(answer) as url, HttpClient(Connection(url)) as client:
        with pytest.raises(errors.Forbidden):
            await discover(client)


async def test_what_a_proxy_refuses_is_told_without_the_password_that_it_was_shown() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, HttpClient(Connection("https://far.example", proxy=f"http://robot:s3cret@127.0.0.1:{port}")) as client:
        with pytest.raises(errors.ServiceUnavailable, match="the proxy wants other credentials") as caught:
            await client.raw("GET", "/")
    assert "s3cret" not in repr(caught.value) + str(caught.value)
    async with HttpClient(Connection("https://far.example", proxy="http://robot:s3cret@127.0.0.1:1")) as client:
        with pytest.raises(errors.ServiceUnavailable, match="the proxy does not answer"):
            await client.raw("GET", "/")
