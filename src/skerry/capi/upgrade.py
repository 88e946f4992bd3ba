"""Which Kubernetes version may follow which: the rules, before anything is sent.

* Versions are semver with a leading ``v``; build metadata counts only where both sides have it
  (``v1.26.5`` asks for any build of 1.26.5). Tanzu writes ``+`` as ``---`` in names; both are read.
* Never back. Build metadata alone never makes a version older: it has no order.
* One minor at a time, unless the class lists its versions and the target is among them: then
  Cluster API walks the steps between by itself.
* Not while another upgrade runs. The control plane goes before the workers; that order is
  Cluster API's own work, here it is only known that an upgrade ends with the workers.

Webhooks rewrite versions at the far end, so nobody may compare the strings: use :func:`satisfies`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

_FORM = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-(?!--)([0-9A-Za-z.-]+?))?(?:(?:\+|---)([0-9A-Za-z.+-]+))?")


class Verdict(NamedTuple):
    """Why something is refused: ``reason`` for programs, ``message`` for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class KubernetesVersion:
    """A version taken apart; ``prerelease`` and ``build`` are empty where there is none."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    def __str__(self) -> str:
        prerelease = f"-{self.prerelease}" if self.prerelease else ""
        build = f"+{self.build}" if self.build else ""
        return f"v{self.major}.{self.minor}.{self.patch}{prerelease}{build}"

    @property
    def release(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch


def parse(text: str) -> KubernetesVersion:
    """Read a version with ``+`` or ``---`` before its build; raises ValueError."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no Kubernetes version such as v1.34.2")
    major, minor, patch, prerelease, build = match.groups()
    return KubernetesVersion(int(major), int(minor), int(patch), prerelease or "", build or "")


def older(left: KubernetesVersion, right: KubernetesVersion) -> bool:
    """Whether ``left`` comes before ``right``, in the order of semver (builds have none)."""
    if left.release != right.release:
        return left.release < right.release
    if left.prerelease == right.prerelease or not left.prerelease:
        return False
    return not right.prerelease or _before(left.prerelease.split("."), right.prerelease.split("."))


def _before(left: list[str], right: list[str]) -> bool:
    """Semver's order of pre-releases: numbers by value and below words, the shorter first."""
    for one, other in zip_longest(left, right):
        if one == other:
            continue
        if one is None or other is None:
            return one is None
        if one.isdigit() and other.isdigit():
            return int(one) < int(other)
        return one.isdigit() if one.isdigit() != other.isdigit() else one < other
    return False


def satisfies(actual: str, asked: str) -> bool:
    """Whether a version seen at the far end is what was asked for, however a webhook has spelt it."""
    try:
        seen, wanted = parse(actual), parse(asked)
    except ValueError:
        return actual == asked
    same = seen.release == wanted.release and seen.prerelease == wanted.prerelease
    return same and (not wanted.build or not seen.build or seen.build == wanted.build)


def oldest(versions: Sequence[str]) -> str:
    """The oldest of some versions as it was spelt; empty for none. What is no version is passed over."""
    best, text = None, ""
    for each in versions:
        try:
            version = parse(each)
        except ValueError:
            continue
        if best is None or older(version, best):
            best, text = version, each
    return text


def refusal(current: str, target: str, *, upgrading: bool, listed: Sequence[str] = ()) -> Verdict | None:
    """Say why ``target`` may not follow ``current`` (the version that the far end was last asked for); None if it may."""
    try:
        wanted = parse(target)
    except ValueError as error:
        return Verdict("VersionInvalid", str(error))
    if not current or satisfies(current, target):
        return None
    try:
        present = parse(current)
    except ValueError:
        return Verdict("VersionUnknown", f"the cluster reports version {current!r}, which cannot be compared with {target}")
    if older(wanted, present):
        return Verdict("DowngradeRefused", f"the cluster runs {current}; Kubernetes cannot go back to {target}")
    if upgrading:
        return Verdict("UpgradeRunning", f"the upgrade to {current} is not finished; {target} has to wait for it")
    if wanted.major != present.major:
        return Verdict("VersionSkipped", f"{target} is another major version than {current}")
    if wanted.minor > present.minor + 1 and not any(satisfies(each, target) for each in listed):
        step = f"v{present.major}.{present.minor + 1}"
        return Verdict("VersionSkipped", f"from {current} an upgrade goes one minor version at a time: {step} comes before {target}")
    return None
