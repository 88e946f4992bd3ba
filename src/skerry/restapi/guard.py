"""Holds a caller's sight against every object that a request touches.

A caller without a sight (the administrator, our own processes) may touch what he was let in for.
For everybody else:

* what he may not see is not there: 404, as lists do not show it and watches take it away;
* what he sees and may not do this to is 403;
* an object is judged as it was and as it will be: moving a cluster into another group needs the
  right in both, and what is created is judged by where it will stand.
"""

from __future__ import annotations

from skerry.machinery.document import Gapped
from skerry.machinery.errors import Forbidden, Subject, not_found
from skerry.machinery.identity import Attributes
from skerry.machinery.resource import Json
from skerry.restapi.cache import Item
from skerry.restapi.context import Call


def admit(call: Call, item: Item) -> None:
    """Check that the caller may do what he asked for to an object; raises Forbidden or NotFound."""
    sight = call.sight
    if sight is None or sight.allows(item):
        return
    if call.verb == "get" or not sight.may("get").allows(item):
        raise not_found(call.resource.plural, call.resource.group, call.name)
    raise refusal(call, call.verb)


def admit_new(call: Call, encoded: Gapped, was: Item | None, *, creates: bool) -> None:
    """Check that the caller may leave an object as it is about to be stored, after what it was; raises Forbidden."""
    if call.sight is None:
        return
    verb = "create" if creates else call.verb
    sight = call.sight if verb == call.verb else call.sight.may(verb)
    item = Item((call.namespace if call.resource.namespaced else "", call.name), 0, encoded.at("0"))
    if not sight.allows(item):
        raise refusal(call, verb, "" if creates else "not where the object would stand then")
    if missing := sight.missing_to_place(None if creates else was, item):
        raise refusal(call, verb, f"{'making' if creates else 'moving'} it needs the right on {missing} too")


async def settle(call: Call, new: Json, old: Json | None) -> None:
    """Let the admission judge and complete an object that is valid, where it wants by the newest facts; raises Forbidden or Invalid."""
    if call.parts.admission is not None and call.resource.key in call.parts.admission.kinds:
        if call.resource.key in call.parts.admission.fresh:
            await call.parts.feeds.caught_up()
        call.revealed = call.parts.admission(call.user, call.resource, new, old, dry_run=call.options.dry_run)


def may_remove(call: Call) -> None:
    """Check that an object is not one that stays; raises Forbidden."""
    if call.parts.admission is not None and call.resource.key in call.parts.admission.kinds:
        call.parts.admission.remove(call.user, call.resource, call.name)


def refusal(call: Call, verb: str, why: str = "") -> Forbidden:
    """Say that the caller may not do something to this object."""
    resource = call.resource
    asked = Attributes(call.user, verb, resource.group, resource.version, resource.plural, call.subresource, call.namespace, call.name)
    return forbidden(asked, why)


def forbidden(attributes: Attributes, reason: str) -> Forbidden:
    """Say what may not be done, in the words of Kubernetes."""
    user = attributes.user.name
    if attributes.path:
        text = f'forbidden: User "{user}" cannot {attributes.verb} path "{attributes.path}"'
        return Forbidden(text + (f": {reason}" if reason else ""))
    qualified = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    what = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    name = f'"{attributes.name}" ' if attributes.name else ""
    text = (
        f'{qualified} {name}is forbidden: User "{user}" cannot {attributes.verb} resource "{what}" in API group "{attributes.group}"{where}'
    )
    return Forbidden(text + (f": {reason}" if reason else ""), subject=Subject(attributes.name, attributes.group, attributes.resource))
