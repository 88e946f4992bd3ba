"""Bearer tokens: 256 random bits each, of which only a hash is kept.

A token is shown once, when it is minted; the file holds its SHA-256 and whom it stands for. A
plain hash is right here, unlike for passwords: nobody guesses 256 random bits, so a slow hash
would only slow every request. The prefix lets scanners find a token that leaked into a
repository.

The file is JSON, mode 0600, replaced as a whole. Tokens with scopes, owners and expiry come
with the identity providers; this is the administrator's, for the first hour and for robots.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from skerry.machinery.identity import User
from skerry.pki.files import read_secret, write_secret

PREFIX = "skerry_"


class TokenFileError(Exception):
    """The file of tokens cannot be read; the message names it."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One token: the SHA-256 of its text in hexadecimal digits, and the user that it stands for."""

    sha256: str
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


def mint() -> str:
    """Make a new token."""
    return PREFIX + secrets.token_urlsafe(32)


def entry(token: str, user: User) -> Entry:
    """What is kept of a token."""
    return Entry(digest(token), user.name, user.groups, user.uid)


def digest(token: str) -> str:
    """The SHA-256 of a token, in hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def find(entries: Sequence[Entry], token: str) -> User | None:
    """The user of a token; takes as long for a nearly right one as for any other."""
    presented = digest(token)
    found: Entry | None = None
    for each in entries:
        if hmac.compare_digest(each.sha256, presented):
            found = each
    return User(found.name, found.uid, found.groups) if found else None


def read(path: Path) -> tuple[Entry, ...]:
    """Read a file of tokens; none if it is not there. Raises TokenFileError."""
    try:
        return msgspec.json.decode(read_secret(path), type=tuple[Entry, ...])
    except FileNotFoundError:
        return ()
    except (msgspec.DecodeError, OSError) as error:
        raise TokenFileError(f"{path} is not a readable file of tokens: {error}; remove it to have a new token made") from error


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Replace a file of tokens."""
    write_secret(path, msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n")
