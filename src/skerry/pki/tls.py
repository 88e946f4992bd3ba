"""TLS contexts out of certificates in memory, for both ends of a connection.

Nothing is taken from the environment: ``SSL_CERT_FILE`` and its kin change what a process
trusts without a trace in its settings, so the system's own store is named by the path that
OpenSSL was built with. TLS 1.2 is the least, 1.3 what is spoken between our own parts.

A server asks every client for a certificate and demands it of none: who has one proves it in
the handshake, everybody else goes on with a token or as nobody. Sessions are not resumed by
ticket, because a resumed session skips the proof, and with it a root that was retired since.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from skerry.pki.authority import PkiError


def server_context(identity_pem: bytes, client_roots_pem: bytes, alpn: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
    """A context that shows ``identity_pem`` (key and chain) and verifies, but does not demand, client certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    load_identity(context, identity_pem)
    _load_roots(context, client_roots_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(list(alpn))
    return context


def client_context(roots_pem: bytes = b"", identity_pem: bytes = b"", *, insecure: bool = False) -> ssl.SSLContext:
    """A context that trusts ``roots_pem`` (empty: the system's roots) and shows ``identity_pem`` if asked.

    ``insecure`` trusts whoever answers. Raises PkiError for what cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif roots_pem:
        _load_roots(context, roots_pem)
    else:
        _load_system_roots(context)
    if identity_pem:
        load_identity(context, identity_pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


def load_identity(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context its key and certificate chain; new handshakes use them. Raises PkiError.

    OpenSSL's binding reads only files, so the text stands in one of mode 0600 for that moment.
    """
    with tempfile.NamedTemporaryFile(prefix="skerry-") as file:
        file.write(pem)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise PkiError(f"not a private key with its certificate chain: {error}") from error


def _no_password() -> bytes:
    """Stand between OpenSSL and the terminal, where it would ask."""
    raise ValueError("the private key is encrypted")


def _load_roots(context: ssl.SSLContext, pem: bytes) -> None:
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise PkiError(f"not a bundle of certificates in PEM: {error}") from error


def _load_system_roots(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    found = {"cafile": str(file) if file.is_file() else None, "capath": str(folder) if folder.is_dir() else None}
    if any(found.values()):
        context.load_verify_locations(**found)
