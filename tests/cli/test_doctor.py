"""``skerry doctor`` finds what is wrong and says what to do; ``skerry support bundle`` tells no secret."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from peers.postgresql import PostgreSql
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import read
from skerry.compose import statistics
from skerry.compose.doctor import Verdict, certificates, clock, disk, local
from skerry.compose.settings import ServerSettings
from skerry.compose.support import LEFT_OUT, filtered
from skerry.pki import policy
from skerry.pki.files import Safe
from tests.e2e.server import SKERRY, Server, eventually, running
from tests.restapi.planted import Planter
from tests.store.databases import why_not

Json = dict[str, Any]
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("doctor"), "--sim") as made:
        yield made


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The data folder of a server that has run."""
    with running(tmp_path) as made:
        pass
    return made.data


def skerry(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(SKERRY), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def findings(data: Path, code: int = 0) -> list[Json]:
    found: list[Json] = json.loads(skerry("doctor", "--data", str(data), "-o", "json", code=code).stdout)
    return found


def of(found: list[Json], check: str) -> set[str]:
    return {each["verdict"] for each in found if each["check"] == check}


def test_a_healthy_installation_is_called_so(server: Server) -> None:
    eventually(lambda: "demo is connected and healthy" in skerry("doctor", "--data", str(server.data)).stdout, 60, server.log)
    found = findings(server.data)
    checks = ("clock", "disk", "permissions", "certificates", "database", "encryption", "server", "agents")
    assert [check for check in checks if of(found, check) != {"OK"}] == []
    assert {each["check"] for each in found} == set(checks)


def test_an_agent_that_is_away_is_told_with_what_to_do(server: Server) -> None:
    body = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "ManagementCluster", "metadata": {"name": "sv-9"}}

    async def create() -> None:
        async with HttpClient(read(server.kubeconfig)) as client:
            await client.raw("POST", "/apis/fleet.skerry.dev/v1alpha1/managementclusters", body)
            shop = {**body, "kind": "Cluster", "metadata": {"name": "attached.shop"}}
            await client.raw("POST", "/apis/fleet.skerry.dev/v1alpha1/namespaces/attached/clusters", shop)

    asyncio.run(create())
    for name in ("sv-9", "attached/attached.shop"):

        def told(name: str = name) -> bool:
            return name in skerry("doctor", "--data", str(server.data)).stdout

        eventually(told, 60, server.log)
        (about,) = [each for each in findings(server.data) if each["what"].startswith(name)]
        assert (about["verdict"], bool(about["todo"])) == ("WARN", True)
    assert "team-a.web" not in str(findings(server.data)), "a cluster that needs no agent of its own"


def test_each_trouble_of_the_data_folder_is_found_and_ends_with_1(stopped: Path) -> None:
    assert of(findings(stopped), "server") == {"WARN"}
    key = stopped / "pki" / "internal.pem"
    key.chmod(0o644)
    (wrong,) = [each for each in findings(stopped, code=1) if each["verdict"] == "FAIL"]
    assert (wrong["check"], str(key) in wrong["what"], f"chmod 600 {key}" in wrong["todo"]) == ("permissions", True, True)
    key.chmod(0o600)
    future = time.time() + 86400
    os.utime(stopped / "audit.jsonl", (future, future))
    assert of(findings(stopped, code=1), "clock") == {"FAIL"}
    os.utime(stopped / "audit.jsonl")
    keyring = stopped / "keyring.json"
    good = keyring.read_bytes()
    keyring.write_bytes(b"{}")
    assert of(findings(stopped, code=1), "encryption") == {"FAIL"}
    ring = json.loads(good)
    ring["keys"][0]["key"] = base64.b64encode(bytes(32)).decode()
    keyring.write_text(json.dumps(ring))
    (shut,) = [each for each in findings(stopped, code=1) if each["check"] == "encryption"]
    assert (shut["verdict"], "does not open" in shut["what"]) == ("FAIL", True)
    keyring.write_bytes(good)
    database = stopped / "skerry.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    found = findings(stopped, code=1)
    assert of(found, "database") == {"FAIL"}
    assert "skerry restore FILE" in next(each["todo"] for each in found if each["check"] == "database")
    database.write_bytes(whole[:60] + (99).to_bytes(4, "big") + whole[64:])  # the place of SQLite's user_version
    (newest,) = [each for each in findings(stopped, code=1) if each["check"] == "database"]
    assert (newest["verdict"], newest["todo"].startswith("start that release again")) == ("FAIL", True)
    for content in (b"", None):
        database.unlink() if content is None else database.write_bytes(content)
        assert of(findings(stopped, code=1), "database") == {"FAIL"}
    database.write_bytes(whole)
    (stopped / "pki" / "external.pem").write_bytes(b"nothing")
    assert "FAIL" in of(findings(stopped, code=1), "certificates")
    assert of(findings(stopped / "nowhere", code=1), "data folder") == {"FAIL"}


def test_certificates_are_judged_by_their_dates(tmp_path: Path) -> None:
    safe = Safe(tmp_path / "pki")
    authority = safe.authority("root", NOW)
    safe.pair(authority, policy.SERVER, "leaf", "localhost", NOW, hosts=("localhost",))

    def verdicts(days: int) -> list[str]:
        return [each.verdict.value for each in certificates(safe.folder, NOW + timedelta(days=days))]

    assert verdicts(0) == ["OK", "OK"]
    assert verdicts(62) == ["WARN", "OK"], "a leaf that should have been renewed"
    assert verdicts(91) == ["WARN", "OK"], "a leaf that has ended is made anew at the start"
    assert verdicts(3400) == ["WARN", "WARN"], "a root that ends within a year"
    assert verdicts(3651) == ["WARN", "FAIL"]
    assert verdicts(-2) == ["FAIL", "FAIL"]


def test_a_full_disk_and_a_wrong_clock_are_told_apart_from_good_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    now = datetime.now(UTC)
    assert [each.verdict for each in clock(tmp_path, now)] == [Verdict.OK]
    assert [each.verdict for each in clock(tmp_path, now - timedelta(hours=1))] == [Verdict.FAIL]
    for least, low, expected in ((0, 0, Verdict.OK), (0, 1 << 62, Verdict.WARN), (1 << 62, 1 << 62, Verdict.FAIL)):
        monkeypatch.setattr("skerry.compose.doctor.LEAST_BYTES", least)
        monkeypatch.setattr("skerry.compose.doctor.LOW_BYTES", low)
        assert [each.verdict for each in disk(tmp_path)] == [expected]


def test_of_postgresql_the_server_is_asked_and_tells_what_it_can_while_its_database_is_away(tmp_path: Path) -> None:
    if why := why_not("wheel"):
        pytest.skip(why)
    with PostgreSql("wheel") as database:
        address = database.dsn().replace("skerry@", "skerry:PLANTED@")
        with running(tmp_path, "--database", address, verb="server") as server:
            found = findings(server.data)
            for check in ("server", "database", "encryption", "agents"):
                assert of(found, check) == {"OK"}, check
            database.stop(signal.SIGKILL)
            eventually(lambda: not_ready(server), 60, server.log)
            found = findings(server.data, code=1)
            for check in ("server", "database", "encryption", "agents"):
                assert of(found, check) == {"FAIL"}, check
            assert all(each["todo"] for each in found if each["verdict"] == "FAIL")
            file = tmp_path / "bundle.tar.gz"
            skerry("support", "bundle", str(file), "--data", str(server.data))
            told = {Path(name).name: json.loads(data) for name, data in members(file).items()}
            shown = asyncio.run(raw(server, statistics.PATH))
            database.start()
    assert "[-]store failed: the database does not answer; will try again" in told["server.json"]["readyz"]
    assert "the database does not answer" in told["statistics.json"]["warnings"][0]["event"]
    assert told["statistics.json"]["settings"]["port"] == server.port
    assert set(told["keys.json"]) == set(told["events.json"]) == {"error"}
    assert "PLANTED" not in json.dumps([told, shown])
    assert shown["settings"]["database_url"] == database.dsn()


def test_postgresql_is_looked_into_whether_servers_run_or_not(tmp_path: Path) -> None:
    if why := why_not("wheel"):
        pytest.skip(why)
    with PostgreSql("wheel") as database:
        address = database.dsn().replace("skerry@", "skerry:PLANTED@")
        named = ("doctor", "--database", address, "-o", "json", "--data")
        with running(tmp_path, "--database", address, verb="server") as server:
            found = json.loads(skerry(*named, str(server.data)).stdout)
            for check in ("server", "database", "encryption", "agents"):
                assert of(found, check) == {"OK"}, check
        found = json.loads(skerry(*named, str(server.data)).stdout)
        assert of(found, "database") == of(found, "encryption") == {"OK"}
        assert of(found, "server") == {"WARN"}
        (server.data / "keyring.json").rename(tmp_path / "elsewhere.json")
        found = json.loads(skerry(*named, str(server.data), code=1).stdout)
        assert of(found, "encryption") == {"FAIL"}
        database.stop(signal.SIGKILL)
        found = json.loads(skerry(*named, str(server.data), code=1).stdout)
        database.start()
    (away,) = [each for each in found if each["check"] == "database"]
    assert away["verdict"] == "FAIL"
    assert away["todo"]
    assert "PLANTED" not in json.dumps(found)


async def raw(server: Server, path: str) -> Json:
    async with HttpClient(read(server.kubeconfig)) as client:
        answer: Json = await client.raw("GET", path)
        return answer


def not_ready(server: Server) -> bool:
    return (
        "is not ready"
        in subprocess.run(
            [str(SKERRY), "doctor", "--data", str(server.data)], capture_output=True, text=True, timeout=120, check=False
        ).stdout
    )


def test_a_look_changes_nothing(stopped: Path) -> None:
    before = {path.name: path.read_bytes() for path in stopped.iterdir() if path.is_file()}
    assert list(local(ServerSettings(stopped), datetime.now(UTC)))
    after = {path.name: path.read_bytes() for path in stopped.iterdir() if path.is_file()}
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) <= {"skerry.db-wal", "skerry.db-shm"}


# the bundle


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {each.name: content.read() for each in tar.getmembers() if (content := tar.extractfile(each))}


def test_a_bundle_helps_and_holds_nothing_secret(server: Server, tmp_path: Path) -> None:
    planter = Planter()

    async def plant() -> None:
        async with HttpClient(read(server.kubeconfig)) as client:
            for sent in planter.requests():
                async with client.open(sent.method, sent.path, body=sent.body, media=sent.media, seconds=60) as answer:
                    await answer.read()

    asyncio.run(plant())
    file = tmp_path / "bundle.tar.gz"
    skerry("support", "bundle", str(file), "--data", str(server.data))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = members(file)
    assert {Path(name).name for name in found} == {
        "about.json", "doctor.json", "files.json", "certificates.json", "server.json", "statistics.json", "keys.json", "objects.json",
        "events.json",
    }  # fmt: skip
    whole = b"\n".join(found.values())
    assert planter.found_in(whole) == []
    for verb in ("explain", "tree"):
        for form in ("table", "json"):
            shown = skerry(verb, "cluster", "team-a.web", "-n", "demo", "--kubeconfig", str(server.kubeconfig), "-o", form)
            assert planter.found_in((shown.stdout + shown.stderr).encode()) == []
    secrets = [path for path in server.data.rglob("*") if path.suffix in {".pem", ".token"} or path.name in {"keyring.json", "tokens.json"}]
    assert len(secrets) >= 8
    for path in secrets:
        for line in path.read_text().splitlines():
            if len(line) > 30 and not line.startswith("-----"):
                assert line.encode() not in whole, path
    key = json.loads((server.data / "keyring.json").read_text())["keys"][0]
    assert key["key"].encode() not in whole
    told = {Path(name).name: json.loads(data) for name, data in found.items()}
    assert [each["name"] for each in told["statistics.json"]["agents"]] == ["demo"]
    assert "cluster" in told["statistics.json"]["queues"]
    assert told["statistics.json"]["api"]["caches"]["secrets"]["watchers"] >= 1
    assert told["certificates.json"]["front-door.pem"][0]["not_after"]
    clusters = told["objects.json"]["clusters.fleet.skerry.dev"]
    assert {each["name"] for each in clusters} >= {"team-a.web"}
    assert all("spec" not in each for each in clusters)
    assert told["keys.json"]["keys"][0]["id"] == key["id"]


def test_a_bundle_of_a_server_that_does_not_run_says_so_and_holds_the_rest(stopped: Path, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    done = json.loads(skerry("support", "bundle", str(file), "--data", str(stopped), "-o", "json").stdout)
    assert done["members"] == ["about.json", "doctor.json", "files.json", "certificates.json", "server.json"]
    assert "error" in json.loads(members(file)["skerry-support/server.json"])
    assert "skerry: " in skerry("support", "bundle", str(tmp_path / "no" / "folder"), "--data", str(stopped), code=1).stderr


def test_nothing_is_written_over_a_file_of_the_installation(tmp_path: Path) -> None:
    settings = ServerSettings(tmp_path)
    for own in (
        settings.keyring,
        settings.database,
        settings.audit,
        settings.pki / "internal.pem",
        tmp_path / "x" / ".." / "skerry.db-wal",
    ):
        assert settings.owns(own)
    assert not settings.owns(tmp_path / "backup.db")
    (tmp_path / "skerry.db").write_bytes(b"precious")
    for command in (("backup",), ("support", "bundle")):
        done = skerry(*command, str(settings.database), "--data", str(tmp_path), code=1)
        assert "file of the installation itself" in done.stderr
    assert settings.database.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPLANTED\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nPLANTED that was cut off",
        "Authorization: Bearer PLANTED.PLANTED",
        "eyJhbGciOiJSUzI1NiJ9.PLANTED.PLANTED",
        "skerry_PLANTEDPLANTED",
        "dial https://user:PLANTED@proxy.example:3128",
        'password="PLANTED", more',
        "'token': 'PLANTED'",
    ],
)
def test_what_looks_like_a_credential_is_left_out_of_free_text(text: str) -> None:
    told = filtered({"message": [f"it failed: {text}", "cluster team-a.web is Ready"]})
    assert "PLANTED" not in json.dumps(told)
    assert LEFT_OUT in told["message"][0]
    assert told["message"][1] == "cluster team-a.web is Ready"
