"""How a cluster is attached and detached, seen from whoever has a kubeconfig of it and one of Skerry's door.

Each step may be repeated: what is there already is left as it is, so an attachment that broke
half-way is simply made again. What happens is told as it happens, one line each.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from skerry.agent.apply import Applier
from skerry.agent.discovery import KindMap
from skerry.agent.leaving import CLUSTER_BINDINGS, CLUSTER_ROLES, RBAC
from skerry.agent.main import AgentSettings
from skerry.agent.main import run as run_agent
from skerry.agent.memory import CONFIGMAPS, NAMESPACES
from skerry.client.connection import BadConnection, Connection
from skerry.client.contract import Client, PatchKind, Ref
from skerry.client.http import HttpClient
from skerry.gateway.standing import DETACHING
from skerry.gateway.subjects import CLUSTERS, MANAGEMENT_CLUSTERS, address, connected
from skerry.kinds.cluster import FORCE
from skerry.kinds.common import API_VERSION
from skerry.kinds.fullname import FullName, parsed, words
from skerry.kinds.managementcluster import ATTACHED, BUILTIN
from skerry.kit import yamls
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import AlreadyExists, ApiError, BadRequest, Conflict, Forbidden, NotFound, Timeout, Unauthorized
from skerry.machinery.resource import Json
from skerry.pki.files import write_secret
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.places import BINDINGS, NAMESPACE, ROLES, SPEAKS_FOR, Feature

MANAGER = "skerry-attach"
ACCOUNT_TOKEN_SECONDS = 3600
POLL_SECONDS = 0.5
WIDE = ((CLUSTER_BINDINGS, BINDINGS), (CLUSTER_ROLES, ROLES))

IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")

log = get("compose.attachment")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody wants of an attachment beyond its name; what is empty is left to the server."""

    group: str = ""
    server: str = ""
    image: str = ""
    proxy: str = ""
    features: Sequence[Feature] = ()
    proxy_ca: str = ""

    def check(self) -> None:
        """Hold what can be held before anything is made; raises BadRequest that names the option."""
        for option, url, form, schemes in (
            ("--server", self.server, "https://HOST:PORT", {"http", "https"}),
            ("--proxy", self.proxy, "http://USER:PASSWORD@HOST:PORT", {"http"}),
        ):
            if url and not _leads_somewhere(url, schemes):
                raise BadRequest(f"{option} is no address that an agent can dial: write {form}")
        if self.image and not IMAGE.fullmatch(self.image):
            raise BadRequest(f"--image {self.image!r} is no image: write it as registry.example/skerry:1.0")

    def body(self, purpose: str) -> Json:
        """As the front door is asked."""
        asked = {"server": self.server, "image": self.image, "proxy": self.proxy, "features": list(self.features)}
        asked["proxyCA"] = self.proxy_ca
        return {"purpose": purpose, **{name: value for name, value in asked.items() if value}}


def _leads_somewhere(url: str, schemes: set[str]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not set(url) & set(" \t\n")
    except ValueError:  # a port that is none
        return False


def attached_name(text: str, *, management: bool = False) -> FullName:
    """The full name of what is to be attached: ``shop``, ``sv-1`` with ``management``, or ``sv-1/team-a/shop``. Raises BadRequest."""
    found = parsed(text.replace("/", "."))
    if found is None or (management and found.cluster):
        raise BadRequest(f"{text} is no name of a cluster: write NAME, or MANAGEMENT-CLUSTER/PROVISIONER/NAME")
    return found if found.cluster or management else FullName(ATTACHED, f"{ATTACHED}.{found.management_cluster}")


def only_here(server: str) -> bool:
    """Whether an address leads whoever dials it to himself."""
    host = urlsplit(server).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


async def known_name(client: Client, text: str) -> FullName | None:
    """The full name that somebody means who writes ``shop``: an attached cluster, or else a management cluster; None if it is neither."""
    found = attached_name(text)
    names = (found, FullName(found.cluster.partition(".")[2])) if found.management_cluster == ATTACHED else (found,)
    for name in names:
        if await _known(client, str(name)):
            return name
    return None


async def found_name(client: Client, text: str) -> FullName:
    """The full name that :func:`known_name` finds; raises NotFound, and BadRequest for a built-in place, which is no cluster."""
    if found := await known_name(client, text):
        if found.management_cluster in BUILTIN and not found.cluster:
            raise BadRequest(f"{text} is no cluster: it is where attached clusters are; see `kubectl get clusters -n {text}`")
        return found
    raise NotFound(f"there is no cluster {text} here; see `kubectl get clusters -A` and `kubectl get managementclusters`")


async def checked(target: Client, client: Client, name: FullName, *, local: bool) -> str:
    """Ask a cluster and Skerry whether the one can be attached as a name; returns since when it is connected already, empty: it is not.

    Raises Conflict where it would push another cluster aside, or this one is attached under another name, and what the cluster raises.
    """
    theirs = await speaks_for(target)
    status = (await _known(client, str(name)) or {}).get("status") or {}
    here = connected(status)
    if theirs not in {"", str(name)} and await _known(client, theirs):
        raise Conflict(f"this cluster is attached already, as {words(theirs)}; detach that first, or attach it again under its own name")
    if here and theirs != str(name):
        raise Conflict(f"{name.words} is connected already, and its agent is not in this cluster: give this one another name")
    if here and local:
        raise Conflict(f"an agent of {name.words} is connected already; stop it first")
    return str((status.get("agent") or {}).get("connectedSince", "")) if here else ""


async def speaks_for(target: Client) -> str:
    """The full name for which an agent was sent to a cluster; empty if none was. Raises what the cluster raises."""
    try:
        with _as_administrator():
            found = await target.get(NAMESPACES, NAMESPACE)
    except NotFound:
        return ""
    return str((found["metadata"].get("annotations") or {}).get(SPEAKS_FOR, ""))


@contextlib.contextmanager
def _as_administrator() -> Iterator[None]:
    """Say, where a cluster refuses something, who could do it."""
    try:
        yield
    except Unauthorized as error:
        raise Forbidden("the cluster does not know who asks: the credentials in its kubeconfig are wrong, or have ended") from error
    except Forbidden as error:
        raise Forbidden(f"the cluster refuses it: {error.message}; whoever attaches or cleans a cluster must administer it") from error


async def _known(client: Client, name: str) -> Json | None:
    """The object of a full name; None if there is none."""
    if parsed(name) is None:
        return None
    ref, plain, namespace = address(name)
    try:
        return await client.get(ref, plain, namespace)
    except NotFound:
        return None


async def declared(client: Client, name: FullName, group: str, tell: Tell) -> None:
    """Make the object of a cluster that is to be attached, unless it is there; raises BadRequest for one that only others make."""
    ref, plain, namespace = address(str(name))
    try:
        found = await client.get(ref, plain, namespace)
        there = (found.get("spec") or {}).get("clusterGroup", "")
        if group and there != group:
            raise BadRequest(f"{name.words} is in cluster group {there} already; leave --cluster-group out, or move it with kubectl")
    except NotFound:
        if name.cluster and name.management_cluster != ATTACHED:
            raise BadRequest(
                f"there is no cluster {name.key}; to attach one as it stands, give it a name without dots and slashes"
            ) from None
        body: Json = {"apiVersion": API_VERSION, "metadata": {"name": plain}}
        spec = {"clusterGroup": group} if group and name.cluster else {}
        body |= {"kind": "Cluster" if name.cluster else "ManagementCluster", "spec": spec}
        body["metadata"] |= {"namespace": namespace} if namespace else {}
        with contextlib.suppress(AlreadyExists):
            await client.create(CLUSTERS if name.cluster else MANAGEMENT_CLUSTERS, body, manager=MANAGER)
        tell(f"{name.words} created")


async def link(client: Client, name: FullName, wishes: Wishes) -> Json:
    """A one-time link to the manifest of a cluster: ``{"name", "link", "expires"}``."""
    return await client.raw("POST", f"/attach/{name}", wishes.body("manifest"))


async def manifest(door: Connection, client: Client, name: FullName, wishes: Wishes) -> list[Json]:
    """The documents of a cluster's manifest, fetched by a link of their own."""
    path = "/register/" + (await link(client, name, wishes))["link"].partition("/register/")[2]
    async with (
        HttpClient(replace(door, certificate=None, key=None, token="", token_file=None)) as nobody,
        nobody.open("GET", path) as answer,
    ):
        if answer.status != 200:
            raise ApiError(f"the manifest of {name.words} could not be fetched: {answer.status}")
        return [each for each in yamls.load_all(await answer.read()) if each]


async def room(target: Client, seconds: float, tell: Tell, clock: Clock) -> None:
    """Wait until nothing of an attachment before is on its way out of a cluster; raises Timeout.

    What stands in no namespace was made the former namespace's own, and would go with it although it were applied again.
    """
    with _as_administrator():
        owner = await _settled(target, seconds, tell, clock)
        for ref, names in WIDE:
            for name in names:
                with contextlib.suppress(NotFound):
                    owners = (await target.get(ref, name))["metadata"].get("ownerReferences") or ()
                    if any(each["uid"] != owner for each in owners):
                        await target.delete(ref, name)


async def _settled(target: Client, seconds: float, tell: Tell, clock: Clock, *, gone: bool = False) -> str:
    """The uid of the agent's namespace, empty if there is none, once it is not being deleted (``gone``: not there) any more."""
    told, ends = False, clock.monotonic() + seconds
    while True:
        try:
            found = await target.get(NAMESPACES, NAMESPACE)
        except NotFound:
            return ""
        if not gone and not found["metadata"].get("deletionTimestamp"):
            return str(found["metadata"]["uid"])
        if not told:
            tell(f"waiting: namespace {NAMESPACE} is being emptied in the cluster")
            told = True
        if clock.monotonic() >= ends:
            why = f"namespace {NAMESPACE} is still being deleted in the cluster after {seconds:.0f} s"
            raise Timeout(f"{why}; `kubectl get namespace {NAMESPACE} -o yaml` there says what is left in it")
        await clock.sleep(POLL_SECONDS)


async def applied(target: Client, documents: Sequence[Json], tell: Tell, *, local: bool = False) -> None:
    """Apply a manifest to a cluster, and take away rights of features that are not in it any more. Raises what the cluster raises.

    With ``local`` all of it but what runs the agent there.
    """
    refs = {
        "Namespace": NAMESPACES,
        "ServiceAccount": Ref("", "v1", "serviceaccounts"),
        "Secret": Ref("", "v1", "secrets"),
        "Deployment": Ref("apps", "v1", "deployments"),
        "Role": Ref(*RBAC, "roles"),
        "RoleBinding": Ref(*RBAC, "rolebindings"),
        "ClusterRole": CLUSTER_ROLES,
        "ClusterRoleBinding": CLUSTER_BINDINGS,
    }
    for each in documents:
        if local and each["kind"] == "Deployment":
            continue
        with _as_administrator():
            await target.apply(refs[each["kind"]], each, manager=MANAGER, force=True)
        tell(f"{each['kind'].lower()}/{each['metadata']['name']} applied")
    given = {(refs[each["kind"]], each["metadata"]["name"]) for each in documents}
    await _removed(target, [(ref, name) for ref, names in WIDE for name in names if (ref, name) not in given], tell)


async def _removed(target: Client, objects: Sequence[tuple[Ref, str]], tell: Tell) -> None:
    for ref, name in objects:
        with contextlib.suppress(NotFound), _as_administrator():
            await target.delete(ref, name)
            tell(f"{ref.plural}/{name} deleted")


async def arrived(client: Client, name: FullName, seconds: float, tell: Tell, clock: Clock, *, since: str = "") -> None:
    """Wait until the agent of a cluster is connected, later than ``since``; raises Timeout that says what was seen last."""
    ref, plain, namespace = address(str(name))
    told, ends = "", clock.monotonic() + seconds
    while True:
        status = (await client.get(ref, plain, namespace)).get("status") or {}
        if connected(status) and (status.get("agent") or {}).get("connectedSince", "") != since:
            version = status.get("kubernetesVersion") or status.get("version", "")
            tell(f"{name.words} is connected: Kubernetes {version}, {status.get('health', '')}")
            return
        found = next(
            (each["message"] for each in status.get("conditions") or () if each["type"] == "Connected"), "nothing was seen of it yet"
        )
        if connected(status):
            found = "the agent that was there before still holds its session"
        if found != told:
            tell(f"waiting: {found}")
            told = found
        if clock.monotonic() >= ends:
            raise Timeout(
                f"the agent of {name.words} did not connect within {seconds:.0f} s ({found}); "
                f"look at `kubectl -n {NAMESPACE} get pods,events` in the cluster; "
                "to attach it again is safe, and `skerry detach` takes it back"
            )
        await clock.sleep(POLL_SECONDS)


@contextlib.asynccontextmanager
async def account(admin: HttpClient, clock: Clock, again: Callable[[], Connection]) -> AsyncIterator[Connection]:
    """A connection as the account that the manifest made, whose token is renewed until the block is left.

    ``again`` logs the administrator in once more: his own credentials may not be good for as long.
    """
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": ACCOUNT_TOKEN_SECONDS},
    }

    async def renew() -> None:
        with _as_administrator():
            answer = await admin.raw("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAMESPACE}/token", request)
        write_secret(path, answer["status"]["token"].encode())

    async def keep_renewing() -> None:
        while True:
            await clock.sleep(ACCOUNT_TOKEN_SECONDS / 2)
            try:
                admin.renew(await asyncio.to_thread(again))
            except BadConnection as error:
                log.warning("cannot log in to the cluster again; going on as before", error=str(error))
            try:
                await renew()
            except ApiError as error:  # the token is good for as long again
                log.warning("the token of the agent's account could not be renewed", error=error.message)

    with tempfile.TemporaryDirectory(prefix="skerry-agent-") as folder:
        path = Path(folder) / "token"
        await renew()
        async with TaskOwner("account") as owner:
            owner.spawn(keep_renewing(), "renewal")
            yield replace(admin.connection, certificate=None, key=None, token="", token_file=path)


async def serve(target: Connection, door: Connection, documents: Sequence[Json], wishes: Wishes, clock: Clock) -> None:
    """Run the agent of a cluster here, as the account that its manifest made, until cancelled."""
    secret = next(each for each in documents if each["kind"] == "Secret")
    token = base64.b64decode(secret["data"]["token"]).decode()
    server, ca = wishes.server or door.server, door.ca or b""
    try:
        await run_agent(AgentSettings(target, None, server, ca, token, wishes.proxy, proxy_ca=wishes.proxy_ca.encode()), clock)
    except Unauthorized as error:  # it is the agent that is refused, not whoever attaches
        raise Forbidden(f"the agent is refused: {error.message}") from error


async def leave(client: Client, name: FullName, *, force: bool) -> bool:
    """Ask for a cluster to be detached; with ``force`` without waiting for an agent that is away. Returns whether its agent is there.

    Raises BadRequest for one that a management cluster made.
    """
    ref, plain, namespace = address(str(name))
    if name.cluster and name.management_cluster != ATTACHED:
        raise BadRequest(f"{name.words} is made by its management cluster; `kubectl delete` removes it with its machines")
    if force:
        await client.patch(ref, plain, namespace, PatchKind.MERGE, {"metadata": {"annotations": {FORCE: "true"}}}, manager=MANAGER)
    there = connected((await _known(client, str(name)) or {}).get("status") or {})
    with contextlib.suppress(NotFound):
        await client.delete(ref, plain, namespace)
    return there


async def left(client: Client, name: FullName, seconds: float, tell: Tell, clock: Clock) -> None:
    """Wait until a cluster is gone; raises Timeout that says what it waits for."""
    ref, plain, namespace = address(str(name))
    told, ends = "", clock.monotonic() + seconds
    while True:
        try:
            status = (await client.get(ref, plain, namespace)).get("status") or {}
        except NotFound:
            tell(f"{name.words} detached")
            return
        ready = [each for each in status.get("conditions") or () if each["type"] == "Ready" and each["reason"] == DETACHING]
        found = next((each["message"] for each in ready), "")
        if found and found != told:
            tell(found)
            told = found
        if clock.monotonic() >= ends:
            raise Timeout(f"{name.words} is not gone after {seconds:.0f} s: {found or 'nothing is known of why'}")
        await clock.sleep(POLL_SECONDS)


async def mine(target: Client, client: Client, name: FullName | None) -> None:
    """Hold a cluster that is to be cleaned against the name that it shall lose; raises Conflict where it is another one's."""
    theirs = await speaks_for(target)
    if theirs not in {"", str(name or "")} and await _known(client, theirs):
        raise Conflict(f"this cluster is attached as {words(theirs)}: detach it under that name")


async def cleaned(target: Client, seconds: float, tell: Tell, clock: Clock) -> None:
    """Remove what an attachment put into a cluster, with the rights of whoever does it; what is gone already is fine. Raises Timeout."""
    await _emptied(target, seconds, tell, clock)
    await _removed(target, [(ref, name) for ref, names in (*WIDE, (NAMESPACES, (NAMESPACE,))) for name in names], tell)
    await _settled(target, seconds, tell, clock, gone=True)


async def _emptied(target: Client, seconds: float, tell: Tell, clock: Clock) -> None:
    """Take away what manifest sets made, as the agent that remembers it would have; raises Timeout."""
    try:
        maps = (await target.list(CONFIGMAPS, NAMESPACE))["items"]
    except NotFound:
        return
    applier, ends = Applier(target, KindMap(target)), clock.monotonic() + seconds
    for memory in (each.get("data") or {} for each in maps):
        if not {"set", "ownerEpoch", "generation"} <= memory.keys():
            continue
        state = pb.DesiredState(set=memory["set"], owner_epoch=int(memory["ownerEpoch"]), generation=int(memory["generation"]), remove=True)
        while not (report := await applier.enforce(state)).gone:
            if clock.monotonic() >= ends:
                stays = ", ".join(f"{each.kind} {each.name} ({each.message})" for each in report.objects if each.message)
                raise Timeout(f"manifest set {state.set} is not gone after {seconds:.0f} s: {stays}")
            await clock.sleep(POLL_SECONDS)
        tell(f"manifest set {state.set} removed")
