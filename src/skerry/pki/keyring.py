"""The keyring: keys that encrypt what the database holds of confidential kinds, in one file of mode 0600.

One key is primary: it encrypts what is written from now on. The others only open what they
encrypted earlier, and go when nothing needs them any more. The file is replaced as a whole; a
replica that shares it sees at the next use that it is another one, and reads it anew.

Whoever has the file and the database can read everything; so they belong on different disks
where that matters, and the file never into a backup of the database.
"""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from skerry.kit.log import get
from skerry.pki.authority import PkiError
from skerry.pki.files import create_secret, read_secret, write_secret

KEY_BYTES = 32

log = get("pki.keyring")


class KeyringError(PkiError):
    """The keyring cannot be used; the message names the file and says what to do."""


class StoredKey(msgspec.Struct, frozen=True):
    """A key as the file holds it; ``created`` is RFC 3339, ``key`` base64."""

    id: str
    created: str
    key: str


class Stored(msgspec.Struct, frozen=True):
    """The file."""

    primary: str
    keys: tuple[StoredKey, ...]


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What may be told of a key."""

    id: str
    created: str
    primary: bool


class KeyringFile:
    """The keys of a file, as they are now."""

    def __init__(self, path: Path, *, read: bool = True) -> None:
        """Read the file; one that is not there holds no key. Raises KeyringError."""
        self.path = path
        self._seen = _state(path)
        self._stored = Stored("", ())
        self._keys: dict[str, bytes] = {}
        if read:
            self._read()

    @classmethod
    def empty(cls, path: Path) -> KeyringFile:
        """A keyring without keys, in the place of one that cannot be read."""
        return cls(path, read=False)

    @classmethod
    def create(cls, path: Path, created: str) -> KeyringFile:
        """Make a keyring of one key, unless the file is there; ``created`` is the time now, RFC 3339."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = _new_key(created)
        create_secret(path, msgspec.json.encode(Stored(key.id, (key,))))
        return cls(path)

    def primary(self) -> tuple[str, bytes] | None:
        """The key that encrypts; None if there is none."""
        self._read_if_changed()
        key = self._keys.get(self._stored.primary)
        return None if key is None else (self._stored.primary, key)

    def find(self, key_id: str) -> bytes | None:
        """A key by its id."""
        if key_id not in self._keys:
            self._read_if_changed()
        return self._keys.get(key_id)

    def facts(self) -> list[KeyFacts]:
        """What there is, oldest first."""
        self._read_if_changed()
        return [KeyFacts(key.id, key.created, key.id == self._stored.primary) for key in self._stored.keys]

    def rotate(self, created: str) -> str:
        """Add a new key and make it primary; returns its id. Durable when it returns; raises OSError."""
        key = _new_key(created)
        with self._alone():
            self._write(Stored(key.id, (*self._stored.keys, key)))
        return key.id

    def retire(self, key_id: str) -> None:
        """Forget a key that nothing needs; raises ValueError for the primary one, or OSError."""
        with self._alone():
            if key_id == self._stored.primary:
                raise ValueError("the primary key is in use")
            self._write(Stored(self._stored.primary, tuple(key for key in self._stored.keys if key.id != key_id)))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others who change the same file waiting, and see what they changed before."""
        descriptor = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._read_if_changed()
            yield
        finally:
            os.close(descriptor)

    def _write(self, stored: Stored) -> None:
        write_secret(self.path, msgspec.json.encode(stored))
        self._read()

    def _read_if_changed(self) -> None:
        if _state(self.path) == self._seen:
            return
        try:
            self._read()
        except KeyringError as error:
            log.warning("the keyring was changed and cannot be read; the keys that are known stay in use", reason=str(error))

    def _read(self) -> None:
        self._seen = _state(self.path)
        if self._seen is None:
            return  # a file that goes while the server runs takes nothing away from it
        try:
            stored = msgspec.json.decode(read_secret(self.path), type=Stored)
            keys = {key.id: base64.b64decode(key.key, validate=True) for key in stored.keys}
        except (ValueError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no keyring as Skerry writes it"
            raise KeyringError(f"{self.path} cannot be used ({why}); put the right file back") from None
        if stored.primary not in keys or any(len(key) != KEY_BYTES for key in keys.values()):
            raise KeyringError(
                f"{self.path} cannot be used (its primary key is missing, or a key has the wrong length); put the right file back"
            )
        self._stored, self._keys = stored, keys


def _new_key(created: str) -> StoredKey:
    return StoredKey(secrets.token_hex(4), created, base64.b64encode(os.urandom(KEY_BYTES)).decode())


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
