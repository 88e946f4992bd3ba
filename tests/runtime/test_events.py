"""What happened to an object is told once, counted up when it happens again, and forgotten in time."""

from __future__ import annotations

from datetime import timedelta

from skerry.machinery.resource import Json
from skerry.runtime.events import KEPT_SECONDS, Recorder, changed, over
from skerry.runtime.expiry import forget
from skerry.testing.clock import VirtualClock
from tests.runtime.conftest import BOXES, EVENTS, NAMESPACES, SHELVES, Api


async def events(api: Api, recorder: Recorder, namespace: str) -> list[Json]:
    await recorder.write()
    found: list[Json] = (await api.client.list(EVENTS, namespace))["items"]
    return found


async def test_the_same_story_is_counted_up_and_another_is_another_event(api: Api) -> None:
    box, clock = await api.make(BOXES, "box", "a"), VirtualClock()
    recorder = Recorder(api.client, "packer", clock)
    recorder.tell(box, "Full", "nothing fits in any more", warning=True)
    await recorder.write()
    await clock.advance(5)
    recorder.tell(box, "Full", "nothing fits in any more", warning=True)
    recorder.tell(box, "Closed", "it is closed")
    full, closed = sorted(await events(api, recorder, "a"), key=lambda each: -each["count"])
    assert (full["type"], full["reason"], full["count"]) == ("Warning", "Full", 2)
    assert (full["firstTimestamp"], full["lastTimestamp"]) == ("2030-01-01T00:00:00Z", "2030-01-01T00:00:05Z")
    assert full["involvedObject"]["uid"] == box["metadata"]["uid"]
    assert (closed["type"], closed["count"], closed["source"]["component"]) == ("Normal", 1, "packer")


async def test_an_event_that_somebody_deleted_is_written_anew(api: Api) -> None:
    box, recorder = await api.make(BOXES, "box", "a"), Recorder(api.client, "packer", VirtualClock())
    recorder.tell(box, "Full", "full")
    [first] = await events(api, recorder, "a")
    await api.client.delete(EVENTS, first["metadata"]["name"], "a")
    recorder.tell(box, "Full", "full")
    assert [each["count"] for each in await events(api, recorder, "a")] == [1]


async def test_what_has_no_namespace_is_told_of_in_the_default_one_and_telling_never_fails(api: Api) -> None:
    shelf, recorder = await api.make(SHELVES, "shelf"), Recorder(api.client, "packer", VirtualClock())
    recorder.tell(shelf, "Full", "there is no namespace default yet")
    await recorder.write()
    await api.make(NAMESPACES, "default")
    recorder.tell(shelf, "Full", "x" * 2000)
    [event] = await events(api, recorder, "default")
    assert event["message"] == "x" * 1024


async def test_events_are_forgotten_an_hour_after_they_were_last_seen(api: Api) -> None:
    box, clock = await api.make(BOXES, "box", "a"), VirtualClock()
    recorder = Recorder(api.client, "packer", clock)
    recorder.tell(box, "Full", "full")
    recorder.tell(box, "Closed", "closed")
    await recorder.write()
    await clock.advance(1)
    recorder.tell(box, "Full", "full")
    await recorder.write()
    await forget(api.client, EVENTS, over, clock.now() + timedelta(seconds=KEPT_SECONDS - 1))
    assert [each["reason"] for each in await events(api, recorder, "a")] == ["Full"]


def test_a_condition_is_news_when_its_status_or_its_reason_changed() -> None:
    def told(reason: str, kind: str = "Ready", message: str = "") -> Json:
        return {"conditions": [{"type": kind, "status": "False", "reason": reason, "message": message}]}

    assert [each["reason"] for each in changed(None, told("Scaling"), ("Ready",))] == ["Scaling"]
    assert changed(told("Scaling"), told("Scaling", message="1 of 2"), ("Ready",)) == []
    assert [each["reason"] for each in changed(told("Scaling"), told("Degraded"), ("Ready",))] == ["Degraded"]
    assert changed(told("Scaling"), told("Other", "Accepted"), ("Ready",)) == []
