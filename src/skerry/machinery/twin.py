"""One kind under two groups: the same stored objects, shown with other names for some of their fields.

Kubernetes has one such kind, the Event: ``v1`` calls its text ``message``, ``events.k8s.io/v1``
calls it ``note``. Objects are stored in the older form; the newer one is made on the way out
and taken back on the way in. A field that is empty is not shown, since the newer form leaves
such fields out; the stored form has every field that its own clients expect (``zero``).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Twin:
    """How a kind's objects are stored as those of another: under which key and API version, and with which names (own: stored)."""

    key: str
    api_version: str
    names: Mapping[str, str]
    zero: Json

    def stored(self, obj: Json) -> Json:
        """An object as it is stored."""
        found = {self.names.get(name, name): value for name, value in obj.items()}
        return copy.deepcopy(self.zero) | found | {"apiVersion": self.api_version}

    def shown(self, obj: Json, api_version: str) -> Json:
        """A stored object as it is shown."""
        own = {stored: name for name, stored in self.names.items()}
        return {own.get(name, name): value for name, value in obj.items() if value != ""} | {"apiVersion": api_version}
