"""Real servers for tests: each is a process of its own on loopback, in a directory of its own, gone with the block.

A server whose program is not installed skips the test on a laptop and fails it where `CI=true`.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener
from uuid import uuid4

import pytest

from infra.embedded_redis import find_redis_server
from infra.errors import Failed
from infra.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_START_S = 60.0  # a loaded machine imports slowly
_STOP_S = 20.0


def missing(what: str) -> NoReturn:
    """Skip the test that needs `what`; where `CI=true` nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Ask `condition` until it is true.

    Raises:
        TimeoutError: it was not within `timeout_s`; the message says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(0.02)


@contextmanager
def process(
    command: Sequence[str | Path], log: Path, ready: Callable[[], object], env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; what it prints is appended to `log` and shown when it does not start."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env)
    try:
        try:
            wait_until(lambda: child.poll() is not None or ready(), _START_S, f"{command[0]} to be ready")
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{log.read_text(errors='replace')[-4000:]}") from None
        if child.poll() is not None:
            raise RuntimeError(f"{command} ended with {child.returncode}\n{log.read_text(errors='replace')[-4000:]}")
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)  # a test may have stopped it
            child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _answers(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Forwarder:
    """A TCP connection to a server that can be cut: what a network does to those who rely on it."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._ends: list[socket.socket] = []
        self.up()

    def up(self) -> None:
        """Take connections (again)."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections and break those that are open."""
        for end in [self._listener, *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


# --- S3 ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3Server:
    """A server that speaks S3 and what is needed to reach it."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """AWS variables for processes that shall reach this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def client(self) -> "S3Client":
        """A plain boto3 client, to look at the server from outside of the product."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                proxies={},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process reach the server with its credentials, and nothing of the user's own."""
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.delenv(name, raising=False)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def settings(self, bucket: str = "", prefix: str = "a prefix/of two", **more: object) -> Settings:
        """Settings whose store is `prefix` in `bucket`, by default in a new one."""
        bucket = bucket or self.make_bucket()
        return Settings.model_validate({"store": f"s3://{bucket}/{prefix}", "s3_endpoint": self.endpoint, **more})

    def make_bucket(self) -> str:
        """Create a bucket and return its name."""
        name = f"lipsync-{uuid4().hex}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def moto_server(directory: Path, address: str = "127.0.0.1") -> Iterator[S3Server]:
    """S3 by moto, on an address of this machine: quick to start, accepts any credentials."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", address, "-p", str(port)]
    with process(command, directory / "moto.log", lambda: _answers(f"http://{address}:{port}/moto-api/")):
        yield S3Server(f"http://{address}:{port}", "moto", "moto-secret")


_SWIFT_CONF = """
[swift-hash]
swift_hash_path_suffix = lipsync
[storage-policy:0]
name = single
default = yes
"""

_SWIFT_SERVER = """
[DEFAULT]
bind_ip = {address}
bind_port = {port}
workers = 0
user = {user}
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
"""

# Long timeouts: on a loaded machine a listing would otherwise lag behind the objects.
_SWIFT_STORAGE = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
conn_timeout = 20
node_timeout = 20
container_update_timeout = 20
"""

_SWIFT_PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 20
node_timeout = 20
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


@contextmanager
def swift_server(directory: Path, address: str = "127.0.0.1") -> Iterator[S3Server]:
    """S3 by OpenStack Swift, on an address of this machine, one replica of everything.

    It checks signatures, clocks and checksums.

    Needs the environment that `tests/install_swift.sh` makes, named by `LIPSYNC_TEST_SWIFT`, and a file system with
    extended attributes for `directory`, but no privileges.
    """
    home = os.environ.get("LIPSYNC_TEST_SWIFT")
    if not home:
        missing("LIPSYNC_TEST_SWIFT names no environment with Swift; tests/install_swift.sh makes one")
    programs = Path(home).absolute() / "bin"
    if not (programs / "swift-proxy-server").exists():
        missing(f"there is no Swift in {home}; tests/install_swift.sh makes such an environment")
    device = directory / "devices" / "disk"
    device.mkdir(parents=True)
    try:
        os.setxattr(device, "user.lipsync", b"probe")
    except OSError:
        missing(f"the file system of {directory} has no extended attributes; choose another with --basetemp")

    secret = "swift-secret"
    ports = {kind: free_port() for kind in ("account", "container", "object", "proxy")}
    (directory / "swift.conf").write_text(_SWIFT_CONF)
    for kind, port in ports.items():
        shown = address if kind == "proxy" else "127.0.0.1"
        common = _SWIFT_SERVER.format(address=shown, port=port, user=_user(), directory=directory)
        own = _SWIFT_PROXY.format(secret=secret) if kind == "proxy" else _SWIFT_STORAGE.format(kind=kind)
        (directory / f"{kind}.conf").write_text(common + own)
        if kind != "proxy":
            ring: list[str | Path] = [programs / "swift-ring-builder", directory / f"{kind}.builder"]
            for step in (
                ["create", "1", "1", "0"],
                ["add", f"r1z1-127.0.0.1:{port}/disk", "1"],
                ["rebalance"],
            ):
                subprocess.run([*ring, *step], check=True, capture_output=True)
    with ExitStack() as stack:
        for kind, port in ports.items():
            command: list[str | Path] = [programs / f"swift-{kind}-server", directory / f"{kind}.conf", "--verbose"]
            healthy = partial(_answers, f"http://{address}:{port}/healthcheck")
            ready = healthy if kind == "proxy" else partial(_listens, port)
            stack.enter_context(process(command, directory / f"{kind}.log", ready))
        yield S3Server(f"http://{address}:{ports['proxy']}", "test:tester", secret)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


# --- Redis -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedisServer:
    """A running Redis; `url` as redis-py spells it, password included."""

    url: str = field(repr=False)
    socket: Path
    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def redis_server(
    directory: Path | None = None,
    *,
    port: int = 0,
    password: str | None = None,
    options: Mapping[str, str] | None = None,
    program: Path | None = None,
) -> Iterator[RedisServer]:
    """A real `redis-server` (the PATH's or the wheel's), on a unix socket and, with `port`, on that port of 127.0.0.1.

    Args:
        directory: where its data lie, kept when the block ends; by default a new one, deleted at the end.
        port: TCP port; 0 means the socket only. `url` names the port when there is one.
        password: `requirepass`.
        options: more lines of its configuration, such as `{"appendonly": "yes"}`.
        program: which redis-server; by default the one that a local fleet would take.
    """
    import redis

    if program is None:
        try:
            program = find_redis_server()
        except Failed as error:
            missing(str(error))
    # A socket's path may have about 100 characters: pytest's own directories are too deep.
    with tempfile.TemporaryDirectory(prefix="redis-") as scratch:
        socket_path = Path(scratch) / "redis.sock"
        settings = {
            "dir": str(directory or scratch),
            "unixsocket": str(socket_path),
            "port": str(port),
            "bind": "127.0.0.1",
            "save": '""',
            "daemonize": "no",
            **({"requirepass": password} if password else {}),
            **(options or {}),
        }
        config = Path(scratch) / "redis.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        login = f":{password}@" if password else ""
        url = f"redis://{login}127.0.0.1:{port}/0" if port else f"unix://{login}{socket_path}"

        def answers() -> bool:
            try:
                with redis.Redis.from_url(url) as client:
                    return bool(client.ping())
            except redis.exceptions.ConnectionError:
                return False

        with process([program, config], Path(scratch) / "redis.log", answers) as child:
            yield RedisServer(url, socket_path, port, child)
