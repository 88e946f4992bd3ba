"""Envelope encryption of stored values: what a sealed value looks like, and what opens it.

* Each value is encrypted with a data key of its own, which is used once; the data key is
  encrypted ("wrapped") with a key-encryption key out of a keyring. Both with AES-256-GCM.
* The associated data of both is the place of the value: organization, resource, namespace, name
  and uid, and for the data key also the id of the wrapping key. A sealed value that was moved to
  another object, or to another life of an object of the same name, does not open.
* The store splices the revision in at commit, without the key; so it stands in the clear at the
  end, and goes into its gap when the value is opened. It is not authenticated: who can write the
  database can put an older version of the same object back, as with every encryption at rest.

``sealed.py`` puts this between the API and a store; where keys come from is the keyring's matter.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from skerry.store.contract import Key, StoreError, Value

MAGIC = b"\0skerry-sealed-1\0"
"""No JSON begins like this."""

NONCE, DATA_KEY, TAG = 12, 32, 16  # bytes
DAMAGED = "a sealed value is damaged; restore a backup"
_WRAPPED = DATA_KEY + TAG
_UID = re.compile(rb'"uid":"([^"\\]*)","resourceVersion":"$')
"""How the head of an encoded object ends (``machinery/document.py``)."""


class CannotOpen(StoreError):
    """A value cannot be opened, or sealed; the message says what is missing, never what the value is."""


class Keyring(Protocol):
    """Key-encryption keys (32 bytes each) by id."""

    def primary(self) -> tuple[str, bytes] | None:
        """The key that seals, with its id; None if there is none."""
        ...

    def find(self, key_id: str) -> bytes | None:
        """A key that may have sealed what is there."""
        ...


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A sealed value in its parts."""

    key_id: str
    uid: bytes
    wrap_nonce: bytes
    wrapped: bytes
    nonce: bytes
    text: bytes
    revision: bytes


def is_sealed(stored: bytes) -> bool:
    """Tell whether a stored value is sealed."""
    return stored.startswith(MAGIC)


def key_of(stored: bytes) -> str:
    """The id of the key that a stored value, or its first half KiB, is sealed with; empty if it is not sealed."""
    if not is_sealed(stored):
        return ""
    size = stored[len(MAGIC) : len(MAGIC) + 1]
    return stored[len(MAGIC) + 1 : len(MAGIC) + 1 + size[0]].decode("ascii", "replace") if size else "damaged"


def seal(value: Value, key: Key, keyring: Keyring) -> Value:
    """Seal a value with the primary key; raises CannotOpen if there is none."""
    primary = keyring.primary()
    if primary is None:
        raise CannotOpen("there is no key to encrypt with; put the keyring back and start again")
    key_id, wrapping = primary
    found = _UID.search(value.head)
    uid = found.group(1) if found else b""
    data_key, wrap_nonce, nonce = os.urandom(DATA_KEY), os.urandom(NONCE), os.urandom(NONCE)
    place = _place(key, uid)
    wrapped = AESGCM(wrapping).encrypt(wrap_nonce, data_key, place + key_id.encode())
    text = AESGCM(data_key).encrypt(nonce, struct.pack(">I", len(value.head)) + value.head + value.tail, place)
    return Value(b"".join((MAGIC, _short(key_id.encode()), _short(uid), wrap_nonce, wrapped, nonce, text, b":")), b"")


def unseal(stored: bytes, key: Key, keyring: Keyring) -> Value:
    """The value before its revision was spliced in; raises CannotOpen."""
    parts = _parts(stored)
    wrapping = keyring.find(parts.key_id)
    where = f"{key.resource} {f'{key.namespace}/' if key.namespace else ''}{key.name}"
    if wrapping is None:
        raise CannotOpen(f"{where} is encrypted with key {parts.key_id}, which is not in the keyring; put that key back and start again")
    place = _place(key, parts.uid)
    try:
        data_key = AESGCM(wrapping).decrypt(parts.wrap_nonce, parts.wrapped, place + parts.key_id.encode())
        plain = AESGCM(data_key).decrypt(parts.nonce, parts.text, place)
    except InvalidTag:
        why = f"{where} does not open with key {parts.key_id}: the keyring is not the right one, or the value was changed in the database"
        raise CannotOpen(why) from None
    size = struct.unpack(">I", plain[:4])[0] + 4
    return Value(plain[4:size], plain[size:])


def opened(stored: bytes, key: Key, keyring: Keyring) -> bytes:
    """The bytes of an object, its revision included, sealed or not; raises CannotOpen."""
    if not is_sealed(stored):
        return stored
    value = unseal(stored, key, keyring)
    return value.head + _parts(stored).revision + value.tail


def resealed(stored: bytes, key: Key, keyring: Keyring, revision: int) -> bytes:
    """A stored value, sealed or not, sealed anew with the primary key; raises CannotOpen."""
    value = unseal(stored, key, keyring) if is_sealed(stored) else _gap_at(stored, revision)
    fresh = seal(value, key, keyring)
    return fresh.head + str(revision).encode() + fresh.tail


def _gap_at(stored: bytes, revision: int) -> Value:
    """A value in the clear, parted where its revision was spliced in (or, of no such form, behind all of it)."""
    mark = b'"resourceVersion":"%d"' % revision
    place = stored.find(mark)
    if place < 0:
        raise CannotOpen(f"the value at revision {revision} is no object as Skerry writes it; restore a backup")
    return Value(stored[: place + len(mark) - len(str(revision)) - 1], stored[place + len(mark) - 1 :])


def _parts(stored: bytes) -> _Envelope:
    body, _, revision = stored[len(MAGIC) :].rpartition(b":")
    try:
        key_id, body = _cut_short(body)
        uid, body = _cut_short(body)
        cuts = (NONCE, NONCE + _WRAPPED, 2 * NONCE + _WRAPPED)
        wrap_nonce, wrapped, nonce, text = body[: cuts[0]], body[cuts[0] : cuts[1]], body[cuts[1] : cuts[2]], body[cuts[2] :]
        name = key_id.decode("ascii")
    except (ValueError, IndexError):
        raise CannotOpen(DAMAGED) from None
    if len(text) < TAG:
        raise CannotOpen(DAMAGED)
    return _Envelope(name, uid, wrap_nonce, wrapped, nonce, text, revision)


def _place(key: Key, uid: bytes) -> bytes:
    """The associated data; each part with its length before it, so that no two places look alike."""
    parts = (*(part.encode() for part in key), uid)
    return MAGIC + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def _short(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _cut_short(data: bytes) -> tuple[bytes, bytes]:
    end = data[0] + 1
    return data[1:end], data[end:]
