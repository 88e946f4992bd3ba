"""Tokens that have expired go, a while later."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from skerry.client.http import HttpClient
from skerry.compose.embedded import API_TOKENS, embedded
from skerry.compose.settings import ServerSettings
from skerry.kinds.apitoken import KEPT, over
from skerry.runtime.expiry import forget
from tests.access.people import obj

DAY = timedelta(days=1)


async def test_an_expired_token_is_deleted_once_it_was_kept_for_long_enough(tmp_path: Path) -> None:
    async with embedded(ServerSettings(tmp_path, port=0, gateway_port=0)) as running, HttpClient(running.admin) as admin:
        for name in ("mine", "other"):
            await admin.create(API_TOKENS, obj("apitokens", name, {}))
        token = await admin.get(API_TOKENS, "mine")
        ends = datetime.fromisoformat(token["spec"]["expirationTime"])
        lates = (-KEPT - DAY, -timedelta(seconds=1), timedelta(0), DAY)
        assert [over(token, ends + KEPT + late) for late in lates] == [False, False, True, True]
        await forget(running.client, API_TOKENS, over, ends + KEPT - DAY)
        assert len((await admin.list(API_TOKENS))["items"]) == 2
        await forget(running.client, API_TOKENS, over, ends + KEPT + DAY)
        assert (await admin.list(API_TOKENS))["items"] == []
