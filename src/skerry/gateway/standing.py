"""The status that a gateway writes of whatever an agent speaks for: whether the agent is here, and how its cluster is. Pure.

* Connected and Healthy are conditions; ``health`` says the same in one word, the worst that is known.
* A cluster that was made here has a life of its own (``controllers/cluster``): to its status a gateway
  adds what the agent tells, and nothing while no agent ever spoke for it.
* An attached cluster is what its agent says: the phase and Ready are written here too.
* Of a management cluster Ready is said elsewhere (``controllers/places``), but for what its agent still has to do.
* Where it is known what keeps an agent away, Connected says so; that a second cluster or process came under the name of the first is a
  condition of its own, for as long as it goes on.
* A built-in place has no agent and waits for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from skerry.gateway.conditions import Verdict, condition
from skerry.gateway.routes import Route
from skerry.kinds.managementcluster import BUILTIN, DOUBLES, DUPLICATE
from skerry.kit.clock import rfc3339
from skerry.machinery.resource import Json
from skerry.tunnel import link_pb2 as pb

OURS = ("Connected", "Healthy")
DETACHING = "Detaching"
"""Why a cluster that is being detached is not ready."""
ATTACHED_PHASES = {"HEALTHY": "Ready", "WARNING": "Ready", "UNHEALTHY": "Degraded", "DISCONNECTED": "Unknown"}


class Told(NamedTuple):
    """What an agent says of its cluster: why its API does not answer, and what else is not as it should be."""

    problem: str = ""
    findings: tuple[tuple[int, str, str], ...] = ()
    """Severity, reason and message of each, the worst first."""


NOTHING = Told()


def told(beat: pb.Heartbeat) -> Told:
    """What a heartbeat says."""
    problem = "" if beat.api_reachable else beat.problem or "its API does not answer"
    return Told(problem, tuple((each.severity, each.reason, each.message) for each in beat.findings))


def next_status(obj: Json, route: Route | None, says: Told, now: datetime, gateway: str = "", waits_for: str = "") -> Json:
    """The status that is true now; the one that stands where there is nothing to say.

    ``waits_for``: what a cluster that is being detached waits for.
    """
    before: Json = obj.get("status") or {}
    made = obj.get("kind") == "Cluster" and obj["spec"]["provisioner"] not in BUILTIN
    if made and route is None and not {"agent", "trouble"} & before.keys():
        ours = [each for each in before.get("conditions") or () if each["type"] in OURS]
        return {**before, "conditions": _others(before, OURS)} if ours else before
    generation = obj["metadata"].get("generation", 0)
    status = {**before} if made else {**before, "observedGeneration": generation}
    if obj.get("kind") != "Cluster" and obj["metadata"].get("name") in BUILTIN:
        status.pop("health", None)
        return {**status, "phase": "BuiltIn", "conditions": _others(before, OURS)}
    if route is not None:
        status["agent"] = _agent(before, route, now, gateway)
    connected, healthy, status["health"] = _verdicts(before, route, says)
    news = [("Connected", connected), ("Healthy", healthy)]
    leaving = bool(obj["metadata"].get("deletionTimestamp"))
    going = Verdict("False", DETACHING, f"the deletion waits for {waits_for or 'nothing more'}")
    if obj.get("kind") != "Cluster":
        status["phase"] = "Deleting" if leaving else _presence(before, route)
        if route is not None:
            status["kubernetesVersion"] = route.hello.kubernetes_version
        if waits_for:
            news.append(("Ready", going))
    elif not made:
        status["phase"] = ATTACHED_PHASES[status["health"]] if route is not None or "agent" in before else "Pending"
        if route is not None:
            status["version"] = route.hello.kubernetes_version
        ready = connected if connected.status != "True" else _ready(healthy, status["health"])
        if leaving:
            status["phase"] = "Deleting"
        news.append(("Ready", going if leaving else ready))
    doubled = DOUBLES.get((before.get("trouble") or {}).get("reason", ""))
    if doubled:
        news.append((DUPLICATE, Verdict("True", doubled, before["trouble"]["message"])))
    written = [condition(before, kind, verdict, now, generation) for kind, verdict in news]
    status["conditions"] = [*_others(before, [DUPLICATE, *(kind for kind, _ in news)]), *written]
    return status


def _others(before: Json, kinds: Sequence[str]) -> list[Json]:
    return [each for each in before.get("conditions") or () if each["type"] not in kinds]


def _presence(before: Json, route: Route | None) -> str:
    if route is not None:
        return "Connected"
    return "Disconnected" if "agent" in before else "Pending"


def _agent(before: Json, route: Route, now: datetime, gateway: str) -> Json:
    agent = {"version": route.hello.agent_version, **({"gateway": gateway} if gateway else {})}
    known = dict(before.get("agent") or {})
    here = any(each["type"] == "Connected" and each["status"] == "True" for each in before.get("conditions") or ())
    since = known.pop("connectedSince", None) if here else None
    return {**agent, "connectedSince": since if since and known == agent else rfc3339(now)}


def _verdicts(before: Json, route: Route | None, says: Told) -> tuple[Verdict, Verdict, str]:
    """Connected, Healthy, and the health in one word."""
    trouble: Json = before.get("trouble") or {}
    if route is None and trouble.get("reason", DUPLICATE) not in DOUBLES:
        kept = Verdict("False", trouble["reason"], trouble["message"])
        return kept, Verdict("Unknown", kept.reason, kept.message), "DISCONNECTED"
    if route is None and "agent" not in before:
        never = Verdict("False", "NeverConnected", "its agent has not connected yet")
        return never, Verdict("Unknown", never.reason, never.message), "DISCONNECTED"
    if route is None:
        away = Verdict("False", "AgentAway", "its agent is away")
        return away, Verdict("Unknown", away.reason, away.message), "DISCONNECTED"
    connected = Verdict("True", "AgentConnected", "its agent holds a session")
    if says.problem:
        return connected, Verdict("False", "ApiUnreachable", says.problem), "UNHEALTHY"
    if not says.findings:
        return connected, Verdict("True", "ApiReachable", "its API answers its agent"), "HEALTHY"
    severity, reason, _ = says.findings[0]
    told_of = "; ".join(message for _, _, message in says.findings)
    return connected, Verdict("False", reason, told_of), "UNHEALTHY" if severity >= pb.SEVERITY_ERROR else "WARNING"


def _ready(healthy: Verdict, health: str) -> Verdict:
    """Whether an attached cluster whose agent is here can be used: a warning does not keep it from that."""
    if health == "UNHEALTHY":
        return healthy
    return Verdict("True", "Attached", "its agent holds a session, and its API answers")
