"""Settings: what an operator types is understood, or refused in a sentence that names the variable."""

import os
import pickle
import traceback
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import redis
from kombu import Connection
from kombu.transport.redis import Channel
from pydantic import SecretStr, ValidationError

from infra.celery_app import make_celery_app
from infra.errors import Rejected
from infra.redis_connection import connect, masked
from infra.settings import Settings, read_settings

SECRET = "tr0ub4dor"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("LIPSYNC_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


BAD = [
    ("BATCH", "many"),
    ("BATCH", "-1"),
    ("BATCH", "257"),
    ("BATCH", "9" * 4000),
    ("THREADS", "-1"),
    ("THREADS", "1.5"),
    ("DEVICE", "gpu0"),
    ("PROVIDERS", "gpu"),
    ("PROVIDERS", ""),
    ("CACHE_DISK_MB", "99"),
    ("WARM_AVATARS", "0"),
    ("MAX_ATTEMPTS", "0"),
    ("CONNECT_TIMEOUT_S", "0"),
    ("CONNECT_TIMEOUT_S", "nan"),
    ("CONNECT_TIMEOUT_S", "inf"),
    ("REMOTE_CONTROL", "perhaps"),
    ("REQUIRE_CONSENT", "perhaps"),
    ("REDIS_URL", ""),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", f"http://:{SECRET}@host"),
    ("REDIS_URL", f"redis://:{SECRET}@[::1"),
    ("REDIS_URL", "redis://host:port"),
    ("REDIS_URL", "redis://host:99999"),
    ("REDIS_URL", f"redis://:{SECRET}/x@host:6379"),
    ("REDIS_URL", f"redis://:{SECRET}#x@host:6379"),
    ("REDIS_URL", f"redis://user:123/{SECRET}@host"),
    ("REDIS_URL", f"redis://user:123#{SECRET}@host"),
    ("REDIS_URL", f"redis://host:6379/0?password={SECRET}"),
    ("REDIS_URL", f"unix:///run/redis.sock?password={SECRET}"),
    ("REDIS_URL", "unix:///run/redis.sock?db=2"),
]
"""Passwords with unquoted `/` or `#` end up in port, path or fragment; what stands after `?` redis-py obeys and Celery
does not, so that ledger and queue would be other databases."""


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value[:24]}" for name, value in BAD])
def test_a_bad_variable_is_refused_in_one_sentence_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LIPSYNC_{name}", value)
    with pytest.raises(Rejected) as refused:
        read_settings()
    text = str(refused.value)
    assert text.startswith(f"LIPSYNC_{name} cannot be used: ")
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 300
    assert SECRET not in "".join(traceback.format_exception(refused.value))


GOOD = [
    ("BATCH", "8", "batch", 8),
    ("PROVIDERS", "tensorrt", "providers", "tensorrt"),
    ("AVATARS", "anna, bert ,,", "avatars", ("anna", "bert")),
    ("AVATARS", "", "avatars", ()),
    ("REMOTE_CONTROL", "true", "remote_control", True),
    ("STORE", "s3://bucket/prefix", "store_url", "s3://bucket/prefix"),
    ("CONNECT_TIMEOUT_S", "0.5", "connect_timeout_s", 0.5),
]


@pytest.mark.parametrize(("name", "value", "field", "expected"), GOOD)
def test_a_good_variable_is_read(
    name: str, value: str, field: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LIPSYNC_{name}", value)
    assert getattr(read_settings(), field) == expected


def test_with_nothing_set_everything_is_in_the_users_own_directories(tmp_path: Path) -> None:
    found = read_settings()
    assert found.home == tmp_path / ".local/share/lipsync-fleet"
    assert found.cache == tmp_path / ".cache/lipsync-fleet"
    assert found.store_url == (found.home / "store").as_uri()
    assert found.redis == f"unix://{found.home}/redis.sock"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "batch", 3)  # noqa: B010 - the type checker forbids the plain form


URLS = [
    f"redis://:{SECRET}@host:6379/0",
    f"redis://user:{SECRET}@host/1",
    f"rediss://user:{SECRET}@host:6380/2",
    f"unix://:{SECRET}@/run/redis.sock",
    f"unix://user:{SECRET}@/run/redis.sock",
]


@pytest.mark.parametrize("url", URLS)
def test_no_picture_of_the_settings_shows_the_password(url: str) -> None:
    found = Settings(redis_url=SecretStr(url))
    assert found.redis == url
    for picture in (repr(found), str(found), f"{found!r:s}", str(found.model_dump()), found.model_dump_json()):
        assert SECRET not in picture
    assert SECRET not in repr(pickle.loads(pickle.dumps(found)))


@pytest.mark.parametrize(
    "url", [*URLS, f"redis://host/0?password={SECRET}", f"unix:///run/redis.sock?password={SECRET}"]
)
def test_a_masked_address_shows_no_password_but_still_the_server(url: str) -> None:
    found = masked(url)
    assert SECRET not in found
    assert ("host" in found) == ("host" in url)
    assert ("/run/redis.sock" in found) == ("/run/redis.sock" in url)


@pytest.mark.parametrize("url", ["redis://host:6379/0", "unix:///run/redis.sock", "rediss://host", "redis://user@host"])
def test_an_address_without_password_is_shown_as_it_is(url: str) -> None:
    assert masked(url) == url


@pytest.mark.parametrize("url", [*URLS, "redis://host:6379/3", "rediss://host", "unix:///run/redis.sock"])
def test_queue_and_ledger_reach_the_same_server_as_the_same_user(url: str) -> None:
    """Celery spells addresses in another way; what arrives at redis-py must be the same."""
    found = Settings(redis_url=SecretStr(url))
    ours = connect(found).connection_pool.connection_kwargs
    assert _essence(_queue_parameters(found)) == _essence(ours)


@pytest.mark.parametrize("url", ["rediss://host:6380/0", f"rediss://:{SECRET}@host"])
def test_the_queue_proves_the_servers_certificate_as_the_ledger_does(url: str) -> None:
    found = Settings(redis_url=SecretStr(url))
    pool = connect(found).connection_pool
    ours = pool.connection_class(**pool.connection_kwargs)
    options = _queue(found).ssl
    assert isinstance(options, dict)
    theirs = redis.SSLConnection(**options)
    assert ours.cert_reqs == theirs.cert_reqs == redis.SSLConnection().cert_reqs
    assert ours.check_hostname == theirs.check_hostname


@pytest.mark.parametrize("folder", ["plain", "with space", "with#hash", "with?question", "with%20percent", "ünïcode"])
def test_a_local_socket_is_found_whatever_the_home_is_called(folder: str, tmp_path: Path) -> None:
    found = Settings(home=tmp_path / folder)
    socket = str(tmp_path / folder / "redis.sock")
    assert connect(found).connection_pool.connection_kwargs["path"] == socket
    assert _queue_parameters(found)["path"] == socket


def test_a_password_of_odd_characters_arrives_whole_at_both() -> None:
    password = "a/b#c?d@e:f%g h"
    found = Settings(redis_url=SecretStr(f"redis://user:{quote(password, safe='')}@host/0"))
    assert connect(found).connection_pool.connection_kwargs["password"] == password
    assert _queue_parameters(found)["password"] == password
    assert quote(password, safe="") not in masked(found.redis)


def _queue(found: Settings) -> Connection:
    return make_celery_app(found, "render").connection_for_write()


def _queue_parameters(found: Settings) -> dict[str, object]:
    """What Celery's transport hands to redis-py; nothing is connected."""

    class Unconnected(Channel):
        """A channel without the ping that opens one."""

        def __init__(self, connection: Connection) -> None:
            self.connection = SimpleNamespace(client=connection, default_port=6379)  # type: ignore[assignment]

        def __del__(self) -> None:
            pass

    return dict(Unconnected(_queue(found))._connparams())  # type: ignore[attr-defined]


def _essence(parameters: dict[str, object]) -> dict[str, object]:
    """Server, database and user of redis-py's parameters, defaults filled in."""
    tcp = {"host": parameters.get("host") or "localhost", "port": parameters.get("port") or 6379}
    return ({"path": parameters["path"]} if parameters.get("path") else tcp) | {
        "db": parameters.get("db") or 0,
        "username": parameters.get("username"),
        "password": parameters.get("password"),
    }
