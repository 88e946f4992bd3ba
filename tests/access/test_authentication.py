from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skerry.access import tokens
from skerry.access.authentication import Certificates, Chain, Tokens
from skerry.machinery.errors import Unauthorized
from skerry.machinery.identity import User
from skerry.pki import policy
from skerry.pki.authority import Authority, make_root
from tests.access.clock import NOON, Standing

ROOT = Authority(make_root("test", NOON))
ADMIN = User("admin", groups=(policy.ADMINISTRATORS,))


@dataclass(frozen=True)
class Far:
    certificate: bytes | None = None
    address: str = "192.0.2.1"


def holding(name: str, *groups: str) -> Far:
    pem = ROOT.issue(policy.CLIENT, name, NOON, groups=groups).certificate
    return Far(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def chain(tmp_path: Path, clock: Standing | None = None) -> tuple[Chain, str]:
    known = Tokens(tmp_path / "tokens.json")
    token = known.mint(ADMIN)
    return Chain((Certificates(clock or Standing()), known)), token


async def test_a_certificate_speaks_for_its_name_and_groups(tmp_path: Path) -> None:
    user = await chain(tmp_path)[0].authenticate(holding("skerry:component:gateway", policy.COMPONENTS), "")
    assert user is not None
    assert (user.name, user.groups) == ("skerry:component:gateway", (policy.COMPONENTS,))


async def test_a_certificate_that_ended_while_the_connection_lives_is_refused(tmp_path: Path) -> None:
    clock = Standing()
    authenticator, _ = chain(tmp_path, clock)
    far = holding("admin", policy.ADMINISTRATORS)
    assert await authenticator.authenticate(far, "") is not None
    clock.moment = NOON + policy.CLIENT.lifetime
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(far, "")
    clock.moment = NOON - policy.BACKDATE - timedelta(hours=1)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(far, "")


@pytest.mark.parametrize("far", [holding("system:kube-controller-manager"), holding("eve", "system:masters"), Far(b"not a certificate")])
async def test_nobody_can_claim_a_name_of_kubernetes_own(tmp_path: Path, far: Far) -> None:
    with pytest.raises(Unauthorized):
        await chain(tmp_path)[0].authenticate(far, "")


async def test_a_token_speaks_for_its_user(tmp_path: Path) -> None:
    authenticator, token = chain(tmp_path)
    assert await authenticator.authenticate(Far(), token) == ADMIN


@pytest.mark.parametrize("bad", ["x", "skerry_", "ü", "x" * 10_000])
async def test_an_unknown_token_is_refused_and_never_taken_for_nobody(tmp_path: Path, bad: str) -> None:
    authenticator, token = chain(tmp_path)
    for each in (bad, token[:-1], token + "x", token.upper()):
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(Far(), each)


async def test_who_shows_nothing_is_nobody(tmp_path: Path) -> None:
    assert await chain(tmp_path)[0].authenticate(Far(), "") is None


async def test_a_good_certificate_makes_a_bad_token_harmless_and_a_good_token_a_bad_certificate(tmp_path: Path) -> None:
    authenticator, token = chain(tmp_path)
    user = await authenticator.authenticate(holding("bob"), "unknown")
    assert user is not None
    assert user.name == "bob"
    assert await authenticator.authenticate(holding("system:eve"), token) == ADMIN


async def test_the_refusal_tells_the_caller_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized) as refused:
        await chain(tmp_path)[0].authenticate(holding("system:eve"), "")
    assert refused.value.message == "Unauthorized"


async def test_a_token_is_kept_only_as_a_hash_in_a_private_file_and_known_after_a_restart(tmp_path: Path) -> None:
    authenticator, token = chain(tmp_path)
    path = tmp_path / "tokens.json"
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())[0]["sha256"] == tokens.digest(token)
    assert await Tokens(path).authenticate(Far(), token) == ADMIN
    del authenticator


async def test_a_new_token_ends_the_one_before(tmp_path: Path) -> None:
    known = Tokens(tmp_path / "tokens.json")
    before, after = known.mint(ADMIN), known.mint(ADMIN)
    assert await known.authenticate(Far(), after) == ADMIN
    with pytest.raises(Unauthorized):
        await known.authenticate(Far(), before)


def test_a_token_has_256_random_bits() -> None:
    assert len({tokens.mint() for _ in range(100)}) == 100
    assert len(tokens.mint().removeprefix(tokens.PREFIX)) == 43


@pytest.mark.parametrize("text", ["", "{}", "[1]", "nonsense"])
def test_a_damaged_file_of_tokens_is_refused_and_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    with pytest.raises(tokens.TokenFileError, match=r"tokens\.json"):
        Tokens(path)
