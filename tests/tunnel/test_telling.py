"""What is told on of a cluster's refusals: the answers are those of a kube-apiserver 1.37."""

from __future__ import annotations

import pytest

from skerry.tunnel.telling import UNTOLD, scrubbed


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'Secret "s" is invalid: data[.dockerconfigjson]: Invalid value: "hunter2": invalid character',
            "; it names data[.dockerconfigjson]",
        ),
        ('Secret "s" is invalid: data[tls.key]: Required value', "; it names data[tls.key]"),
        ('Secret "s" is invalid: [metadata.name: Invalid value: "X": no, data: Too long: hunter2]', "; it names metadata.name, data"),
        ('.data.k: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"x":"hunter2"}}', ""),
        ('admission webhook "x" denied the request: hunter2 is a weak password', ""),
    ],
)
def test_of_a_secret_nothing_is_told_but_the_fields(said: str, told: str) -> None:
    assert scrubbed("Secret", said) == UNTOLD + told
    assert scrubbed("Secret", UNTOLD + told) == UNTOLD + told, "what was left out already stays so"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("spec.replicas: Invalid value: -5: must be positive", "spec.replicas: Invalid value: (not shown): must be positive"),
        (
            'D is invalid: [spec.a: Invalid value: {"p":"hunter2: x"}: no, spec.b: Unsupported value: "hunter2": supported values: "A"]',
            'D is invalid: [spec.a: Invalid value: (not shown): no, spec.b: Unsupported value: (not shown): supported values: "A"]',
        ),
        ('metadata.name: Invalid value: "Bad Name": a name must …', 'metadata.name: Invalid value: "Bad Name": a name must …'),
        ('spec.p: Invalid value: "a\\x00hunter2: \\"": no', "spec.p: Invalid value: (not shown): no"),
        ("spec.p: Invalid value: v1.Thing{P:hunter2}: no", "spec.p: Invalid value: (not shown)"),
        ("spec.p: Invalid value: 1hunter2: no", "spec.p: Invalid value: (not shown)"),
        ('spec.p: Invalid value: "Invalid value: hunter2": no', "spec.p: Invalid value: (not shown): no"),
        (".spec.p: expected string, got &value.valueUnstructured{Value:hunter2}", ".spec.p: expected string, got something else"),
        ('namespaces "x" not found', 'namespaces "x" not found'),
        ("", ""),
    ],
)
def test_values_are_left_out_and_the_rest_is_told(said: str, told: str) -> None:
    assert scrubbed("Deployment", said) == told
    assert scrubbed("Deployment", told) == told
