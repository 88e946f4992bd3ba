"""Calls to a managed cluster's own API, from a caller at the front door to a server behind an agent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web

from skerry.client.connection import Connection
from skerry.gateway import proxy
from skerry.gateway.proxy import ProxyCalls, request_head
from skerry.gateway.routes import Route, Routes
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import Forbidden, ServiceUnavailable
from skerry.machinery.identity import User
from skerry.tunnel import link_pb2 as pb
from tests.client.api import answering
from tests.gateway.fleet import Fleet, beside, eventually
from tests.gateway.fleet import fleet as installation
from tests.gateway.stranger import stranger

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
MEGABYTE = b"m" * 1024 * 1024
MEGABYTES = 96
"""More than every buffer on the way holds together: the sockets' of three connections, HTTP/2's, and ours."""


class Far:
    """A server behind an agent: what it answers under a path is the test's to say."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        found = self.answers.get(request.path)
        if found is None:
            raise web.HTTPNotFound(text="{}", content_type="application/json")
        self.requests.append(request)
        return await found(request)


class Door:
    """A caller, the server that he calls, and the one that holds the agent."""

    def __init__(self, asked: Fleet, fleet: Fleet, far: Far, session: aiohttp.ClientSession) -> None:
        self.front, self.fleet, self.far, self.session = asked.front, fleet, far, session

    def call(self, path: str, method: str = "GET", **more: Any) -> Any:
        return self.session.request(method, f"{self.front}/k8s/sv-1{path}", **more)


@pytest.fixture(params=["here", "elsewhere"])
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Door]:
    """The agent is connected to the server that is called, or to another one."""
    far, here = Far(), request.param == "here"
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(answering(far.answer))
        fleet = await stack.enter_async_context(installation(tmp_path, identity="" if here else "one"))
        await fleet.management_cluster()
        await stack.enter_async_context(fleet.agent(Connection(address, token="the-agents-own")))
        asked = fleet if here else await stack.enter_async_context(beside(fleet, "two"))
        await eventually(lambda: known(asked, here=here))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)))
        yield Door(asked, fleet, far, session)


async def known(asked: Fleet, *, here: bool) -> bool:
    return here or bool(asked.link.relays.where("sv-1"))


async def hello(_: web.Request) -> web.StreamResponse:
    return web.Response(text="hello", headers={"X-Far": "yes"})


async def test_a_call_arrives_as_it_was_made_and_its_answer_comes_back_as_it_was_given(door: Door) -> None:
    async def teapot(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        return web.Response(status=418, body=body[::-1], headers={"X-Far": "œuvre", "Content-Type": "application/x-thing"})

    door.far.answers["/api/v1/things"] = teapot
    query = "?labelSelector=a%3Db&plus=1+2&empty="
    async with door.call("/api/v1/things" + query, "PUT", data=b"abc", headers={"X-Near": "é", "Content-Type": "text/x"}) as response:
        assert (response.status, await response.read()) == (418, b"cba")
        assert (response.headers["X-Far"], response.content_type) == ("œuvre", "application/x-thing")
    [request] = door.far.requests
    assert (request.method, request.raw_path) == ("PUT", "/api/v1/things" + query)
    assert (request.headers["X-Near"], request.headers["Content-Type"]) == ("é", "text/x")


async def test_who_called_a_cluster_and_who_registered_is_written_down_with_what_became_of_it(door: Door) -> None:
    door.far.answers["/api/v1/things"] = hello
    maria = {"Authorization": "Bearer maria"}
    async with door.call("/api/v1/things?token=abc", "DELETE", headers=maria) as response:
        assert await response.text() == "hello"
    async with door.call("/none", headers=maria) as response:
        assert response.status == 404
    async with door.session.get(f"{door.front}/k8s/sv-9/api", headers=maria) as response:
        assert response.status == 404
    async with door.session.post(f"{door.front}/register/v1/agents", json={"token": "sv-1.secret", "csr": "x"}) as response:
        assert response.status == 401
    records = [each for each in door.fleet.records if each.attributes.path]
    told = [(each.attributes.user.name, each.attributes.verb, each.attributes.path, each.attributes.name, each.code) for each in records]
    assert told == [
        ("system:anonymous", "post", "/register/v1/agents", "sv-1", 201),
        ("maria", "delete", "/k8s/sv-1/api/v1/things", "", 200),
        ("maria", "get", "/k8s/sv-1/none", "", 404),
        ("maria", "get", "/k8s/sv-9/api", "", 404),
        ("system:anonymous", "post", "/register/v1/agents", "", 401),
    ]
    assert all(each.request_id and each.address == "127.0.0.1" for each in records)
    assert "secret" not in str(records)


async def test_the_callers_credentials_stay_at_the_door_and_his_name_goes_on(door: Door) -> None:
    door.far.answers["/whoami"] = hello
    sent = {
        "Authorization": "Bearer maria",
        "Cookie": "session=1",
        "Proxy-Authorization": "Basic x",
        "Impersonate-User": "root",
        "Impersonate-Group": "system:masters",
        "Impersonate-Uid": "0",
        "Impersonate-Extra-Scopes": "all",
        "X-Remote-User": "root",
        "X-Remote-Group": "system:masters",
        "X-Harmless": "1",
    }
    async with door.call("/whoami", headers=sent) as response:
        assert response.status == 200
    [request] = door.far.requests
    assert request.headers.getall("Authorization") == ["Bearer the-agents-own"]
    assert request.headers.getall("Impersonate-User") == ["maria"]
    assert request.headers.getall("Impersonate-Group") == ["skerry:testers", "system:authenticated"]
    assert request.headers["X-Harmless"] == "1"
    left = {name.lower() for name in request.headers}
    assert not left & {"cookie", "proxy-authorization", "impersonate-uid", "impersonate-extra-scopes", "x-remote-user", "x-remote-group"}


def test_a_user_whose_name_is_special_to_every_cluster_is_not_handed_on() -> None:
    for name in ("system:admin", "system:serviceaccount:kube-system:default", "system:"):
        with pytest.raises(Forbidden):
            request_head("GET", "/", [], User(name, groups=()))


@pytest.mark.parametrize("spelled", [b"Impersonate-User", b"IMPERSONATE-USER", b"impersonate-user", b"Impersonate-Extra-%73copes"])
def test_credentials_are_known_however_they_are_spelled(spelled: bytes) -> None:
    head = request_head("GET", "/", [(spelled, b"root"), (b"AUTHORIZATION", b"x")], User("maria", groups=("staff",)))
    assert [(each.name, each.value) for each in head.headers] == [("impersonate-user", "maria"), ("impersonate-group", "staff")]


async def test_a_redirect_is_an_answer_and_is_not_followed(door: Door) -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/stolen")

    door.far.answers["/moved"] = elsewhere
    async with door.call("/moved", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/stolen")
    assert len(door.far.requests) == 1


async def test_events_of_a_watch_come_one_by_one_and_hold_up_nobody(door: Door) -> None:
    queues: list[asyncio.Queue[bytes]] = [asyncio.Queue(), asyncio.Queue()]

    async def watch(request: web.Request) -> web.StreamResponse:
        events = queues[int(request.query["of"])]
        response = web.StreamResponse()
        await response.prepare(request)
        while event := await events.get():
            await response.write(event)
        return response

    door.far.answers |= {"/watch": watch, "/hello": hello}
    async with door.call("/watch?of=0") as stream, door.call("/watch?of=1") as other:
        assert (stream.status, other.status) == (200, 200)
        for number in range(3):
            for events in queues:
                events.put_nowait(b"event %d\n" % number)
            assert await stream.content.readline() == b"event %d\n" % number
            assert await other.content.readline() == b"event %d\n" % number
            async with door.call("/hello") as response:
                assert await response.text() == "hello"
        for events in queues:
            events.put_nowait(b"")
        assert (await stream.read(), await other.read()) == (b"", b"")


class Endless:
    """Writes for as long as somebody listens."""

    def __init__(self) -> None:
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self.begun.set()
        try:
            while request.transport is not None and not request.transport.is_closing():
                await response.write(b"more\n")
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        finally:
            self.over.set()
        return response


async def test_a_call_that_its_caller_gives_up_is_given_up_at_the_far_end(door: Door) -> None:
    endless = Endless()
    door.far.answers["/endless"] = endless
    async with door.call("/endless") as response:
        assert await response.content.readline() == b"more\n"
    async with asyncio.timeout(60):
        await endless.over.wait()


async def hung_up(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def test_a_caller_who_does_not_wait_for_the_first_byte_ends_the_call_at_the_far_end(door: Door) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        begun.set()
        await eventually(lambda: hung_up(request))
        over.set()
        return web.Response()

    door.far.answers["/silent"] = silent

    async def call() -> None:
        async with door.call("/silent"):
            pass

    async with TaskOwner("caller") as owner:
        calling = owner.spawn(call(), "call")
        async with asyncio.timeout(60):
            await begun.wait()
            calling.cancel()
            await over.wait()


async def test_a_cluster_that_does_not_begin_to_answer_is_not_waited_for_but_a_watch_may_be_silent(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "HEAD_SECONDS", 0.5)
    told = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            await eventually(lambda: hung_up(request))
        await told.wait()
        return web.Response(text="at last")

    door.far.answers["/silent"] = silent

    async def watch() -> str:
        async with door.call("/silent?watch=true") as response:
            return str(await response.text())

    async with TaskOwner("caller") as owner, asyncio.timeout(60):
        watching = owner.spawn(watch(), "watch")
        async with door.call("/silent", "POST", data=b"all of it") as response:
            answer = await response.json()
        assert (response.status, answer["reason"]) == (504, "Timeout")
        assert "sv-1: its agent is connected, but the cluster's API did not begin to answer" in answer["message"]
        assert not watching.done()
        told.set()
        assert await watching == "at last"


async def test_an_answer_larger_than_every_buffer_waits_for_its_reader_and_others_do_not_wait_for_him(door: Door) -> None:
    written = 0

    async def much(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(MEGABYTES):
            await response.write(MEGABYTE)
            written += 1
        return response

    door.far.answers |= {"/much": much, "/hello": hello}
    async with door.call("/much") as slow:
        for _ in range(20):
            async with door.call("/hello") as response:
                assert await response.text() == "hello"
        assert written < MEGABYTES, "somewhere on the way all of it was taken in"
        digest, length = hashlib.sha256(), 0
        async for chunk in slow.content.iter_any():
            digest.update(chunk)
            length += len(chunk)
    assert length == MEGABYTES * len(MEGABYTE)
    assert digest.digest() == hashlib.sha256(MEGABYTE * MEGABYTES).digest()


async def test_a_large_request_waits_for_the_far_end_and_arrives_whole(door: Door) -> None:
    let, sent = asyncio.Event(), 0

    async def take(request: web.Request) -> web.StreamResponse:
        digest = hashlib.sha256()
        await let.wait()
        async for chunk in request.content.iter_any():
            digest.update(chunk)
        return web.Response(text=digest.hexdigest())

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(MEGABYTES):
            yield MEGABYTE
            sent += 1

    door.far.answers |= {"/take": take, "/hello": hello}

    async def upload() -> str:
        async with door.call("/take", "POST", data=body()) as response:
            text: str = await response.text()
            return text

    async with TaskOwner("upload") as owner:
        uploading = owner.spawn(upload(), "upload")
        for _ in range(20):
            async with door.call("/hello") as response:
                assert await response.text() == "hello"
        assert sent < MEGABYTES, "somewhere on the way all of it was taken in"
        let.set()
        assert await uploading == hashlib.sha256(MEGABYTE * MEGABYTES).hexdigest()


async def test_an_answer_that_breaks_off_is_not_passed_on_as_if_it_were_all(door: Door) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"the first half")
        assert request.transport is not None
        request.transport.abort()
        return response

    door.far.answers["/breaks"] = breaks
    with pytest.raises(aiohttp.ClientPayloadError):
        async with door.call("/breaks") as response:
            await response.read()


async def test_a_link_that_is_cut_in_the_middle_of_a_call_ends_it_incomplete_and_the_next_one_works(door: Door) -> None:
    endless = Endless()
    door.far.answers |= {"/endless": endless, "/hello": hello}
    async with door.call("/endless") as response:
        await response.content.readline()
        door.fleet.wire.cut()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    async with asyncio.timeout(60):
        await endless.over.wait()

    async def refused() -> bool:
        async with door.call("/hello") as response:
            answer = await response.json()
            return bool(response.status == 503 and response.headers.get("Retry-After") and "not connected" in answer["message"])

    await eventually(refused)
    door.fleet.wire.mend()

    async def answered() -> bool:
        async with door.call("/hello") as response:
            return bool(response.status == 200)

    await eventually(answered)


async def test_a_cluster_that_cannot_be_reached_by_its_agent_is_said(fleet: Fleet) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(fleet.agent(Connection("http://127.0.0.1:1")))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        response = await stack.enter_async_context(session.get(f"{fleet.front}/k8s/sv-1/version"))
        answer = await response.json()
        assert (response.status, answer["kind"], answer["reason"]) == (503, "Status", "ServiceUnavailable")
        assert "cannot be reached by its agent" in answer["message"]


@pytest.mark.parametrize("path", ["/k8s/nobody/version", "/k8s/", "/k8s/Not%20A%20Name/x", "/k8s/../x"])
async def test_a_call_to_nobody_is_refused_with_a_status(fleet: Fleet, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(fleet.front + path) as response:
        assert response.status == 404
        assert (await response.json())["kind"] == "Status"


async def test_an_agent_gets_the_calls_of_its_own_cluster_only() -> None:
    routes = Routes()
    one = Route("sv-1", pb.Hello())
    routes.add(one)
    calls = ProxyCalls(routes)
    async with TaskOwner("test") as owner:
        opening = owner.spawn(calls.open("sv-1", pb.RequestHead(target="/secrets")), "open")
        word = await one.next()
        assert word is not None
        wanted = word.open_proxy.call
        assert calls.claim("sv-2", wanted) is None
        assert calls.claim("sv-1", "another") is None
        mine = calls.claim("sv-1", wanted)
        assert mine is not None
        assert calls.claim("sv-1", wanted) is None, "a call is served once"
        assert await opening is mine
    assert calls.statistics()["waiting"] == 0


@pytest.mark.parametrize("how", ["ended", "replaced"])
async def test_a_call_whose_session_is_over_before_its_stream_is_open_does_not_wait_for_it(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "OPEN_SECONDS", 600.0)
    routes = Routes()
    one, bystander = Route("sv-1", pb.Hello()), Route("sv-2", pb.Hello())
    routes.add(one)
    routes.add(bystander)
    calls = ProxyCalls(routes)
    async with TaskOwner("test") as owner, asyncio.timeout(60):
        opening = owner.spawn(_refusal(calls, "sv-1"), "open")
        beside = owner.spawn(calls.open("sv-2", pb.RequestHead(target="/version")), "beside")
        word, other = await one.next(), await bystander.next()
        assert word is not None
        assert other is not None
        if how == "ended":
            routes.remove(one)
        else:
            routes.add(Route("sv-1", pb.Hello()))
        assert "went away before the call reached it" in await opening
        assert calls.claim("sv-1", word.open_proxy.call) is None
        assert calls.claim("sv-2", other.open_proxy.call) is await beside
    assert calls.statistics()["waiting"] == 0


async def _refusal(calls: ProxyCalls, agent: str) -> str:
    with pytest.raises(ServiceUnavailable) as caught:
        await calls.open(agent, pb.RequestHead(target="/version"))
    return caught.value.message


async def test_a_stream_for_a_call_that_nobody_made_is_refused(fleet: Fleet) -> None:
    async with stranger(fleet) as agent:

        async def opened() -> AsyncIterator[pb.ProxyRequest]:
            yield pb.ProxyRequest(opened=pb.ProxyOpened(call="made-up"))

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agent.stub.Proxy(opened()).read()
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
