from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEVERITY_UNSPECIFIED: _ClassVar[Severity]
    SEVERITY_WARNING: _ClassVar[Severity]
    SEVERITY_ERROR: _ClassVar[Severity]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_APPLIED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_WAITING: _ClassVar[Outcome]
    OUTCOME_UNCHANGED: _ClassVar[Outcome]
    OUTCOME_CONFLICT: _ClassVar[Outcome]
    OUTCOME_PRUNED: _ClassVar[Outcome]
SEVERITY_UNSPECIFIED: Severity
SEVERITY_WARNING: Severity
SEVERITY_ERROR: Severity
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_APPLIED: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_WAITING: Outcome
OUTCOME_UNCHANGED: Outcome
OUTCOME_CONFLICT: Outcome
OUTCOME_PRUNED: Outcome

class ControlRequest(_message.Message):
    __slots__ = ("hello", "heartbeat", "inventory", "result", "certificate_request", "trust_ack", "detached")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    TRUST_ACK_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    inventory: InventoryDelta
    result: DesiredResult
    certificate_request: CertificateRequest
    trust_ack: TrustAck
    detached: Detached
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., inventory: _Optional[_Union[InventoryDelta, _Mapping]] = ..., result: _Optional[_Union[DesiredResult, _Mapping]] = ..., certificate_request: _Optional[_Union[CertificateRequest, _Mapping]] = ..., trust_ack: _Optional[_Union[TrustAck, _Mapping]] = ..., detached: _Optional[_Union[Detached, _Mapping]] = ...) -> None: ...

class ControlResponse(_message.Message):
    __slots__ = ("welcome", "subscribe", "desired", "open_proxy", "certificate", "resync", "goodbye", "heartbeat_ack", "certificate_refused", "trust", "detach")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    OPEN_PROXY_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACK_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REFUSED_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    subscribe: Subscribe
    desired: DesiredState
    open_proxy: OpenProxy
    certificate: Certificate
    resync: Resync
    goodbye: Goodbye
    heartbeat_ack: HeartbeatAck
    certificate_refused: CertificateRefused
    trust: TrustBundle
    detach: Detach
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., desired: _Optional[_Union[DesiredState, _Mapping]] = ..., open_proxy: _Optional[_Union[OpenProxy, _Mapping]] = ..., certificate: _Optional[_Union[Certificate, _Mapping]] = ..., resync: _Optional[_Union[Resync, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., heartbeat_ack: _Optional[_Union[HeartbeatAck, _Mapping]] = ..., certificate_refused: _Optional[_Union[CertificateRefused, _Mapping]] = ..., trust: _Optional[_Union[TrustBundle, _Mapping]] = ..., detach: _Optional[_Union[Detach, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("management_cluster", "agent_version", "kubernetes_version", "cluster_uid", "features", "trust_digest", "instance", "runs_seconds", "superseded")
    MANAGEMENT_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    KUBERNETES_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_UID_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TRUST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    RUNS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    management_cluster: str
    agent_version: str
    kubernetes_version: str
    cluster_uid: str
    features: _containers.RepeatedScalarFieldContainer[str]
    trust_digest: str
    instance: str
    runs_seconds: float
    superseded: bool
    def __init__(self, management_cluster: _Optional[str] = ..., agent_version: _Optional[str] = ..., kubernetes_version: _Optional[str] = ..., cluster_uid: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., trust_digest: _Optional[str] = ..., instance: _Optional[str] = ..., runs_seconds: _Optional[float] = ..., superseded: _Optional[bool] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session", "heartbeat_seconds")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    session: str
    heartbeat_seconds: int
    def __init__(self, session: _Optional[str] = ..., heartbeat_seconds: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("api_reachable", "problem", "findings")
    API_REACHABLE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    api_reachable: bool
    problem: str
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, api_reachable: _Optional[bool] = ..., problem: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("severity", "reason", "message")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    severity: Severity
    reason: str
    message: str
    def __init__(self, severity: _Optional[_Union[Severity, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class HeartbeatAck(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("kinds",)
    KINDS_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedCompositeFieldContainer[ResourceKind]
    def __init__(self, kinds: _Optional[_Iterable[_Union[ResourceKind, _Mapping]]] = ...) -> None: ...

class ResourceKind(_message.Message):
    __slots__ = ("group", "plural")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PLURAL_FIELD_NUMBER: _ClassVar[int]
    group: str
    plural: str
    def __init__(self, group: _Optional[str] = ..., plural: _Optional[str] = ...) -> None: ...

class InventoryDelta(_message.Message):
    __slots__ = ("sequence", "items", "complete", "begins")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    BEGINS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    items: _containers.RepeatedCompositeFieldContainer[InventoryItem]
    complete: _containers.RepeatedCompositeFieldContainer[ResourceKind]
    begins: _containers.RepeatedCompositeFieldContainer[ResourceKind]
    def __init__(self, sequence: _Optional[int] = ..., items: _Optional[_Iterable[_Union[InventoryItem, _Mapping]]] = ..., complete: _Optional[_Iterable[_Union[ResourceKind, _Mapping]]] = ..., begins: _Optional[_Iterable[_Union[ResourceKind, _Mapping]]] = ...) -> None: ...

class InventoryItem(_message.Message):
    __slots__ = ("kind", "namespace", "name", "object")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    kind: ResourceKind
    namespace: str
    name: str
    object: bytes
    def __init__(self, kind: _Optional[_Union[ResourceKind, _Mapping]] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., object: _Optional[bytes] = ...) -> None: ...

class Resync(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DesiredState(_message.Message):
    __slots__ = ("set", "owner_epoch", "generation", "manifests", "remove", "leave", "adopt", "take_conflicts")
    SET_FIELD_NUMBER: _ClassVar[int]
    OWNER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MANIFESTS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    ADOPT_FIELD_NUMBER: _ClassVar[int]
    TAKE_CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    set: str
    owner_epoch: int
    generation: int
    manifests: _containers.RepeatedScalarFieldContainer[bytes]
    remove: bool
    leave: bool
    adopt: _containers.RepeatedScalarFieldContainer[str]
    take_conflicts: bool
    def __init__(self, set: _Optional[str] = ..., owner_epoch: _Optional[int] = ..., generation: _Optional[int] = ..., manifests: _Optional[_Iterable[bytes]] = ..., remove: _Optional[bool] = ..., leave: _Optional[bool] = ..., adopt: _Optional[_Iterable[str]] = ..., take_conflicts: _Optional[bool] = ...) -> None: ...

class DesiredResult(_message.Message):
    __slots__ = ("set", "owner_epoch", "generation", "objects", "gone", "refused", "enforced_seconds_ago", "looked_seconds_ago", "drifts")
    SET_FIELD_NUMBER: _ClassVar[int]
    OWNER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_SECONDS_AGO_FIELD_NUMBER: _ClassVar[int]
    LOOKED_SECONDS_AGO_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    set: str
    owner_epoch: int
    generation: int
    objects: _containers.RepeatedCompositeFieldContainer[ObjectResult]
    gone: bool
    refused: str
    enforced_seconds_ago: int
    looked_seconds_ago: int
    drifts: int
    def __init__(self, set: _Optional[str] = ..., owner_epoch: _Optional[int] = ..., generation: _Optional[int] = ..., objects: _Optional[_Iterable[_Union[ObjectResult, _Mapping]]] = ..., gone: _Optional[bool] = ..., refused: _Optional[str] = ..., enforced_seconds_ago: _Optional[int] = ..., looked_seconds_ago: _Optional[int] = ..., drifts: _Optional[int] = ...) -> None: ...

class ObjectResult(_message.Message):
    __slots__ = ("api_version", "kind", "namespace", "name", "outcome", "reason", "message", "owners", "drifts", "drifted_seconds_ago")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    DRIFTED_SECONDS_AGO_FIELD_NUMBER: _ClassVar[int]
    api_version: str
    kind: str
    namespace: str
    name: str
    outcome: Outcome
    reason: str
    message: str
    owners: _containers.RepeatedCompositeFieldContainer[FieldOwner]
    drifts: int
    drifted_seconds_ago: int
    def __init__(self, api_version: _Optional[str] = ..., kind: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., owners: _Optional[_Iterable[_Union[FieldOwner, _Mapping]]] = ..., drifts: _Optional[int] = ..., drifted_seconds_ago: _Optional[int] = ...) -> None: ...

class FieldOwner(_message.Message):
    __slots__ = ("manager", "subresource", "fields", "more")
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    SUBRESOURCE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    manager: str
    subresource: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    more: int
    def __init__(self, manager: _Optional[str] = ..., subresource: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ..., more: _Optional[int] = ...) -> None: ...

class CertificateRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("certificate", "bundle")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    bundle: bytes
    def __init__(self, certificate: _Optional[bytes] = ..., bundle: _Optional[bytes] = ...) -> None: ...

class CertificateRefused(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class TrustBundle(_message.Message):
    __slots__ = ("bundle",)
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    bundle: bytes
    def __init__(self, bundle: _Optional[bytes] = ...) -> None: ...

class TrustAck(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    def __init__(self, digest: _Optional[str] = ...) -> None: ...

class Detach(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Detached(_message.Message):
    __slots__ = ("problem",)
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    problem: str
    def __init__(self, problem: _Optional[str] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason", "superseded")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    reason: str
    superseded: bool
    def __init__(self, reason: _Optional[str] = ..., superseded: _Optional[bool] = ...) -> None: ...

class OpenProxy(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: str
    def __init__(self, call: _Optional[str] = ...) -> None: ...

class ProxyRequest(_message.Message):
    __slots__ = ("opened", "head", "body", "failed", "end")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    opened: ProxyOpened
    head: ResponseHead
    body: bytes
    failed: ProxyFailed
    end: ResponseEnd
    def __init__(self, opened: _Optional[_Union[ProxyOpened, _Mapping]] = ..., head: _Optional[_Union[ResponseHead, _Mapping]] = ..., body: _Optional[bytes] = ..., failed: _Optional[_Union[ProxyFailed, _Mapping]] = ..., end: _Optional[_Union[ResponseEnd, _Mapping]] = ...) -> None: ...

class ProxyResponse(_message.Message):
    __slots__ = ("head", "body", "end")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    head: RequestHead
    body: bytes
    end: BodyEnd
    def __init__(self, head: _Optional[_Union[RequestHead, _Mapping]] = ..., body: _Optional[bytes] = ..., end: _Optional[_Union[BodyEnd, _Mapping]] = ...) -> None: ...

class RelayRequest(_message.Message):
    __slots__ = ("management_cluster", "message")
    MANAGEMENT_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    management_cluster: str
    message: ProxyResponse
    def __init__(self, management_cluster: _Optional[str] = ..., message: _Optional[_Union[ProxyResponse, _Mapping]] = ...) -> None: ...

class RelayResponse(_message.Message):
    __slots__ = ("message", "refused", "code")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    message: ProxyRequest
    refused: str
    code: int
    def __init__(self, message: _Optional[_Union[ProxyRequest, _Mapping]] = ..., refused: _Optional[str] = ..., code: _Optional[int] = ...) -> None: ...

class ProxyOpened(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: str
    def __init__(self, call: _Optional[str] = ...) -> None: ...

class RequestHead(_message.Message):
    __slots__ = ("method", "target", "headers", "upgrade")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    UPGRADE_FIELD_NUMBER: _ClassVar[int]
    method: str
    target: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    upgrade: str
    def __init__(self, method: _Optional[str] = ..., target: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., upgrade: _Optional[str] = ...) -> None: ...

class ResponseHead(_message.Message):
    __slots__ = ("code", "headers")
    CODE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    code: int
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    def __init__(self, code: _Optional[int] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class BodyEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResponseEnd(_message.Message):
    __slots__ = ("trailers",)
    TRAILERS_FIELD_NUMBER: _ClassVar[int]
    trailers: _containers.RepeatedCompositeFieldContainer[Header]
    def __init__(self, trailers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ...) -> None: ...

class ProxyFailed(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...
