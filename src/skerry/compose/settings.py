"""Settings, read here and nowhere else: from the command line, and from the environment where that says so."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from skerry.pki.policy import RENEWAL_GRACE


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How one embedded server runs.

    ``names`` are further names of the front door, for its certificate; agents dial ``gateway_port``, other servers that share
    the database too, at ``advertise`` where they cannot at ``host``; where agents are to dial something in between, such as a
    load balancer, that is ``gateway_address`` (host and port). ``database_url`` is a
    PostgreSQL database as libpq writes it, which other servers may share; empty for an embedded one. Its password may stand
    in the file ``database_password``; what neither says, the driver takes from where libpq does (PGPASSWORD, PGPASSFILE).
    ``keyring_file`` is where the keys are that encrypt Secrets, by default in the data folder; servers that share a database
    share it too. ``agent_token_port`` is where agents are let in by signed tokens instead of certificates, None: nowhere, and
    ``agent_token_address`` what those dial if something stands before it. An agent's certificate may still be renewed
    ``agent_grace_days`` after its end. ``agent_image`` is the image that clusters run as their agent, where their manifest
    is not told another.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8443
    names: tuple[str, ...] = ()
    gateway_port: int = 8444
    database_url: str = field(default="", repr=False)
    database_password: Path | None = None
    keyring_file: Path | None = None
    advertise: str = ""
    gateway_address: str = ""
    agent_token_port: int | None = None
    agent_token_address: str = ""
    agent_grace_days: int = RENEWAL_GRACE.days
    agent_image: str = field(default_factory=lambda: f"skerry:{version('skerry')}")

    @property
    def everywhere(self) -> bool:
        """Whether every address of the machine is listened on."""
        return self.host in {"0.0.0.0", "::", ""}  # noqa: S104 compared, not bound

    @property
    def known_as(self) -> str:
        """The name or address at which other machines reach this server, as far as it was told."""
        if self.advertise or not self.everywhere:
            return self.advertise or self.host
        return self.names[0] if self.names else "127.0.0.1"

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name that this server was told it has, for its certificates."""
        return tuple(name for name in (*self.names, self.known_as, *self._in_between) if name)

    @property
    def _in_between(self) -> tuple[str, ...]:
        return tuple(address.rpartition(":")[0].strip("[]") for address in (self.gateway_address, self.agent_token_address))

    @property
    def shared(self) -> bool:
        """Whether other servers may use the same database."""
        return bool(self.database_url)

    @property
    def database(self) -> Path:
        """Where an embedded store is."""
        return self.data / "skerry.db"

    @property
    def keyring(self) -> Path:
        """Where the keys are that encrypt Secrets."""
        return self.keyring_file or self.data / "keyring.json"

    @property
    def pki(self) -> Path:
        """Where keys and certificates are."""
        return self.data / "pki"

    @property
    def kubeconfig(self) -> Path:
        """Where the administrator's kubeconfig is written."""
        return self.data / "admin.kubeconfig"

    @property
    def audit(self) -> Path:
        """Where the audit log is."""
        return self.data / "audit.jsonl"

    def owns(self, file: Path) -> bool:
        """Whether a file is the installation's own, so that nothing else may be written in its place."""
        file, data = file.resolve(), self.data.resolve()
        if file in {each.resolve() for each in (self.keyring, self.kubeconfig, self.audit)} or self.pki.resolve() in file.parents:
            return True
        return file.parent == data and file.name.startswith((self.database.name, "skerry.latest.db", "skerry.lock", self.audit.name))


def service_around() -> tuple[str, str]:
    """Host and port of the API of the cluster around us, as a kubelet tells every container; the host is empty where there is none."""
    return os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
