"""TLS certificates of servers: whether they are accepted, and for how long."""

import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.doctor.findings import Finding, error, warning

ENDS_SOON_DAYS: Final = 21
_DAY_S: Final = 86_400


@dataclass(frozen=True)
class Certificate:
    """The certificate of a server.

    Attributes:
        server: `host:port`.
        days: until it ends; None when it was not accepted, or the server gave none.
        problem: why it was not accepted, as part of a sentence.
    """

    server: str
    days: float | None
    problem: str = ""


def probe_certificate(
    host: str, port: int, authorities: Path | None, wait_s: float, *, check_name: bool = True
) -> Certificate:
    """Shake hands with a server and look at its certificate.

    Args:
        host: its name.
        port: on which it speaks TLS at once.
        authorities: file with those that are trusted; None means the system's.
        wait_s: for each step of it.
        check_name: whether the certificate must be for that name.

    Raises:
        OSError: it cannot be reached, or does not speak TLS.
    """
    server = f"{host}:{port}"
    try:
        context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except OSError as unreadable:  # ssl.SSLError among them
        return Certificate(server, None, f"{authorities} holds no certificates: {unreadable.strerror or unreadable}")
    context.check_hostname = check_name
    try:
        with (
            socket.create_connection((host, port), wait_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            ends = secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as refused:
        return Certificate(server, None, refused.verify_message)
    return Certificate(server, (ssl.cert_time_to_seconds(str(ends["notAfter"])) - time.time()) / _DAY_S)


def judge_certificate(certificate: Certificate, whose: str, remedy: str) -> list[Finding]:
    """Whether a server is trusted, and will be for a while.

    Args:
        certificate: what it showed.
        whose: the server, for the sentence.
        remedy: what names its authority.
    """
    if certificate.problem:
        return [
            error(
                "certificate-refused",
                f"The certificate of {whose} at {certificate.server} is not accepted ({certificate.problem}): renew "
                f"it, or {remedy}.",
            )
        ]
    if certificate.days is not None and certificate.days < ENDS_SOON_DAYS:
        return [
            warning(
                "certificate-ends",
                f"The certificate of {whose} at {certificate.server} ends in {max(certificate.days, 0):.0f} days: "
                "renew it.",
            )
        ]
    return []
