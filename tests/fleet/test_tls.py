"""Redis over TLS, by the address that docs/reference.md gives: ledger and queue check who answers."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import kombu.pools
import pytest

from infra.errors import Unreachable
from infra.settings import Settings
from jobs.fleet import Fleet
from jobs.submit import new_job_id
from tests.servers import free_port, missing, redis_server

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference.md"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two self-signed certificates of 127.0.0.1, `own` and `foreign`."""
    if shutil.which("openssl") is None:
        missing("there is no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("own", "foreign"):
        making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
        making += ["-addext", "subjectAltName=IP:127.0.0.1"]
        making += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(making, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def port(certificates: Path) -> Iterator[int]:
    """Where a Redis with the certificate `own` speaks TLS."""
    port = free_port()
    own = {"tls-cert-file": "own.pem", "tls-key-file": "own.key", "tls-ca-cert-file": "own.pem"}
    options = {"tls-port": str(port), "tls-auth-clients": "no"} | {
        name: str(certificates / file) for name, file in own.items()
    }
    try:
        with redis_server(options=options) as _:
            yield port
    except RuntimeError as error:
        if "tls" not in str(error):
            raise
        missing("this redis-server was built without TLS")


def documented_fleet(port: int, authority: Path | None) -> Fleet:
    """A fleet by the documented address, with host, password and authority filled in; None means the system's."""
    (address,) = re.findall(r"'(rediss://\S+ssl_ca_certs=\S+)'", DOCUMENT.read_text())
    parts = urlsplit(address)
    assert parts.query.startswith("ssl_ca_certs=")
    query = f"ssl_ca_certs={authority}" if authority else ""
    url = urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}", query=query))
    return Fleet(Settings.model_validate({"redis_url": url, "connect_timeout_s": 2.0}))


def test_ledger_and_queue_speak_tls_with_the_server_that_the_authority_vouches_for(
    port: int, certificates: Path
) -> None:
    fleet = documented_fleet(port, certificates / "own.pem")
    fleet.ledger.ping()
    fleet.ring(new_job_id(), "0")
    assert fleet.ledger.queue_depth() == 1


@pytest.mark.parametrize("authority", ["foreign.pem", None])
def test_ledger_and_queue_refuse_a_server_of_another_authority(
    port: int, certificates: Path, authority: str | None
) -> None:
    kombu.pools.reset()  # connections are shared by address, and nothing but the query differs from the other test's
    fleet = documented_fleet(port, certificates / authority if authority else None)
    with pytest.raises(Unreachable):
        fleet.ledger.ping()
    with pytest.raises(Unreachable):
        fleet.ring(new_job_id(), "0")
