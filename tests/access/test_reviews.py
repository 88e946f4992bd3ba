"""Questions that cannot be read are refused as such."""

from __future__ import annotations

import pytest

from tests.access.people import People, path

ACCESS = "selfsubjectaccessreviews"


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        (ACCESS, {"nonResourceAttributes": {"path": {"a": 1}, "verb": "get"}}, "nonResourceAttributes.path"),
        (ACCESS, {"nonResourceAttributes": {"path": "/", "verb": ["get"]}}, "nonResourceAttributes.verb"),
        (ACCESS, {"nonResourceAttributes": "/"}, "nonResourceAttributes"),
        (ACCESS, {"resourceAttributes": [1]}, "resourceAttributes"),
        (ACCESS, {"resourceAttributes": {"verb": "get", "resource": 7}}, "resourceAttributes.resource"),
        ("selfsubjectrulesreviews", {"namespace": {"a": "b"}}, "namespace"),
    ],
)
async def test_a_question_of_the_wrong_types_is_refused(server: People, kind: str, spec: object, field: str) -> None:
    answer = await server("ann", "POST", path(kind), {"spec": spec})
    assert (answer.code, f"field {answer.json['message'].split()[0]}Spec.spec.{field}" in answer.json["message"]) == (400, True), (
        answer.json
    )


@pytest.mark.parametrize(
    "spec",
    [{}, {"resourceAttributes": {}}, {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/"}}],
)
async def test_a_question_is_about_one_thing(server: People, spec: object) -> None:
    assert (await server("ann", "POST", path(ACCESS), {"spec": spec})).code in {400, 422}


async def test_what_is_left_out_of_a_question_is_empty(server: People) -> None:
    asked = {"resourceAttributes": {"verb": "get", "resource": "clusters", "namespace": None}}
    assert (await server("ann", "POST", path(ACCESS), {"spec": asked})).json["status"] == {"allowed": False}
