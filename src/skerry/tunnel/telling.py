"""What may be told of a cluster's refusal: its words, without the values that they quote. Pure.

A ManifestSet is confidential, and what became of its objects is not. An API server that refuses an object says
which field is wrong, and often what stands there.

* Of a Secret nothing is told but which fields are named.
* Of everything else the value is left out behind the words that Kubernetes' validation puts before one, unless it is of
  the object's metadata, which is no secret. Where it cannot be seen how far the value goes, all that follows is left out.

What a webhook says in words of its own is passed on: it does not know what is a secret either, and people need it.
"""

from __future__ import annotations

import json
import re

UNTOLD = "the cluster refuses it; its words are left out, because they may quote what the Secret holds"
NOT_SHOWN = "(not shown)"
MOST_FIELDS = 10

_VALUE = re.compile(r"(?:(?P<field>[^\s\"]+): )?(?:Invalid|Unsupported|Duplicate) value: ")
_GOT = re.compile(r"got &value\.valueUnstructured\{.*", re.DOTALL)
"""How server-side apply prints a value that is not of the type."""
_NAMED = re.compile(
    r"(?<![\w\"\\.])((?:metadata|data|stringData|immutable|type)(?:[.\[][-\w.\[\]/]*)?): (?:Invalid|Required|Unsupported|Forbidden|Too)\b"
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')

_decode = json.JSONDecoder().raw_decode


def scrubbed(kind: str, message: str) -> str:
    """What may be told of the words with which an object of a kind was refused. What is fit to be told stays as it is."""
    if kind != "Secret":
        return _without_values(message)
    if not message or message.startswith(UNTOLD):
        return message
    fields = list(dict.fromkeys(_NAMED.findall(message)))[:MOST_FIELDS]
    return f"{UNTOLD}; it names {', '.join(fields)}" if fields else UNTOLD


def _without_values(message: str) -> str:
    message = _GOT.sub("got something else", message)
    told, at = [], 0
    for found in _VALUE.finditer(message):
        if found.start() < at:
            continue  # it stands in a value that was left out
        told.append(message[at : found.end()])
        at = found.end()
        if not (found["field"] or "").lstrip("[").startswith("metadata.") and not message.startswith(NOT_SHOWN, at):
            told.append(NOT_SHOWN)
            at = _end(message, at)
    return "".join((*told, message[at:]))


def _end(message: str, begin: int) -> int:
    """Where a value ends."""
    try:
        end = _decode(message, begin)[1]
    except ValueError:
        quoted = _QUOTED.match(message, begin)
        end = quoted.end() if quoted else len(message)
    return end if message[end : end + 1] in {"", ":", ",", "]"} else len(message)
