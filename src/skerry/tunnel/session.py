"""The rules of a link session, as two state machines without I/O: the gateway's end and the agent's.

Who carries the messages tells a machine what was heard and what time it is; it answers with
steps, to be taken in order: something to say, something to hand to who decides on it, or the end.

* The agent speaks first, and says the name that its certificate says. Anything else ends the
  session, as does a second Hello, or a message to the agent before it was welcomed.
* The agent sends a heartbeat at once and then in the interval that Welcome sets; the gateway
  answers each. Whoever hears nothing for three intervals ends the session.
* Inventory deltas are numbered from 1. A gap means that something was lost: the receiver asks
  for everything again, once, and ignores deltas until the numbering starts anew.
* A listing of a kind begins with one delta and is complete with the same or a later one; what
  was not named in between is gone. A listing that the numbering interrupts never counts.
* A command carries (owner epoch, generation). An agent refuses one below the highest it has
  seen for the same set; the same again is welcome. Nothing refused is ever handed on.
* A certificate counts only if it was asked for, and one request at a time is on its way.
* Roots are kept before they are acknowledged.
* Whoever does not know a message ignores it: an agent may be one release older or newer.
* A session that is over says and does nothing more.

Time is a number of seconds that the caller passes in, and never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.rules import DeltaOrder, Fence, KindName, Listings, Liveness, Names, Verdict, digest_of, kind_of, refuse_hello

HEARTBEAT_SECONDS = 10
MISSED_BEATS = 3
WELCOME_SECONDS = 30
"""How long either side waits for the other's first word."""


# the gateway's end


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this to the agent."""

    message: pb.ControlResponse


@dataclass(frozen=True, slots=True)
class Joined:
    """The agent is who it says it is: the session counts from now on."""

    hello: pb.Hello


@dataclass(frozen=True, slots=True)
class Beat:
    """The agent lives, and this is how its cluster is."""

    heartbeat: pb.Heartbeat


@dataclass(frozen=True, slots=True)
class Store:
    """Keep a delta. ``complete`` names all there is of some kinds: whatever else is known of them is gone."""

    delta: pb.InventoryDelta
    complete: Mapping[KindName, Names]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command."""

    result: pb.DesiredResult


@dataclass(frozen=True, slots=True)
class Sign:
    """Answer a request for a certificate."""

    csr: bytes


@dataclass(frozen=True, slots=True)
class Trusts:
    """The agent trusts the roots of this digest."""

    digest: str


@dataclass(frozen=True, slots=True)
class Left:
    """The agent has removed what it put into its cluster; ``problem`` says why it could not."""

    problem: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The session does not come about; ``identity``: because of who the agent is."""

    reason: str
    identity: bool = False


@dataclass(frozen=True, slots=True)
class Over:
    """The session is over; ``superseded``: a newer one of the same agent took its place."""

    reason: str
    superseded: bool = False


GatewayStep: TypeAlias = Tell | Joined | Beat | Store | Result | Sign | Trusts | Left | Refused | Over


class GatewaySession:
    """The gateway's end of one agent's session."""

    def __init__(self, proved: str | None, welcome: pb.Welcome, subscription: pb.Subscribe, bundle: bytes, now: float) -> None:
        """``proved`` is the management cluster that the agent's certificate names; ``bundle`` the roots that it should trust."""
        self._proved = proved
        self._welcome = welcome
        self._subscription = subscription
        self._bundle = bundle
        self._joined = False
        self._over = False
        self._liveness = Liveness(WELCOME_SECONDS, now)
        self._order = DeltaOrder()
        self._listings = Listings()

    def heard(self, message: pb.ControlRequest, now: float) -> list[GatewayStep]:
        """The agent said something."""
        if self._over:
            return []
        kind = message.WhichOneof("message")
        if not self._joined:
            return self._join(message.hello, now) if kind == "hello" else self._refuse("an agent says hello first")
        self._liveness.heard(now)
        return self._take(message, kind)

    def _take(self, message: pb.ControlRequest, kind: str | None) -> list[GatewayStep]:
        match kind:
            case "hello":
                return self._end("the agent said hello twice")
            case "heartbeat":
                return [Beat(message.heartbeat), Tell(pb.ControlResponse(heartbeat_ack=pb.HeartbeatAck()))]
            case "inventory":
                return self._judge(message.inventory)
            case "result":
                return [Result(message.result)]
            case "certificate_request":
                return [Sign(message.certificate_request.csr)]
            case "trust_ack":
                return [Trusts(message.trust_ack.digest)]
            case "detached":
                return [Left(message.detached.problem)]
        return []

    def tick(self, now: float) -> list[GatewayStep]:
        """Time has passed."""
        if self._over or not self._liveness.dead(now):
            return []
        return self._end("the agent fell silent") if self._joined else self._refuse("the agent did not say hello")

    def wait(self, now: float) -> float:
        """Seconds after which ``tick`` is due."""
        return self._liveness.wait(now)

    def _join(self, hello: pb.Hello, now: float) -> list[GatewayStep]:
        refusal = refuse_hello(hello.management_cluster, self._proved)
        if refusal:
            return self._refuse(refusal, identity=True)
        self._joined = True
        self._liveness = Liveness(self._welcome.heartbeat_seconds * MISSED_BEATS, now)
        steps: list[GatewayStep] = [
            Joined(hello),
            Tell(pb.ControlResponse(welcome=self._welcome)),
            Tell(pb.ControlResponse(subscribe=self._subscription)),
        ]
        if hello.trust_digest == digest_of(self._bundle):
            steps.append(Trusts(hello.trust_digest))
        else:
            steps.append(Tell(pb.ControlResponse(trust=pb.TrustBundle(bundle=self._bundle))))
        return steps

    def _judge(self, delta: pb.InventoryDelta) -> list[GatewayStep]:
        match self._order.judge(delta.sequence):
            case Verdict.TAKE:
                return [Store(delta, self._listings.take(delta))]
            case Verdict.RESYNC:
                return [Tell(pb.ControlResponse(resync=pb.Resync()))]
        return []

    def _refuse(self, reason: str, *, identity: bool = False) -> list[GatewayStep]:
        self._over = True
        return [Refused(reason, identity)]

    def _end(self, reason: str) -> list[GatewayStep]:
        self._over = True
        return [Tell(pb.ControlResponse(goodbye=pb.Goodbye(reason=reason))), Over(reason)]


# the agent's end


@dataclass(frozen=True, slots=True)
class Say:
    """Send this to the gateway."""

    message: pb.ControlRequest


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The gateway takes the session."""

    session: str


@dataclass(frozen=True, slots=True)
class Follow:
    """Report these kinds from now on, and no others."""

    kinds: tuple[KindName, ...]


@dataclass(frozen=True, slots=True)
class Again:
    """Number the deltas from 1 again, and send everything."""


@dataclass(frozen=True, slots=True)
class Enforce:
    """Bring the cluster to this state."""

    state: pb.DesiredState


@dataclass(frozen=True, slots=True)
class Serve:
    """Open the stream of a proxied call."""

    call: str


@dataclass(frozen=True, slots=True)
class Install:
    """Take the certificate that was asked for, and the roots that come with it."""

    certificate: bytes
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep these roots."""

    bundle: bytes


@dataclass(frozen=True, slots=True)
class Leave:
    """Remove what was put into the cluster, and say that it is done."""


@dataclass(frozen=True, slots=True)
class Complain:
    """Tell people; nothing else happens."""

    problem: str


AgentStep: TypeAlias = Say | Welcomed | Follow | Again | Enforce | Serve | Install | Keep | Leave | Complain | Over


class AgentSession:
    """The agent's end of one session."""

    def __init__(self, hello: pb.Hello, fence: Fence, now: float) -> None:
        """``fence`` remembers the commands of earlier sessions."""
        self._hello = hello
        self._fence = fence
        self._interval = 0.0
        self._welcomed = False
        self._over = False
        self._asked = False
        self._liveness = Liveness(WELCOME_SECONDS, now)
        self._beat_at = now

    def opened(self) -> list[AgentStep]:
        """The connection stands."""
        return [Say(pb.ControlRequest(hello=self._hello))]

    def heard(self, message: pb.ControlResponse, now: float) -> list[AgentStep]:
        """The gateway said something."""
        if self._over:
            return []
        self._liveness.heard(now)
        kind = message.WhichOneof("message")
        if kind == "goodbye":
            return self._end(message.goodbye.reason, superseded=message.goodbye.superseded)
        if kind == "welcome":
            return self._welcome(message.welcome, now)
        if not self._welcomed:
            return self._end("the gateway gave orders before it said welcome")
        return self._obey(message, kind)

    def _obey(self, message: pb.ControlResponse, kind: str | None) -> list[AgentStep]:
        match kind:
            case "subscribe":
                return [Follow(tuple(kind_of(each) for each in message.subscribe.kinds))]
            case "resync":
                return [Again()]
            case "desired":
                return self._judge(message.desired)
            case "open_proxy":
                return [Serve(message.open_proxy.call)]
            case "detach":
                return [Leave()]
            case "certificate" | "certificate_refused":
                return self._answered(message)
            case "trust":
                ack = pb.TrustAck(digest=digest_of(message.trust.bundle))
                return [Keep(message.trust.bundle), Say(pb.ControlRequest(trust_ack=ack))]
        return []

    def tick(self, now: float, beat: pb.Heartbeat) -> list[AgentStep]:
        """Time has passed; ``beat`` is how the cluster is now."""
        if self._over:
            return []
        if self._liveness.dead(now):
            return self._end("the gateway fell silent")
        if not self._welcomed or now < self._beat_at:
            return []
        self._beat_at = now + self._interval
        return [Say(pb.ControlRequest(heartbeat=beat))]

    def wait(self, now: float) -> float:
        """Seconds after which ``tick`` is due."""
        silent = self._liveness.wait(now)
        return min(silent, max(0.0, self._beat_at - now)) if self._welcomed else silent

    @property
    def may_renew(self) -> bool:
        """Whether a certificate can be asked for now."""
        return self._welcomed and not self._asked and not self._over

    def renew(self, csr: bytes) -> list[AgentStep]:
        """A new certificate is wanted; nothing happens while an answer is still awaited."""
        if not self.may_renew:
            return []
        self._asked = True
        return [Say(pb.ControlRequest(certificate_request=pb.CertificateRequest(csr=csr)))]

    def _welcome(self, welcome: pb.Welcome, now: float) -> list[AgentStep]:
        if self._welcomed:
            return self._end("the gateway said welcome twice")
        self._welcomed = True
        self._interval = float(welcome.heartbeat_seconds or HEARTBEAT_SECONDS)
        self._liveness = Liveness(self._interval * MISSED_BEATS, now)
        self._beat_at = now
        return [Welcomed(welcome.session)]

    def _judge(self, state: pb.DesiredState) -> list[AgentStep]:
        refused = self._fence.admit(state.set, state.owner_epoch, state.generation)
        if not refused:
            return [Enforce(state)]
        result = pb.DesiredResult(set=state.set, owner_epoch=state.owner_epoch, generation=state.generation, refused=refused)
        return [Say(pb.ControlRequest(result=result))]

    def _answered(self, message: pb.ControlResponse) -> list[AgentStep]:
        if not self._asked:
            return [Complain("the gateway sent a certificate that nobody asked for")]
        self._asked = False
        if message.WhichOneof("message") == "certificate_refused":
            return [Complain(f"the gateway does not renew the certificate: {message.certificate_refused.reason}")]
        return [Install(message.certificate.certificate, message.certificate.bundle)]

    def _end(self, reason: str, *, superseded: bool = False) -> list[AgentStep]:
        self._over = True
        return [Over(reason, superseded)]
