"""Credentials on a whole server: nothing of them on its disk or in what it says, a key that changes under load, a key that is lost."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.kit.aio import Pulse
from skerry.machinery.errors import ApiError, ServiceUnavailable, Unauthorized
from tests.e2e.server import SKERRY, Server, eventually
from tests.restapi.planted import Planter, secret

Json = dict[str, Any]
SECRETS = Ref("", "v1", "secrets")
CONFIGMAPS = Ref("", "v1", "configmaps")


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[HttpClient]:
    async with HttpClient(read(server.kubeconfig)) as client:
        yield client


def skerry(server: Server, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    options = ("--kubeconfig", str(server.kubeconfig))
    done = subprocess.run([str(SKERRY), *arguments, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def keys(server: Server) -> Json:
    found: Json = json.loads(skerry(server, "keys", "list", "-o", "json").stdout)
    return found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path, "--log-level", "debug", verb="server")
    await asyncio.to_thread(made.start)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            await asyncio.to_thread(made.stop, signal.SIGKILL)


async def plant(server: Server, planter: Planter) -> bytes:
    """Send every request; returns what the server said of those that it refused."""
    said = b""
    async with client_of(server) as client:
        for sent in planter.requests():
            async with client.open(sent.method, sent.path, body=sent.body, media=sent.media, seconds=60) as answer:
                body = await answer.read()
                if answer.status >= 300:
                    said += body
                said += repr(answer.raw_headers).encode()
                assert answer.status < 300 if sent.good else answer.status < 500, (sent, body)
    return said


async def use_a_token(server: Server, planter: Planter) -> None:
    """Make an API token, which is as secret as any value, and show it: to be let in, with a letter too much, and once it is deleted."""
    tokens = Ref("fleet.skerry.dev", "v1alpha1", "apitokens", namespaced=False)
    async with client_of(server) as client:
        made = await client.create(tokens, {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "APIToken", "metadata": {"name": "t"}})
        text = made["status"]["token"]
        planter.values.append(text)
        bare = replace(client.connection, certificate=None, key=None)
        async with HttpClient(replace(bare, token=text)) as robot, HttpClient(replace(bare, token=f"{text}x")) as stranger:
            assert (await robot.get(tokens, "t"))["spec"]["owner"] == "admin"
            with pytest.raises(Unauthorized):
                await stranger.get(tokens, "t")
            await client.delete(tokens, "t")
            with pytest.raises(Unauthorized):
                await robot.get(tokens, "t")


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_no_planted_value_is_anywhere_on_the_disk_or_in_what_the_server_says(server: Server) -> None:
    planter = Planter()
    said = await plant(server, planter)
    await use_a_token(server, planter)
    said += skerry(server, "keys", "list").stdout.encode() + skerry(server, "keys", "rotate").stdout.encode()
    for _ in range(2):
        files = on_disk(server.folder)  # first as a running server leaves them, then as a stopped one does
        assert {name: planter.found_in(data) for name, data in files.items() if planter.found_in(data)} == {}
        assert {"data/skerry.db", "data/audit.jsonl", "server.log"} <= files.keys()
        if server.process is not None and server.process.poll() is None:
            await asyncio.to_thread(server.stop)
    assert planter.found_in(said) == []
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        kept = await client.get(SECRETS, "a", "default")
    assert base64.b64decode(kept["data"]["k"]).decode() in planter.values


async def test_a_key_is_rotated_under_load_across_a_kill_and_every_write_is_still_there(server: Server) -> None:
    old = keys(server)["keys"][0]["id"]
    acknowledged: dict[str, str] = {}
    more = Pulse()

    async def writer(client: HttpClient, number: int) -> None:
        turn = 0
        while True:
            name, value = f"s{number}-{turn}", base64.b64encode(f"{number} {turn}".encode()).decode()
            turn += 1
            try:
                await client.create(
                    SECRETS, secret(name, data={"k": value}) | {"metadata": {"name": name, "namespace": "default"}}, "default"
                )
                acknowledged[name] = value
                more.beat()
            except ApiError:
                return

    async with client_of(server) as client, asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(writer(client, number))
        await more.after(800)
        begun = await client.raw("POST", "/skerry/v1/keys/rotate")
        assert begun["rewriting"]["running"]
        server.signal(signal.SIGKILL)  # in the middle, or nearly: the start has to cope with every moment
        await asyncio.to_thread(server.gone)
    await asyncio.to_thread(server.start)
    eventually(
        lambda: [each["id"] for each in keys(server)["keys"]] == [each["id"] for each in begun["keys"] if each["primary"]], 60, server.log
    )
    async with client_of(server) as client, asyncio.TaskGroup() as group:
        before = more.count
        writers = [group.create_task(writer(client, number)) for number in range(10, 14)]
        await more.after(before + 100)
        done = await asyncio.to_thread(skerry, server, "keys", "rotate", "-o", "json")
        for task in writers:
            task.cancel()
    found = json.loads(done.stdout)
    assert len(found["rewriting"]["retired"]) == 1
    assert old not in done.stdout
    assert [each["primary"] for each in found["keys"]] == [True]
    assert (found["missing"], found["inTheClear"], found["refusal"]) == ([], 0, "")
    async with client_of(server) as client:
        listed = await client.list(SECRETS, "default")
    there = {each["metadata"]["name"]: each["data"]["k"] for each in listed["items"]}
    assert {name: there.get(name) for name in acknowledged} == acknowledged
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        again = await client.list(SECRETS, "default")
    # what a cancelled writer had sent may have come in after the first list
    assert there.items() <= {each["metadata"]["name"]: each["data"]["k"] for each in again["items"]}.items()


@pytest.mark.parametrize("fate", ["away", "another", "damaged"])
async def test_without_its_keyring_the_server_says_so_serves_nothing_secret_and_loses_nothing(server: Server, fate: str) -> None:
    async with client_of(server) as client:
        await client.create(SECRETS, {**secret("a", data={"k": "dg=="}), "metadata": {"name": "a", "namespace": "default"}}, "default")
    await asyncio.to_thread(server.stop)
    keyring = server.data / "keyring.json"
    right = keyring.read_bytes()
    match fate:
        case "away":
            keyring.unlink()
        case "another":
            other = json.loads(right)
            other["keys"][0]["key"] = base64.b64encode(bytes(32)).decode()
            keyring.write_text(json.dumps(other))
        case _:
            keyring.write_bytes(right[:20])
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        for ask in (partial(client.get, SECRETS, "a"), partial(client.list, SECRETS), partial(client.create, SECRETS, secret("b"))):
            with pytest.raises(ServiceUnavailable, match="keyring"):
                await ask("default")
        async with client.open("GET", "/readyz") as answer:
            assert (answer.status, b"keyring" in await answer.read()) == (500, True)
        await client.create(CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain"}}, "default")
    assert "keyring" in keys(server)["refusal"]
    assert "keyring" in skerry(server, "keys", "rotate", code=1).stderr
    assert "confidential objects cannot be served" in server.log.read_text()
    assert right.decode()[30:60] not in server.log.read_text()
    await asyncio.to_thread(server.stop)
    assert keyring.exists() == (fate != "away"), "no new keyring is made where the old one is needed"
    keyring.write_bytes(right)
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        assert (await client.get(SECRETS, "a", "default"))["data"] == {"k": "dg=="}
        async with client.open("GET", "/readyz") as answer:
            assert answer.status == 200


async def test_a_database_knows_its_keyring_even_while_it_holds_nothing_secret(server: Server) -> None:
    await asyncio.to_thread(server.stop)
    (server.data / "keyring.json").rename(server.data / "kept.json")
    await asyncio.to_thread(server.start)
    assert "which the keyring does not hold" in keys(server)["refusal"]
    assert not (server.data / "keyring.json").exists()
    async with client_of(server) as client:
        with pytest.raises(ServiceUnavailable, match="put that keyring back"):
            await client.create(SECRETS, secret("b"), "default")
