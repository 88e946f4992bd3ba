"""The installation's keys and certificates on disk: made on first use, renewed when due.

Key and certificate stand in one file and are replaced by one rename, so that no crash leaves a
key beside somebody else's certificate. A file that holds a secret is born with mode 0600, never
narrowed afterwards; one that was found wider (a copied folder) is narrowed and used. Two
processes that start together agree on one root: the first link wins, the other reads it.

A leaf that is missing, damaged, due, or not what would be issued today is issued anew. A root is
made once. One that is damaged or has ended is refused with what to do, because a new root would
silently cut off everything that trusts the old one; rotation is a procedure of its own.

Renewal is looked at on start and by a periodic check of the process that serves. The time is
passed in.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from skerry.kit.log import get
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, PkiError, facts, host_name, make_root
from skerry.pki.policy import Profile, Subject, Wanted

STILL_GOOD = frozenset({"Due", "NamesMissing"})
"""Reasons to renew a certificate that still works: where a new one cannot be written (a full disk), it is used until it ends."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

log = get("pki.files")


def write_secret(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably, making its folder; mode 0600 from its first moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = _beside(path, data)
    try:
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def create_secret(path: Path, data: bytes) -> bool:
    """Write a file with mode 0600 unless it is there; tell whether it was this call that made it."""
    fresh = _beside(path, data)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        fresh.unlink()
    _sync_folder(path.parent)
    return True


def _beside(path: Path, data: bytes) -> Path:
    """Write ``data`` to a new file in the same folder."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    return fresh


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> bytes:
    """Read a secret, narrowing its mode to 0600 where it is wider; raises FileNotFoundError."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            os.fchmod(file.fileno(), 0o600)
        return file.read()


class Safe:
    """A folder of key pairs."""

    def __init__(self, folder: Path) -> None:
        """Use (and make, with mode 0700) the folder."""
        self.folder = folder
        self._read: dict[str, tuple[bytes, KeyPair, policy.Certificate]] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, name: str) -> Path:
        """Where a key with its certificate stands."""
        return self.folder / f"{name}.pem"

    def authority(self, name: str, now: datetime) -> Authority:
        """The root of that name, made if it is not there; raises PkiError, naming the file, if it cannot be used."""
        path = self.path(name)
        if not path.exists():
            create_secret(path, make_root(f"skerry {name} root {secrets.token_hex(4)}", now).pem)
        try:
            authority = Authority(KeyPair.split(read_secret(path)))
        except PkiError as error:
            raise PkiError(f"{path}: {error}; restore the file from a backup, or remove it to begin with a new root") from error
        finding = policy.root_finding(authority.certificate.not_valid_before_utc, authority.certificate.not_valid_after_utc, now)
        if finding is not None and finding.reason != "Due":
            raise PkiError(f"{path}: {finding.message}")
        if finding is not None:
            log.warning("a root ends soon", file=str(path), message=finding.message)
        return authority

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
        """A key with its certificate: what is kept under ``name``, or a new one where the rules say so.

        Raises OSError if a new one is needed and cannot be written.
        """
        present, known = self._present(name)
        wanted = Wanted(profile, Subject(common, groups), frozenset(host_name(host) for host in hosts), authority.fingerprint)
        finding = policy.renewal(known, wanted, now)
        if present is not None and finding is None:
            return present
        fresh = authority.issue(profile, common, now, groups=groups, hosts=hosts)
        try:
            write_secret(self.path(name), fresh.pem)
        except OSError as error:
            works = known is not None and known.not_before <= now < known.not_after
            if present is None or finding is None or finding.reason not in STILL_GOOD or not works:
                raise
            log.warning("a certificate could not be renewed; the old one is used", name=name, reason=finding.reason, error=str(error))
            return present
        if finding is not None:
            log.info("issued a certificate", name=name, reason=finding.reason, message=finding.message)
        return fresh

    def _present(self, name: str) -> tuple[KeyPair | None, policy.Certificate | None]:
        """What is kept, and its facts; None if there is nothing or it is damaged: unlike a root it can be made again.

        The file is read every time, for somebody else may have replaced it; it is parsed where it has changed: a gateway asks at
        every handshake.
        """
        try:
            text = read_secret(self.path(name))
            last = self._read.get(name)
            if last is None or last[0] != text:
                pair = KeyPair.split(text)
                last = self._read[name] = (text, pair, facts(pair.load()[0]))
        except (FileNotFoundError, PkiError):
            return None, None
        return last[1:]


def front_door_names(extra: Iterable[str] = (), hostname: str = "") -> tuple[str, ...]:
    """The names under which the front door is reached: this machine's own and ``extra``, each once, in lower case."""
    wanted = (*LOCAL_NAMES, hostname or socket.gethostname(), *extra)
    return tuple(dict.fromkeys(name.strip().lower() for name in wanted if name.strip()))
