"""Backup, restore and a disk that fills up, on whole servers under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.kit.aio import Pulse
from skerry.machinery.errors import AlreadyExists, BadRequest, Conflict, Expired, NotFound, ServiceUnavailable, Unauthorized
from skerry.store.contract import EPOCH_JUMP
from tests.disks import filled, small_disk
from tests.e2e.server import SKERRY, Server

Json = dict[str, Any]
MAPS, SECRETS = Ref("", "v1", "configmaps"), Ref("", "v1", "secrets")
API = "fleet.skerry.dev/v1alpha1"
USERS, BINDINGS, TOKENS = (
    Ref("fleet.skerry.dev", "v1alpha1", plural, namespaced=False) for plural in ("users", "rolebindings", "apitokens")
)


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[HttpClient]:
    async with HttpClient(read(server.kubeconfig)) as client:
        yield client


def skerry(server: Server, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(SKERRY), *arguments, "--data", str(server.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path, verb="server")
    await asyncio.to_thread(made.start)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            await asyncio.to_thread(made.stop)


class Load:
    """Writers that create, update and delete Secrets and ConfigMaps; the past can be told from what they were answered."""

    def __init__(self) -> None:
        self.done = Pulse()
        self.written: dict[int, tuple[str, Json | None]] = {}
        """By revision: which object, and as what it was acknowledged (None: it was deleted)."""

    async def writer(self, client: HttpClient, number: int) -> None:
        random, turn = Random(number), 0
        while True:
            ref = random.choice((MAPS, SECRETS))
            body = {"apiVersion": "v1", "kind": "Secret" if ref is SECRETS else "ConfigMap", "metadata": {"name": f"w{number}-{turn}"}}
            turn += 1
            made = self._acknowledged(ref, await client.create(ref, {**body, "data": {"k": "dg=="}}, "default"))
            for _ in range(random.randint(0, 3)):
                made = self._acknowledged(ref, await client.replace(ref, {**made, "data": {"k": "dmFs" * random.randint(1, 9)}}))
            if random.random() < 0.3:
                await client.delete(ref, made["metadata"]["name"], "default")

    def _acknowledged(self, ref: Ref, made: Json) -> Json:
        self.written[int(made["metadata"]["resourceVersion"])] = (f"{ref.plural}/{made['metadata']['name']}", made)
        self.done.beat()
        return made


async def objects(client: HttpClient) -> dict[str, Json]:
    """What there is in namespace default."""
    found: dict[str, Json] = {}
    for ref in (MAPS, SECRETS):
        for item in (await client.list(ref, "default"))["items"]:
            found[f"{ref.plural}/{item['metadata']['name']}"] = item
    return found


async def history(client: HttpClient, since: str, until: int) -> dict[int, dict[str, Json]]:
    """The state after each revision above ``since``, as two watches tell it."""
    events: dict[int, tuple[str, str, Json]] = {}

    async def follow(ref: Ref) -> None:
        async for event in client.watch(ref, "default", resource_version=since):
            revision = int(event.object["metadata"]["resourceVersion"])
            if event.type != "BOOKMARK" and revision <= until:
                events[revision] = (event.type, f"{ref.plural}/{event.object['metadata']['name']}", event.object)
            if revision >= until:
                return

    async with asyncio.TaskGroup() as group:
        for ref in (MAPS, SECRETS):
            group.create_task(follow(ref))
    state: dict[str, Json] = {}
    states: dict[int, dict[str, Json]] = {}
    for revision in sorted(events):
        kind, name, obj = events[revision]
        state = {key: value for key, value in state.items() if key != name} | ({} if kind == "DELETED" else {name: obj})
        states[revision] = state
    return states


async def test_a_backup_under_load_is_restored_as_one_moment_and_everybody_begins_anew(server: Server) -> None:
    load, file = Load(), server.folder / "copy.db"
    async with client_of(server) as client:
        begin = (await client.list(MAPS))["metadata"]["resourceVersion"]
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(load.writer(client, number)) for number in range(8)]
            await load.done.after(200)
            facts = json.loads((await asyncio.to_thread(skerry, server, "backup", str(file), "-o", "json")).stdout)
            await load.done.after(load.done.count + 100)
            for task in writers:
                task.cancel()
        marks = [await client.create(ref, {"apiVersion": "v1", "kind": kind, "metadata": {"name": "mark"}}, "default")
                 for ref, kind in ((MAPS, "ConfigMap"), (SECRETS, "Secret"))]  # fmt: skip
        until = int(marks[0]["metadata"]["resourceVersion"])
        states = await history(client, begin, until)
        last = int(marks[-1]["metadata"]["resourceVersion"])
    await asyncio.to_thread(server.stop)
    done = json.loads(skerry(server, "restore", str(file), "-o", "json").stdout)
    assert done["revision"] >= last + EPOCH_JUMP
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        kept = await objects(client)
        moment = max(revision for revision in states if revision <= facts["revision"])
        assert kept == states[moment]
        assert len(kept) > 20
        for since in (begin, str(facts["revision"]), str(last)):
            with pytest.raises(Expired):
                async for _ in client.watch(MAPS, "default", resource_version=since):
                    pass
        fresh = await client.create(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fresh"}}, "default")
        assert int(fresh["metadata"]["resourceVersion"]) > last + EPOCH_JUMP


async def test_what_is_written_after_another_program_looked_into_the_database_survives_a_crash(server: Server) -> None:
    """SQLite's locks are what keeps the program from taking the log away in which the server writes."""
    for turn, command in enumerate(
        (("backup", str(server.folder / "copy.db")), ("doctor",), ("support", "bundle", str(server.folder / "s.tgz")))
    ):
        skerry(server, *command)
        async with client_of(server) as client:
            for number in range(20):
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"t{turn}-{number}"}}
                await client.create(MAPS, body, "default")
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await asyncio.to_thread(server.start)
        async with client_of(server) as client:
            there = {each["metadata"]["name"] for each in (await client.list(MAPS, "default"))["items"]}
        assert there >= {f"t{turn}-{number}" for number in range(20)}


async def at(client: HttpClient, revision: int) -> dict[str, Json]:
    """What there was in namespace default at a revision."""
    found: dict[str, Json] = {}
    for plural in (MAPS.plural, SECRETS.plural):
        path = f"/api/v1/namespaces/default/{plural}?resourceVersion={revision}&resourceVersionMatch=Exact"
        for item in (await client.raw("GET", path))["items"]:
            item.pop("apiVersion", None)
            item.pop("kind", None)
            found[f"{plural}/{item['metadata']['name']}"] = item
    return found


def left_behind(server: Server, kept: str) -> None:
    """The database that was replaced is there, for its owner alone, and nothing else that a restore makes."""
    assert Path(kept).stat().st_mode & 0o777 == 0o600
    assert not [*server.data.glob("*.part*"), *server.data.glob("*.restore*")]


async def test_a_backup_is_restored_while_the_server_serves_and_others_write(server: Server) -> None:
    load, file, again = Load(), server.folder / "copy.db", Load()

    async def relentless(client: HttpClient, number: int) -> None:
        """Write on, whatever happens to what was written before."""
        while True:
            with contextlib.suppress(NotFound, Conflict, AlreadyExists):
                await again.writer(client, number)

    async with client_of(server) as client, asyncio.timeout(240):
        begin = (await client.list(MAPS))["metadata"]["resourceVersion"]
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(load.writer(client, number)) for number in range(8)]
            await load.done.after(200)
            facts = json.loads((await asyncio.to_thread(skerry, server, "backup", str(file), "-o", "json")).stdout)
            for task in writers:
                task.cancel()
        moment = await at(client, facts["revision"])
        assert len(moment) > 20
        granted = {"roleRef": {"name": "organization.view"}, "scope": {"kind": "Organization"}, "subjects": [{"kind": "User", "name": "u"}]}
        await client.create(USERS, {"apiVersion": API, "kind": "User", "metadata": {"name": "u"}})
        await client.create(BINDINGS, {"apiVersion": API, "kind": "RoleBinding", "metadata": {"name": "u"}, "spec": granted})
        made = await client.create(TOKENS, {"apiVersion": API, "kind": "APIToken", "metadata": {"name": "u"}, "spec": {"owner": "u"}})
        async with HttpClient(replace(client.connection, certificate=None, key=None, token=made["status"]["token"])) as robot:
            await robot.list(MAPS)
            async with asyncio.TaskGroup() as group:
                writers = [group.create_task(relentless(client, 100 + number)) for number in range(8)]
                await again.done.after(100)
                watched = client.watch(MAPS, "default", resource_version=begin)
                await anext(watched)
                done = json.loads((await asyncio.to_thread(skerry, server, "restore", str(file), "-o", "json")).stdout)
                await again.done.after(again.done.count + 100)
                for task in writers:
                    task.cancel()
            with contextlib.suppress(Expired):
                async for event in watched:
                    assert int(event.object["metadata"]["resourceVersion"]) < done["revision"], "it went on as if nothing had happened"
            with pytest.raises(Unauthorized):
                await robot.list(MAPS)
        assert done["revision"] > max(revision for revision in again.written if revision < EPOCH_JUMP)
        assert await at(client, done["revision"]) == moment
        later = [written for revision, written in again.written.items() if revision > done["revision"]]
        assert later, "nobody could write afterwards"
        for since in (begin, str(facts["revision"])):
            with pytest.raises(Expired):
                async for _ in client.watch(MAPS, "default", resource_version=since):
                    pass
        kept = await objects(client)
    left_behind(server, done["kept"])
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    await asyncio.to_thread(server.start)
    async with client_of(server) as client:
        assert await objects(client) == kept


async def test_a_restore_that_its_server_does_not_make_changes_nothing(server: Server) -> None:
    file, broken = server.folder / "copy.db", server.folder / "broken.db"
    skerry(server, "backup", str(file))
    broken.write_bytes(file.read_bytes()[:-5000])
    async with client_of(server) as client:
        await client.create(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there"}}, "default")
        assert "is no whole backup" in skerry(server, "restore", str(broken), code=1).stderr
        with pytest.raises(BadRequest, match="there is no backup"):
            await client.raw("POST", "/skerry/v1/restore")
        (server.data / "skerry.db.restore").write_bytes(broken.read_bytes())
        with pytest.raises(BadRequest, match="is no whole backup"):
            await client.raw("POST", "/skerry/v1/restore")
        assert (await client.get(MAPS, "there", "default"))["metadata"]["name"] == "there"
    server.kubeconfig.write_text("{}")
    assert "stop it, then restore" in skerry(server, "restore", str(file), code=1).stderr
    server.kubeconfig.unlink()
    assert "in use by process" in skerry(server, "restore", str(file), code=1).stderr


async def test_a_backup_that_needs_a_key_that_is_not_there_is_not_restored_unasked(server: Server) -> None:
    file = server.folder / "copy.db"
    async with client_of(server) as client:
        await client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "dg=="}}, "default")
    (key,) = json.loads(skerry(server, "backup", str(file), "-o", "json").stdout)["keys"]
    elsewhere = Server(server.folder / "elsewhere", verb="server")
    elsewhere.folder.mkdir()
    refused = skerry(elsewhere, "restore", str(file), code=1).stderr
    assert f"encrypted with key {key}" in refused
    assert not (elsewhere.data / "skerry.db").exists()
    (elsewhere.data).mkdir(exist_ok=True)
    (elsewhere.data / "keyring.json").write_bytes((server.data / "keyring.json").read_bytes())
    skerry(elsewhere, "restore", str(file))
    await asyncio.to_thread(elsewhere.start)
    try:
        async with client_of(elsewhere) as client:
            assert (await client.get(SECRETS, "a", "default"))["data"] == {"k": "dg=="}
    finally:
        await asyncio.to_thread(elsewhere.stop)


async def test_a_database_that_cannot_be_used_is_told_in_one_line_with_the_way_out(server: Server) -> None:
    file = server.folder / "copy.db"
    skerry(server, "backup", str(file))
    await asyncio.to_thread(server.stop)
    database = server.data / "skerry.db"
    good = database.read_bytes()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version=99")
    newer = skerry(server, "server", "--port", str(server.port), code=1).stderr
    assert "newer Skerry" in newer
    assert "start that release again" in newer
    database.write_bytes(good[:8192] + b"\xff" * 8192 + good[16384:])
    damaged = skerry(server, "server", "--port", str(server.port), code=1).stderr
    assert "is damaged" in damaged
    assert "skerry restore FILE" in damaged
    for text in (newer, damaged):
        assert text.strip().count("\n") == 0
    skerry(server, "restore", str(file))
    await asyncio.to_thread(server.start)
    assert database.with_name("skerry.db.before-restore").exists()


async def test_a_full_disk_refuses_writes_serves_reads_and_heals_when_there_is_room(tmp_path: Path) -> None:
    server = Server(tmp_path, verb="server")
    with small_disk(server.data, "24m"):
        await asyncio.to_thread(server.start)
        try:
            async with client_of(server) as client:
                await _fill_and_heal(client, server)
        finally:
            await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        async with client_of(server) as client:
            names = {each["metadata"]["name"] for each in (await client.list(MAPS, "default"))["items"]}
        assert {"before", "after"} <= names
        await asyncio.to_thread(server.stop)


async def test_a_server_that_cannot_start_on_a_full_disk_says_so_and_starts_with_everything_once_there_is_room(tmp_path: Path) -> None:
    server = Server(tmp_path, verb="server")
    with small_disk(server.data, "24m"):
        await asyncio.to_thread(server.start)
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "before", "namespace": "default"}}
        async with client_of(server) as client:
            await client.create(MAPS, body, "default")
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        with filled(server.data):
            server.launch()
            assert await asyncio.to_thread(server.gone) == 1
            assert "is full; nothing was lost, writes go on once there is room" in server.log.read_text().splitlines()[-1]
        await asyncio.to_thread(server.start)
        async with client_of(server) as client:
            assert await client.get(MAPS, "before", "default")
        await asyncio.to_thread(server.stop)


async def _fill_and_heal(client: HttpClient, server: Server) -> None:
    def body(name: str, size: int = 10) -> Json:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"k": "v" * size}}

    await client.create(MAPS, body("before"), "default")
    acknowledged: list[str] = []

    async def fill() -> None:
        for number in range(1000):
            await client.create(MAPS, body(f"n{number}", 100_000), "default")
            acknowledged.append(f"n{number}")

    with filled(server.data):
        with pytest.raises(ServiceUnavailable, match="full; nothing was lost") as caught:
            await fill()
        assert caught.value.retry_after
        listed = {each["metadata"]["name"] for each in (await client.list(MAPS, "default"))["items"]}
        assert {"before", *acknowledged} <= listed
        async with client.open("GET", "/readyz") as answer:
            assert answer.status == 200
    for _ in range(100):
        try:
            await client.create(MAPS, body("after"), "default")
            break
        except (ServiceUnavailable, AlreadyExists):
            continue
    assert await client.get(MAPS, "after", "default")
