"""Two servers over one PostgreSQL database: what one writes the other shows, and either may die or stand still."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from peers.postgresql import PostgreSql
from skerry.client.contract import PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.kit.aio import TaskOwner
from skerry.machinery.errors import AlreadyExists, ApiError, Expired, Forbidden, ServiceUnavailable, Unauthorized
from skerry.machinery.resource import Json
from skerry.runtime.leases import LEASES
from skerry.runtime.shares import SHARE, SHARES
from tests.e2e.server import SKERRY, Server, clients, eventually, over_one_database
from tests.store.databases import why_not

GROUPS = Ref("fleet.skerry.dev", "v1alpha1", "clustergroups", namespaced=False)
SECRETS = Ref("", "v1", "secrets")
SITES = Ref("fleet.skerry.dev", "v1alpha1", "managementclusters", namespaced=False)
WRITES = 60


def group(name: str) -> Json:
    return {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ClusterGroup", "metadata": {"name": name}, "spec": {}}


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSql]:
    if why := why_not("wheel"):
        pytest.skip(why)
    with PostgreSql("wheel") as made:
        yield made


@pytest.fixture(scope="module")
def replicas(database: PostgreSql, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    # the agent of the simulated site is connected to the first one alone
    with over_one_database(tmp_path_factory.mktemp("replicas"), database.dsn(), 2, simulated=True) as made:
        yield made


def holdings(server: Server) -> list[list[int]]:
    """The shares of the management clusters that a server says it works on, each time it says so; first none."""
    lines = (json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{") and "shares" in line)
    return [[], *(line["shares"] for line in lines if line["event"] == "works on shares")]


async def divided(client: HttpClient, among: int) -> dict[str, int]:
    """Wait until so many divide all shares evenly; return the epoch of each share."""
    async with asyncio.timeout(120):
        while True:
            leases = [each for each in (await client.list(LEASES, "skerry-system"))["items"] if each["metadata"]["name"].startswith(SHARE)]
            held = Counter(each["spec"]["holderIdentity"] for each in leases)
            if len(held) == among and list(held.values()) == [SHARES // among] * among:
                return {each["metadata"]["name"]: int(each["metadata"]["resourceVersion"]) for each in leases}
            await asyncio.sleep(0.2)


async def test_what_is_written_at_one_is_seen_at_the_other_at_once_and_in_order(replicas: list[Server]) -> None:
    async with clients(replicas) as both, TaskOwner("test") as owner, asyncio.timeout(120):
        start = (await both[0].list(GROUPS))["metadata"]["resourceVersion"]
        seen: list[list[tuple[str, str]]] = [[], []]

        async def follow(place: int) -> None:
            async for event in both[place].watch(GROUPS, resource_version=start, bookmarks=False):
                seen[place].append((event.object["metadata"]["name"], event.object["metadata"]["resourceVersion"]))
                if len(seen[place]) == 2 * WRITES:
                    return

        async def write(place: int) -> None:
            for number in range(WRITES):
                made = await both[place].create(GROUPS, group(f"g{place}-{number}"))
                there = await both[1 - place].get(GROUPS, made["metadata"]["name"])
                assert there["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

        following = [owner.spawn(follow(place), f"watch {place}") for place in (0, 1)]
        await asyncio.gather(write(0), write(1))
        await asyncio.gather(*following)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 2 * WRITES
    assert [int(revision) for _, revision in seen[0]] == sorted(int(revision) for _, revision in seen[0])


async def test_what_is_granted_or_taken_away_at_one_holds_at_the_other_at_once(replicas: list[Server]) -> None:
    async with clients(replicas) as (one, two), asyncio.timeout(120):
        await one.create(GROUPS, group("shown"))
        await one.create(ref("users"), access("User", "robot", {}))
        for turn in range(10):
            made = await one.create(ref("apitokens"), access("APIToken", f"t{turn}", {"owner": "robot"}))
            async with HttpClient(replace(two.connection, certificate=None, key=None, token=made["status"]["token"])) as robot:
                with pytest.raises(Forbidden):
                    await robot.list(GROUPS)
                scope = {"kind": "ClusterGroup", "name": "shown"}
                subjects = [{"kind": "User", "name": "robot"}]
                spec = {"roleRef": {"name": "clustergroup.view"}, "scope": scope, "subjects": subjects}
                await one.create(ref("rolebindings"), access("RoleBinding", "robot", spec))
                shown = await robot.list(GROUPS)
                assert [each["metadata"]["name"] for each in shown["items"]] == ["shown"]
                watch = robot.watch(GROUPS, resource_version=shown["metadata"]["resourceVersion"], bookmarks=False)
                described = {"spec": {"description": str(turn)}}
                await one.patch(GROUPS, "shown", "", PatchKind.MERGE, described)
                assert (await anext(watch)).object["spec"] == described["spec"]
                await one.delete(ref("rolebindings"), "robot")
                assert [event async for event in watch] == []
                with pytest.raises(Forbidden):
                    await robot.list(GROUPS)
                await one.delete(ref("apitokens"), f"t{turn}")
                with pytest.raises(Unauthorized):
                    await robot.list(GROUPS)


def ref(plural: str) -> Ref:
    return Ref("fleet.skerry.dev", "v1alpha1", plural, namespaced=False)


def access(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


async def test_when_a_server_is_killed_nothing_is_lost_and_the_other_does_its_share_of_the_work(replicas: list[Server]) -> None:
    living_server, killed = replicas
    acknowledged: list[str] = []
    async with clients([killed, living_server]) as (dying, living):
        before = await divided(living, 2)
        async with TaskOwner("writers") as writers, asyncio.timeout(120):

            async def write() -> None:
                try:
                    for number in range(100_000):
                        await dying.create(GROUPS, group(f"k-{number}"))
                        acknowledged.append(f"k-{number}")
                except ApiError:
                    return  # it was killed

            writing = writers.spawn(write(), "writer")
            while len(acknowledged) < WRITES:  # noqa: ASYNC110 another task's state
                await asyncio.sleep(0.01)
            killed.stop(signal.SIGKILL)
            await writing
        there = {item["metadata"]["name"] for item in (await living.list(GROUPS))["items"]}
        assert set(acknowledged) <= there
        await living.create(GROUPS, group("after-the-kill"))
        after = await divided(living, 1)
        assert sum(after[share] > before[share] for share in before) == SHARES // 2, "what the other held already stays as it is"
        eventually(lambda: holdings(living_server)[-1] == list(range(SHARES)), 60, living_server.log)
        killed.start()
        await divided(living, 2)
    async with clients([killed]) as (again,):
        assert (await again.get(GROUPS, "after-the-kill"))["metadata"]["name"] == "after-the-kill"


async def test_a_server_that_stands_still_for_longer_than_its_lease_loses_its_shares_and_joins_again(replicas: list[Server]) -> None:
    living_server, still = replicas
    async with clients(replicas) as (living, back):
        before = await divided(living, 2)
        still.signal(signal.SIGSTOP)
        await living.create(GROUPS, group("while-it-stood-still"))
        taken = await divided(living, 1)
        assert all(taken[share] >= before[share] for share in before)
        still.signal(signal.SIGCONT)
        assert (await back.get(GROUPS, "while-it-stood-still"))["metadata"]["name"] == "while-it-stood-still"
        made = await back.create(GROUPS, group("afterwards"))
        assert (await living.get(GROUPS, "afterwards"))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        await divided(living, 2)
    eventually(lambda: sorted(holdings(living_server)[-1] + holdings(still)[-1]) == list(range(SHARES)), 60, still.log)


async def test_an_agent_is_reached_from_every_server_until_the_one_that_it_dialled_is_gone(replicas: list[Server]) -> None:
    phases: list[str] = []
    one, _ = replicas
    async with clients(replicas) as (_, living), TaskOwner("test") as owner, asyncio.timeout(240):

        async def follow() -> None:
            while True:
                async for event in living.watch(SITES, fields="metadata.name=demo", bookmarks=False):
                    phase = event.object["status"]["phase"]
                    if phases[-1:] != [phase]:
                        phases.append(phase)

        async def until(phase: str) -> None:
            while phases[-1:] != [phase]:  # noqa: ASYNC110 another task's state
                await asyncio.sleep(0.05)

        async def version() -> str:
            return str((await living.raw("GET", "/k8s/demo/version"))["gitVersion"])

        owner.spawn(follow(), "watch")
        await until("Connected")
        there = await version()
        one.stop(signal.SIGKILL)
        with pytest.raises(ServiceUnavailable):
            await version()
        await until("Disconnected")
        with pytest.raises(ServiceUnavailable, match="not connected"):
            await version()
        await asyncio.to_thread(one.start)
        await until("Connected")
        while True:  # the sign of life of the server that came back may be seen later than the agent's
            with contextlib.suppress(ServiceUnavailable):
                assert await version() == there
                break
            await asyncio.sleep(0.2)
    assert phases == ["Connected", "Disconnected", "Connected"]


async def test_a_restart_of_the_database_is_ridden_through_by_both(replicas: list[Server], database: PostgreSql) -> None:
    async with clients(replicas) as both:
        await asyncio.to_thread(database.stop)
        await asyncio.to_thread(database.start)
        for place, client in enumerate(both):
            async with asyncio.timeout(120):
                made = await created(client, f"r-{place}")
                assert (await both[1 - place].get(GROUPS, f"r-{place}"))["metadata"]["uid"] == made["metadata"]["uid"]
    assert all(server.process is not None and server.process.poll() is None for server in replicas)


async def created(client: HttpClient, name: str) -> Json:
    """Create an object, for as long as the server says that its database is away."""
    while True:
        try:
            return await client.create(GROUPS, group(name))
        except AlreadyExists:
            return await client.get(GROUPS, name)  # an earlier attempt succeeded after all
        except ApiError as error:
            if error.reason != "ServiceUnavailable":
                raise
            await asyncio.sleep(0.2)


def refused(data: Path, *options: str) -> str:
    """What a server says that cannot start."""
    command = [str(SKERRY), "server", "--data", str(data), "--port", "0", "--gateway-port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_data_folder_serves_one_process(replicas: list[Server]) -> None:
    assert "in use by process" in refused(replicas[0].data, *replicas[0].options[:2])


async def asks_for_a_password(address: str) -> None:
    """Wait until the server has read its new rules."""
    async with asyncio.timeout(60):
        while True:
            try:
                await (await asyncpg.connect(address, password="none", timeout=60)).close()
            except asyncpg.InvalidPasswordError:
                return


async def test_a_password_is_read_from_a_file_and_shown_nowhere(database: PostgreSql, tmp_path: Path) -> None:
    admin = await asyncpg.connect(database.dsn(), timeout=60)
    await admin.execute("CREATE ROLE fleet LOGIN PASSWORD 'correct horse'")
    await admin.execute("CREATE DATABASE fleet OWNER fleet")
    rules = database.data / "pg_hba.conf"
    rules.write_text("local all fleet scram-sha-256\n" + rules.read_text())
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
    await asks_for_a_password(database.dsn("fleet").replace("skerry@", "fleet@"))
    address, password = database.dsn("fleet").replace("skerry@", "fleet@"), tmp_path / "password"
    password.write_text("wrong horse\n")
    assert "password authentication failed" in refused(tmp_path / "data", "--database", address, "--database-password-file", str(password))
    password.write_text("correct horse\n")
    server = Server(tmp_path, "--database", address, "--database-password-file", str(password), verb="server")
    server.start()
    assert server.stop() == 0
    assert "horse" not in server.log.read_text()


async def test_secrets_of_one_are_read_at_the_other_while_their_key_is_rotated(replicas: list[Server]) -> None:
    def body(name: str) -> Json:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": {"k": "dg=="}}

    async with clients(replicas) as (one, two):
        for number in range(20):
            await one.create(SECRETS, body(f"s{number}"), "default")
        begun = await two.raw("POST", "/skerry/v1/keys/rotate")
        assert begun["rewriting"]["running"]
        for number in range(20, 60):
            await (one, two)[number % 2].create(SECRETS, body(f"s{number}"), "default")
        (primary,) = [key["id"] for key in begun["keys"] if key["primary"]]
        for _ in range(600):
            keys = (await one.raw("GET", "/skerry/v1/keys"))["keys"]
            if all(bool(key["values"]) == key["primary"] for key in keys):
                break
            await asyncio.sleep(0.1)
        assert {key["id"]: bool(key["values"]) for key in keys if key["primary"] or key["values"]} == {primary: True}
        assert len(keys) == 2, "the former key is kept for what somebody may be writing"
        for client in (one, two):
            found = (await client.list(SECRETS, "default"))["items"]
            assert {each["metadata"]["name"]: each["data"] for each in found} == {f"s{number}": {"k": "dg=="} for number in range(60)}


async def test_a_server_with_a_keyring_of_its_own_serves_no_secret_and_writes_none(
    replicas: list[Server], database: PostgreSql, tmp_path: Path
) -> None:
    stranger = Server(tmp_path, "--database", database.dsn(), verb="server")
    shutil.copytree(replicas[0].data / "pki", stranger.data / "pki")
    stranger.start()
    try:
        async with HttpClient(read(stranger.kubeconfig)) as client:
            with pytest.raises(ServiceUnavailable, match="which the keyring does not hold"):
                await client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stranger"}}, "default")
    finally:
        stranger.stop()


async def skerry(*arguments: str) -> None:
    running = await asyncio.create_subprocess_exec(SKERRY, *arguments)
    assert await asyncio.wait_for(running.wait(), 120) == 0


async def test_a_backup_is_restored_while_both_servers_run(replicas: list[Server], database: PostgreSql, tmp_path: Path) -> None:
    file = str(tmp_path / "copy.db")
    options = ("--database", database.dsn(), "--keyring", str(replicas[0].data.parent.parent / "keyring.json"))
    async with clients(replicas) as (one, two):
        await one.create(GROUPS, group("kept"))
        await one.create(SECRETS, {"metadata": {"name": "shut", "namespace": "default"}, "stringData": {"word": "before"}})
        await skerry("backup", file, *options[:2])
        await two.create(GROUPS, group("late"))
        lost = await two.patch(SECRETS, "shut", "default", PatchKind.MERGE, {"stringData": {"word": "after"}})
        await skerry("restore", file, *options)
        for client in (one, two):
            names = {item["metadata"]["name"] for item in (await client.list(GROUPS))["items"]}
            assert "kept" in names
            assert "late" not in names
            secret = await client.get(SECRETS, "shut", namespace="default")
            assert secret["data"]["word"] == b64encode(b"before").decode()
            with pytest.raises(Expired):
                await anext(client.watch(GROUPS, resource_version=lost["metadata"]["resourceVersion"]))
        await two.create(GROUPS, group("late"))
        assert (await one.get(GROUPS, "late"))["metadata"]["name"] == "late"
