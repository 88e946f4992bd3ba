"""What a call is answered with where there is no agent: at once, with why, and with when to come back only if that is soon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from skerry.client.connection import Connection
from skerry.client.contract import PatchKind
from skerry.gateway import proxy
from skerry.gateway.absence import MOMENT_SECONDS
from skerry.kit.clock import rfc3339
from tests.gateway.fleet import MANAGEMENT, Fleet, eventually
from tests.gateway.stranger import stranger
from tests.gateway.test_clusters import SHOP, attached

Answer = tuple[int, str | None, str]


async def called(fleet: Fleet, name: str) -> Answer:
    """The code, when to ask again, and the sentence."""
    async with aiohttp.ClientSession() as session, session.get(f"{fleet.front}/k8s/{name}/version") as answer:
        return answer.status, answer.headers.get("Retry-After"), (await answer.json())["message"]


async def away(fleet: Fleet, seconds: float) -> str:
    """Have the agent of sv-1 been away for so long; returns since when."""
    since = rfc3339(fleet.clock.now() - timedelta(seconds=seconds))

    async def said() -> bool:
        found: dict[str, Any] = await fleet.client.get(MANAGEMENT, "sv-1")
        [connected] = [each for each in found["status"]["conditions"] if each["type"] == "Connected"]
        return bool(connected["status"] == "False")

    await eventually(said)
    found = await fleet.client.get(MANAGEMENT, "sv-1")
    moved = [{**each, "lastTransitionTime": since} for each in found["status"]["conditions"]]
    body = {"status": {"conditions": moved}}
    await fleet.client.patch(MANAGEMENT, "sv-1", "", PatchKind.MERGE, body, subresource="status")
    return since


async def test_an_agent_that_was_lost_a_moment_ago_is_worth_asking_for_again(fleet: Fleet) -> None:
    async with fleet.agent(Connection("http://127.0.0.1:1")):
        pass

    async def told() -> bool:
        code, again, why = await called(fleet, "sv-1")
        return (code, again) == (503, "5") and "the agent of management cluster sv-1 is not connected" in why

    await eventually(told, 10)


async def test_who_calls_for_an_agent_that_is_away_for_longer_is_not_kept_waiting_and_hears_since_when(fleet: Fleet) -> None:
    async with fleet.agent(Connection("http://127.0.0.1:1")):
        pass
    since = await away(fleet, MOMENT_SECONDS + 1)

    async def told() -> bool:
        return await called(fleet, "sv-1") == (503, None, f"the agent of management cluster sv-1 is not connected since {since}")

    await eventually(told)


async def test_an_agent_that_has_never_come_is_said_to_be_waited_for(fleet: Fleet) -> None:
    since = await away(fleet, MOMENT_SECONDS + 1)
    words = f"the agent of management cluster sv-1 is not connected since {since}: its agent has not connected yet"

    async def told() -> bool:
        return await called(fleet, "sv-1") == (503, None, words)

    await eventually(told)


async def test_an_agent_that_holds_a_session_and_does_nothing_is_said_to_and_not_asked_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "OPEN_SECONDS", 0.2)
    async with stranger(fleet):
        code, again, why = await called(fleet, "sv-1")
    assert (code, again) == (503, None)
    assert "opened no stream" in why


@pytest.mark.parametrize("name", ["nobody", "attached.attached.nobody", "sv-1.team-a.nobody"])
async def test_what_is_not_there_is_not_found(fleet: Fleet, name: str) -> None:
    code, again, why = await called(fleet, name)
    assert (code, again) == (404, None)
    assert "there is no" in why
    assert "nobody" in why


async def test_who_calls_an_attached_cluster_by_one_word_is_told_its_full_name(fleet: Fleet) -> None:
    await attached(fleet, "shop")

    async def told() -> bool:
        return await called(fleet, "shop") == (
            404,
            None,
            f"there is no management cluster shop here; the attached cluster shop is {SHOP}",
        )

    await eventually(told)


async def test_what_is_built_in_has_no_api(fleet: Fleet) -> None:
    code, _, why = await called(fleet, "attached")
    assert code == 404
    assert "built in" in why
