"""Lines that prove each other: a number, the hash of the line before, and a hash over all of the line. Pure.

A line that was changed no longer fits its own hash; one that was removed, added or moved no
longer fits its neighbours. What is cut off at the end leaves no trace in what remains: the
newest number and hash are therefore also kept elsewhere (the *head*), and may be noted
anywhere else. This proves that a log is whole, not who wrote it: whoever may write the log and
everything that its hashes are compared with can write another history.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

FIRST = ""
"""What stands in the place of a hash before the first line."""
_HASH = b',"hash":"'
_HASH_LENGTH = 43
_END = b'"}'


class Head(NamedTuple):
    """The newest line: its number, from 1, and its hash."""

    number: int = 0
    hash: str = FIRST


class _Link(msgspec.Struct):
    n: int
    prev: str


_decode = msgspec.json.Decoder(_Link).decode


def linked(line: bytes, head: Head) -> tuple[bytes, Head]:
    """A line (an encoded JSON object of at least one member) with its place in the chain, and the head that it makes."""
    number = head.number + 1
    body = b'%s,"n":%d,"prev":"%s"' % (line[:-1], number, head.hash.encode())
    digest = _digest(body)
    return b"".join((body, _HASH, digest.encode(), _END)), Head(number, digest)


def _digest(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def read(line: bytes) -> tuple[Head, str] | None:
    """The place of a line and the hash before it; None if it is no line of a chain, or was changed."""
    cut = len(line) - _HASH_LENGTH - len(_END)
    body, digest = line[: cut - len(_HASH)], line[cut : -len(_END)]
    if line[cut - len(_HASH) : cut] != _HASH or not line.endswith(_END) or _digest(body).encode() != digest:
        return None
    try:
        link = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Head(link.n, digest.decode()), link.prev


class Finding(NamedTuple):
    """What was found at a line (from 1; 0: about the whole). ``bad``: somebody or something did what nobody should."""

    line: int
    text: str
    bad: bool = True


class Verdict(NamedTuple):
    """What a log was found to be: how many lines fit, the last one's place, and whatever does not fit."""

    fitting: int
    head: Head
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, removed, added or moved."""
        return not any(each.bad for each in self.findings)


def verify(lines: Iterable[bytes], head: Head | None = None, noted: str = "", after: str = FIRST) -> Verdict:
    """Hold a log against itself, against the head that is kept beside it, and against a hash that was noted earlier.

    ``after`` is the hash of the line before the first, where the log does not begin with the very first one.
    """
    fitting, last = 0, Head()
    findings: list[Finding] = []
    met = not noted
    torn: Finding | None = None
    torn_off = False
    for number, line in enumerate(lines, 1):
        place = read(line)
        if place is None:
            if torn is not None:
                findings.append(torn)
            torn, torn_off = Finding(number, "is not as it was written"), not _is_json(line)
            continue
        found, before = place
        if torn is not None:
            # a machine that dies leaves the beginning of a line behind, and the chain goes on from the line before it
            excused = torn_off and (found.number, before) == (last.number + 1, last.hash)
            findings.append(torn._replace(text="was torn when the server ended", bad=False) if excused else torn)
            torn = None
        findings += _misfit(number, last, found, before, after)
        last, fitting = found, fitting + 1
        met = met or found.hash == noted
        if head is not None and found.number == head.number and found.hash != head.hash:
            findings.append(Finding(number, "is not the record that was written under its number: the log was swapped"))
    if torn is not None:
        findings.append(torn)
    if head is not None and head.number > last.number:
        findings.append(Finding(0, f"ends at record {last.number}, but {head.number} were written: the end is missing"))
    if not met:
        findings.append(Finding(0, "does not hold the record whose hash was noted"))
    return Verdict(fitting, last, tuple(findings))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _misfit(number: int, last: Head, found: Head, before: str, after: str) -> Iterator[Finding]:
    if (found.number, before) == (last.number + 1, last.hash):
        return
    if last == Head() and after and before == after:
        return
    if last == Head():
        yield Finding(number, f"is record {found.number}, and what was before it is not here")
        return
    if found.number > last.number + 1:
        missing = (
            f"records {last.number + 1} to {found.number - 1} are" if found.number > last.number + 2 else f"record {last.number + 1} is"
        )
        yield Finding(number, f"is record {found.number}: {missing} missing before it")
    else:
        yield Finding(number, f"is record {found.number}, which does not follow record {last.number}")
