"""``skerry doctor``: what is wrong with an installation, or soon will be, each with what to do.

First what the data folder tells, whether the server runs or not; then what the server itself
says. Checks are independent: one that cannot be made says so, and the others go on.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from skerry.client.connection import BadConnection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import KubeconfigError, read
from skerry.compose.database import address, shown
from skerry.compose.encryption import MARK
from skerry.compose.encryption import PATH as KEYS
from skerry.compose.settings import ServerSettings
from skerry.compose.statistics import PATH as STATISTICS
from skerry.kinds.common import GROUP, VERSION
from skerry.kinds.managementcluster import BUILTIN
from skerry.machinery.errors import ApiError
from skerry.machinery.resource import Json
from skerry.pki.chain import Shown, chain
from skerry.pki.keyring import KeyringError, KeyringFile
from skerry.store.contract import StoreError
from skerry.store.examine import Examined, examine, holder
from skerry.store.sealing import CannotOpen, opened

MANAGEMENT = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
CLUSTERS = Ref(GROUP, VERSION, "clusters")
LEAST_BYTES, LOW_BYTES, LOW_FILES = 100 << 20, 1 << 30, 1000
SKEW_WARN, SKEW_FAIL = timedelta(seconds=30), timedelta(minutes=5)
ROOT_WARN = timedelta(days=365)
NOT_READY = "see to what it says; if it says nothing that helps, look into its log"
SERVER_FIRST = "see first to what is said of the server"
OPEN = 0o077
"""The permissions that nobody but the owner may have."""


class Verdict(StrEnum):
    """How it stands."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


class Finding(NamedTuple):
    """The outcome of one check: what was looked at, what is so, and what to do about it."""

    verdict: Verdict
    check: str
    what: str
    todo: str = ""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, check, what)


def warn(check: str, what: str, todo: str) -> Finding:
    """It works, and somebody should see to it."""
    return Finding(Verdict.WARN, check, what, todo)


def fail(check: str, what: str, todo: str) -> Finding:
    """It does not work, or is open to others."""
    return Finding(Verdict.FAIL, check, what, todo)


async def diagnose(settings: ServerSettings, now: datetime) -> list[Finding]:
    """Make every check."""
    if not settings.data.is_dir():
        return [fail("data folder", f"{settings.data} is not there", "name the folder of the server with --data")]
    found = list(local(settings, now))
    if settings.shared:
        found += await _looked_into(settings)
    return [*found, *await _asked(settings, served=bool(holder(settings.database)))]


def local(settings: ServerSettings, now: datetime) -> Iterator[Finding]:
    """What the data folder tells."""
    yield from clock(settings.data, now)
    yield from disk(settings.data)
    yield from permissions(settings)
    yield from certificates(settings.pki, now)
    if not settings.shared:
        yield from _embedded(settings)


def _embedded(settings: ServerSettings) -> Iterator[Finding]:
    examined = None
    try:
        examined = examine(settings.database, MARK)
    except FileNotFoundError:
        if not holder(settings.database):  # a server that runs without it has PostgreSQL, and is asked
            todo = "start the server, name the PostgreSQL that it uses with --database, or restore a backup: skerry restore FILE"
            yield fail("database", f"{settings.database} is not there, and no server runs on PostgreSQL", todo)
    except StoreError as error:
        yield _unusable(error, "keep a copy of the file and restore the last backup: skerry restore FILE")
    if examined is not None:
        yield from database(examined)
        yield from encryption(settings.keyring, examined)


def _unusable(error: Exception, otherwise: str) -> Finding:
    """What an error says of a database, and what it says to do."""
    told = re.split(r"; |(?<=\)): ", str(error), maxsplit=1)
    return fail("database", told[0], told[1] if told[1:] else otherwise)


async def _looked_into(settings: ServerSettings) -> list[Finding]:
    """What a PostgreSQL database tells, whether servers run on it or not."""
    from skerry.store.postgres.examine import examine as look

    try:
        examined = await look(address(settings), MARK)
    except (StoreError, OSError, ValueError) as error:  # ValueError: an address that is none
        return [_unusable(error, "see whether it runs, and is reached from this machine with these credentials")]
    what = f"{shown(settings)}; {examined.objects} objects, revision {examined.revision}, schema {examined.schema}, {_size(examined.size)}"
    return [ok("database", what), *encryption(settings.keyring, examined)]


def clock(folder: Path, now: datetime) -> Iterator[Finding]:
    """Files are not younger than now."""
    youngest = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)
    ahead = datetime.fromtimestamp(youngest, UTC) - now
    if ahead > SKEW_FAIL:
        yield fail("clock", f"files in {folder} were written {_time(ahead)} in the future", "set the clock, and keep it set with NTP")
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, behind nothing that was written")


def disk(folder: Path) -> Iterator[Finding]:
    """There is room."""
    free, files = shutil.disk_usage(folder).free, os.statvfs(folder)
    room = f"{_size(free)} free for {folder}"
    if free < LEAST_BYTES:
        yield fail("disk", room, "make room: a full disk refuses writes")
    elif free < LOW_BYTES or (files.f_files and files.f_favail < LOW_FILES):
        yield warn("disk", f"{room}, {files.f_favail} more files", "make room soon: a backup and an upgrade need as much as the database")
    else:
        yield ok("disk", room)


def permissions(settings: ServerSettings) -> Iterator[Finding]:
    """What is secret can be read by its owner only."""
    paths = [settings.data, settings.pki, settings.keyring, settings.kubeconfig, settings.audit, *settings.data.glob("skerry.*")]
    paths += settings.pki.glob("*")
    found = [path for path in dict.fromkeys(paths) if path.exists() and stat.S_IMODE(path.stat().st_mode) & OPEN]
    for path in found:
        mode = 0o700 if path.is_dir() else 0o600
        how = f"{path} is open to others (mode {stat.S_IMODE(path.stat().st_mode):o})"
        if path == settings.data:
            yield warn("permissions", how, f"chmod {mode:o} {path}")
        else:
            yield fail("permissions", how, f"chmod {mode:o} {path}; what others may have read should be made anew")
    if not found:
        yield ok("permissions", "keys, tokens and databases can be read by their owner only")


def certificates(folder: Path, now: datetime) -> Iterator[Finding]:
    """Every certificate is within its time, and not near its end."""
    for path in sorted(folder.glob("*.pem")):
        try:
            shown = chain(path.read_bytes())
        except (ValueError, OSError) as error:
            yield fail(
                "certificates",
                f"{path} cannot be read ({type(error).__name__})",
                "restore it, or remove it if it is no root: it is made anew",
            )
            continue
        yield from (_certificate(path, each, now) for each in shown)


def _certificate(path: Path, shown: Shown, now: datetime) -> Finding:
    what = f"{path.name}: {shown.subject}, from {shown.not_before:%Y-%m-%d} to {shown.not_after:%Y-%m-%d}"
    if now < shown.not_before:
        return fail("certificates", f"{what}, has not begun", "set the clock")
    if now >= shown.not_after and shown.root:
        return fail("certificates", f"{what}, has ended", "nothing that this root signed is trusted any more: begin with a new root")
    if now >= shown.not_after:
        return warn("certificates", f"{what}, has ended", "start the server: it issues a new one")
    if shown.root and now >= shown.not_after - ROOT_WARN:
        return warn("certificates", f"{what}, ends within a year", "plan the rotation of this root")
    if not shown.root and now >= shown.due + timedelta(days=1):
        return warn("certificates", f"{what}, should have been renewed", "start the server, or look into its log: it renews by itself")
    return ok("certificates", what)


def database(examined: Examined) -> Iterator[Finding]:
    """The database is whole, and its log is folded back."""
    served = f"served by process {examined.holder}" if examined.holder else "not served"
    what = f"{examined.objects} objects, revision {examined.revision}, schema {examined.schema}, {_size(examined.size)}, {served}"
    if examined.log_size > max(examined.size, 256 << 20):
        yield warn("database", f"{what}; its write-ahead log has {_size(examined.log_size)}", "start the server anew, which folds it back")
    else:
        yield ok("database", what)


def encryption(path: Path, examined: Examined) -> Iterator[Finding]:
    """The keyring opens what the database holds."""
    try:
        keyring = KeyringFile(path)
    except KeyringError as error:
        yield fail("encryption", str(error), "put the keyring back, and start the server anew")
        return
    missing = [key_id for key_id in examined.keys if keyring.find(key_id) is None]
    primary = keyring.primary()
    if missing:
        yield fail(
            "encryption", f"{path} lacks key {', '.join(missing)}, which Secrets need", "put that keyring back, and start the server anew"
        )
    elif why := _shut(examined.mark, keyring):
        yield fail("encryption", why, "put the right keyring back, and start the server anew")
    elif primary is None:
        yield warn("encryption", f"{path} is not there", "start the server, which makes a keyring")
    else:
        yield ok("encryption", f"{path} holds every key that is needed; primary is {primary[0]}")


def _shut(mark: bytes | None, keyring: KeyringFile) -> str:
    """Why the mark of the database does not open; empty if it does, or is not there yet."""
    try:
        opened(mark or b"", MARK, keyring)
    except CannotOpen as error:
        return str(error)
    return ""


async def _asked(settings: ServerSettings, *, served: bool) -> list[Finding]:
    """What the server says, through the administrator's kubeconfig."""
    if not served:
        return [warn("server", "it does not run", "start it with the same --data, if it shall")]
    try:
        connection = read(settings.kubeconfig)
        async with HttpClient(connection, user_agent="skerry-doctor") as client:
            found = await _server(client, connection.server)
            if not settings.shared and not settings.database.exists():
                found += [await _database(client), await _encryption(client)]
            return [*found, *await _agents(client)]
    except (KubeconfigError, BadConnection, OSError) as error:
        return [fail("server", f"it runs, and {settings.kubeconfig} cannot be used: {error}", "look into the server's log")]
    except ApiError as error:
        return [fail("server", error.message, "start the server, or look into its log")]


async def _server(client: HttpClient, address: str) -> list[Finding]:
    async with client.open("GET", "/readyz", seconds=10) as answer:
        body, date = (await answer.read()).decode(errors="replace"), answer.headers.get("Date")
    why = "; ".join(line for line in body.splitlines() if line.startswith("[-]")) or body
    found = [ok("server", f"{address} is ready") if answer.status == 200 else fail("server", f"{address} is not ready: {why}", NOT_READY)]
    if date:
        skew = abs(datetime.now(UTC) - parsedate_to_datetime(date))
        if skew > SKEW_WARN:
            found.append(warn("clock", f"the server's clock is {_time(skew)} away from this machine's", "set both with NTP"))
    return found


async def _database(client: HttpClient) -> Finding:
    """How far a database has come that is not in the data folder."""
    try:
        store = (await client.raw("GET", STATISTICS))["store"]
    except ApiError as error:
        return fail("database", f"the server does not tell of its database: {error.message}", SERVER_FIRST)
    what = f"PostgreSQL; {store['objects']} objects, revision {store['revision']}"
    if store["extra"]["away"]:
        return fail(
            "database", f"{what}, and it does not answer the server", "see whether it runs, and is reached from the server's machine"
        )
    return ok("database", what)


async def _encryption(client: HttpClient) -> Finding:
    """The server's keyring opens what a database holds that is not in the data folder."""
    try:
        told = await client.raw("GET", KEYS)
    except ApiError as error:
        return fail("encryption", f"the server does not tell of its keys: {error.message}", SERVER_FIRST)
    missing = ", ".join(each["id"] for each in told["missing"])
    if why := told["refusal"] or (missing and f"the keyring lacks key {missing}, which Secrets need"):
        return fail("encryption", why, "put the right keyring back, and start the server anew")
    return ok("encryption", "the server's keyring holds every key that is needed")


async def _agents(client: HttpClient) -> list[Finding]:
    try:
        return list(agents(await client.list(MANAGEMENT), await client.list(CLUSTERS)))
    except ApiError as error:
        return [fail("agents", f"the server does not tell of them: {error.message}", SERVER_FIRST)]


def agents(managements: Json, clusters: Json) -> Iterator[Finding]:
    """Every agent is connected, and its cluster well; of clusters that are no management clusters, those that are not are named."""
    items = [item for item in managements["items"] if item["metadata"]["name"] not in BUILTIN]  # these need no agent
    well = 0
    for item in (*items, *clusters["items"]):
        space, conditions = item["metadata"].get("namespace", ""), _conditions(item)
        if space and "Connected" not in conditions:
            continue  # its management cluster's agent does for it
        name = f"{space}/{item['metadata']['name']}" if space else item["metadata"]["name"]
        wrong = [each for kind in ("Connected", "Healthy") if (each := conditions.get(kind)) and each["status"] != "True"]
        if (doubled := conditions.get("DuplicateAgent")) and doubled["status"] == "True":
            what = f"{name} is spoken for twice: {doubled.get('message', '')}"
            yield fail("agents", what, f"stop the one that does not belong, or register it by a token of its own: skerry token {name}")
        if "Connected" not in conditions:
            yield warn("agents", f"{name} has never been connected", f"register its agent: skerry token {name}")
        elif wrong:
            what = "; ".join(f"{each['type']} is {each['status']}: {each.get('message') or each.get('reason', '')}" for each in wrong)
            yield warn("agents", f"{name}: {what}", "look into the agent's log, and whether it reaches the gateway's port")
        elif space:
            well += 1
        else:
            yield ok("agents", f"{name} is connected and healthy")
    if well:
        yield ok("agents", f"{well} other cluster{' is' if well == 1 else 's are'} connected and healthy")
    if not items:
        yield ok("agents", "there is no management cluster that needs one")


def _conditions(item: Json) -> dict[str, Json]:
    return {each["type"]: each for each in (item.get("status") or {}).get("conditions") or []}


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _time(span: timedelta) -> str:
    return str(timedelta(seconds=round(span.total_seconds())))
