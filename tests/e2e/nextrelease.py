"""A program as the next minor release may be: this source, counted up, with words in its protocol that this release does not know.

The protocol grows in every way that is allowed: a field in a message that both know, a value of an enumeration, messages of either
side, a feature. The front door is asked and answered with one field more. Each process of this program says all of it.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import skerry
from tools.protoc import PROTO, SOURCE, generate

GROWN = (
    ("message Hello {", "message Hello {\n  string mood = 1000;"),
    ("message HeartbeatAck {}", "message HeartbeatAck {\n  string mood = 1000;\n}"),
    ("message Finding {", "message Finding {\n  string mood = 1000;"),
    ("  SEVERITY_ERROR = 2;", "  SEVERITY_ERROR = 2;\n  SEVERITY_GRAVE = 1000;"),
    ("    Detached detached = 7;", "    Detached detached = 7;\n    Murmur murmur = 1000;"),
    ("    Detach detach = 11;", "    Detach detach = 11;\n    Murmur murmur = 1000;"),
    ("// Who the agent is.", "message Murmur {\n  string words = 1;\n}\n\n// Who the agent is."),
)
LATER = """
from skerry.agent import main as agent
from skerry.client.http import HttpClient
from skerry.gateway.front import Front
from skerry.gateway.recovering import Recovering
from skerry.gateway.registration import Registration
from skerry.tunnel import link_pb2 as pb
from skerry.tunnel.session import AgentSession, GatewaySession, Say, Tell

murmur = pb.Murmur(words="of the next release")
agent.FEATURES = (*agent.FEATURES, "murmurs")
opened, take, join, raw, beat = AgentSession.opened, GatewaySession._take, GatewaySession._join, HttpClient.raw, agent.Agent._heartbeat
heard, register, link = AgentSession.heard, Registration.register, Recovering.link


def _opened(self):
    self._hello.mood = "curious"
    return opened(self)


def _join(self, hello, now):
    return [*join(self, hello, now), Tell(pb.ControlResponse(murmur=murmur))]


def _take(self, message, kind):
    steps = take(self, message, kind)
    for step in steps:
        if isinstance(step, Tell) and step.message.WhichOneof("message") == "heartbeat_ack":
            step.message.heartbeat_ack.mood = "content"
    return [*steps, Tell(pb.ControlResponse(murmur=murmur))]


def _heartbeat(self):
    made = beat(self)
    made.findings.append(pb.Finding(severity=pb.SEVERITY_GRAVE, reason="Unheard", message="of the next release", mood="grave"))
    return made


def _heard(self, message, now):
    return [*heard(self, message, now), *([Say(pb.ControlRequest(murmur=murmur))] if message.WhichOneof("message") != "murmur" else [])]


async def _raw(self, method, path, body=None, *more, **named):
    if path.startswith("/register/") and isinstance(body, dict):
        body = {**body, "mood": "curious"}
    return await raw(self, method, path, body, *more, **named)


async def _register(self, body):
    return {**await register(self, body), "mood": "content"}


AgentSession.opened, AgentSession.heard, agent.Agent._heartbeat = _opened, _heard, _heartbeat
GatewaySession._join, GatewaySession._take = _join, _take
HttpClient.raw, Registration.register, Recovering.link = _raw, _register, lambda self: {**link(self), "mood": "content"}
"""


def next_version() -> str:
    """The next minor release."""
    major, minor, _ = version("skerry").split(".")
    return f"{major}.{int(minor) + 1}.0"


def program_of_the_next(folder: Path) -> tuple[str, ...]:
    """Make the program in a folder, with the libraries of this one; the command that starts it."""
    source = Path(skerry.__file__).parent
    shutil.copytree(source, folder / "skerry", ignore=shutil.ignore_patterns("__pycache__"))
    text = (PROTO / SOURCE).read_text()
    for before, after in GROWN:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    proto = folder / "proto" / SOURCE
    proto.parent.mkdir(parents=True)
    proto.write_text(text)
    generate(folder / "skerry" / "tunnel", folder / "proto")
    told = folder / f"skerry-{next_version()}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.4\nName: skerry\nVersion: {next_version()}\n")
    (folder / "skerry_later.py").write_text(LATER)
    return "env", f"PYTHONPATH={folder}", sys.executable, "-c", "import skerry_later; from skerry.cli.main import run; run()"
