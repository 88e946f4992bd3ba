"""The installation's keys and certificates on disk: made on first use, renewed when due.

Everything that is secret has mode 0600 and appears whole or not at all. Two roots: *internal*
signs components and agents, *external* signs the front door. Renewal is looked at on start and
by a periodic check of the process that serves.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from datetime import datetime
from pathlib import Path

from skerry.pki.authority import Authority, KeyPair, lifetime, make_root
from skerry.pki.policy import Profile, renewal_due


def write_secret(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class Safe:
    """A folder of key pairs."""

    def __init__(self, folder: Path) -> None:
        """Use (and make) the folder."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def paths(self, name: str) -> tuple[Path, Path]:
        """Where a certificate and its key stand."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def _load(self, name: str) -> KeyPair | None:
        certificate, key = self.paths(name)
        return KeyPair(certificate.read_bytes(), key.read_bytes()) if certificate.exists() and key.exists() else None

    def _store(self, name: str, pair: KeyPair) -> None:
        certificate, key = self.paths(name)
        write_secret(key, pair.key)
        write_secret(certificate, pair.certificate)

    def authority(self, name: str, now: datetime) -> Authority:
        """The root of that name, made if it is not there."""
        pair = self._load(name)
        if pair is None:
            pair = make_root(f"skerry {name} root", now)
            self._store(name, pair)
        return Authority(pair)

    def pair(
        self,
        authority: Authority,
        profile: Profile,
        name: str,
        common: str,
        now: datetime,
        *,
        groups: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
    ) -> KeyPair:
        """A certificate, made if it is not there or due for renewal."""
        found = self._load(name)
        if found is None or renewal_due(*lifetime(found.certificate), now):
            found = authority.issue(profile, common, now, groups=groups, hosts=hosts)
            self._store(name, found)
        return found

    def token(self, name: str) -> str:
        """A random bearer token of 256 bits, made if it is not there."""
        path = self.folder / f"{name}.token"
        if not path.exists():
            write_secret(path, secrets.token_urlsafe(32).encode())
        return path.read_text().strip()


def local_names() -> tuple[str, ...]:
    """The names under which this machine's front door is reached from itself."""
    name = socket.gethostname()
    return ("localhost", "127.0.0.1", "::1", *((name,) if name not in {"", "localhost"} else ()))
