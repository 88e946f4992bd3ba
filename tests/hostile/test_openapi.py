"""Requests made from our own OpenAPI documents: every operation, with what it promises to take and with what it does not."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import Phase, given, seed, settings
from schemathesis.generation import GenerationMode

from skerry.kinds import catalogue
from skerry.machinery.openapi import document_v3
from skerry.restapi.registry import Registry
from skerry.restapi.reviews import REVIEWS
from tests.hostile.caller import Hostile
from tests.hostile.test_fuzz import MANY, often, sound

JSON = (dict, list, str, int, float)
REGISTRY = Registry((*catalogue.ALL, *REVIEWS))
VERSIONS = [(group, version) for group, versions in REGISTRY.groups().items() for version in versions]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
SAMPLE = frozenset(("configmaps", "leases", "clusters", "rolebindings", "selfsubjectaccessreviews"))
"""The kinds whose operations are tried each time: a strategy for one operation takes as long to make as many requests to send.
With ``SKERRY_FUZZ`` it is all of them.
"""


def send(hostile: Hostile, case: Any) -> None:
    """Send a request as it was made up, as far as HTTP can carry it."""
    query = urlencode(dict(case.query or {}), doseq=True, errors="replace")
    body = case.body if isinstance(case.body, bytes) else b""
    if isinstance(case.body, JSON):
        body = json.dumps(case.body).encode()  # which is YAML as well
    path = case.formatted_path + (f"?{query}" if query else "")
    answer = hostile.ask(case.method, path, body, media=case.media_type or "application/json")
    if case.method != "HEAD" and answer.header("content-length"):  # otherwise it is a watch
        sound(answer)


@pytest.mark.parametrize(("group", "version"), VERSIONS, ids=lambda text: text or "core")
def test_every_operation_of_the_documents_answers_soundly(hostile: Hostile, group: str, version: str) -> None:
    document = schemathesis.openapi.from_dict(document_v3(REGISTRY.of(group, version), "Kubernetes", "v1.37.0"))
    operations: list[Any] = [found.ok() for found in cast("Any", document).get_all_operations()]
    assert operations
    chosen = [each for each in operations if MANY or SAMPLE.intersection(each.path.split("/"))]
    for number, operation in enumerate(chosen):

        @seed(0)
        @settings(often(3), phases=[Phase.generate])
        @given(case=operation.as_strategy(generation_mode=MODES[number % 2]))
        def check(case: Any) -> None:
            send(hostile, case)

        check()
