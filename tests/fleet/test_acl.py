"""The Redis user that docs/reference.md recommends is enough for a fleet, and for no more than a fleet."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from infra.embedded_redis import carried_redis_server
from jobs.control import cancel_job
from jobs.states import JobState
from tests.fleet.conftest import FleetUnderTest, new_fleet
from tests.servers import RedisServer, free_port, missing, redis_server
from workers.avatar.pack import Pack

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference.md"
ADMIN_PASSWORD = "of-the-administrator"
FLEET_PASSWORD = "of-the-fleet"


def documented_rules() -> list[str]:
    """The rules of the one `ACL SETUSER` line of the documentation, without user, switch and password."""
    lines = re.findall(r"ACL SETUSER (?P<user>\S+) on >\S+ (?P<rules>.+)", DOCUMENT.read_text())
    assert len(lines) == 1, lines
    return str(lines[0][1]).split()


@pytest.fixture(scope="module", params=["path", "path, own channels", "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis on a port of loopback, whose default user has a password and whose user `fleet` has the rules."""
    program = carried_redis_server() if request.param == "wheel" else None
    if request.param == "wheel" and program is None:
        missing("no package carries a redis-server for this machine")
    rules = documented_rules()
    if request.param.endswith("own channels"):
        assert "`&lipsync:*` is enough" in DOCUMENT.read_text()
        rules[rules.index("&*")] = "&lipsync:*"
    with redis_server(port=free_port(), password=ADMIN_PASSWORD, program=program) as running:
        administrator(running).execute_command("ACL", "SETUSER", "fleet", "on", f">{FLEET_PASSWORD}", *rules)
        yield running


def administrator(server: RedisServer) -> Any:
    return redis.Redis.from_url(server.url, decode_responses=True)


def address(server: RedisServer) -> str:
    return f"redis://fleet:{FLEET_PASSWORD}@127.0.0.1:{server.port}/0"


@pytest.fixture
def restricted(server: RedisServer, tmp_path: Path, tiny_pack: Pack, cache: Path) -> Iterator[FleetUnderTest]:
    """A fleet that knows nothing but the restricted user."""
    with ExitStack() as stack:
        yield new_fleet(tmp_path, address(server), tiny_pack, cache, stack)


def test_a_fleet_works_as_the_documented_user_and_is_refused_nothing(
    restricted: FleetUnderTest, server: RedisServer
) -> None:
    restricted.start_worker("one")
    job = restricted.submit(2.0)
    restricted.finished(job)
    other = restricted.submit(4.0)
    hold = restricted.fleet
    assert cancel_job(other, hold.ledger, hold.store) is JobState.CANCELLED
    listed = restricted.cli("jobs", "--json").stdout
    assert job in listed and other in listed
    refused = {entry["object"] for entry in administrator(server).acl_log()}
    # To Redis 6 every CLIENT command is dangerous, the greeting of redis-py included, which can do without.
    assert refused == ({"client"} if administrator(server).info("server")["redis_version"].startswith("6.") else set())
    assert FLEET_PASSWORD not in restricted.log("one")


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "another-application"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "dir"),
        ("ACL", "LIST"),
        ("SHUTDOWN", "NOSAVE"),
        ("EVAL", "return redis.call('GET', 'another-application')", "0"),
    ],
    ids=" ".join,
)
def test_the_documented_user_may_not(server: RedisServer, command: tuple[str, ...]) -> None:
    administrator(server).set("another-application", "secret")
    user: Any = redis.Redis.from_url(address(server), decode_responses=True)
    with pytest.raises(redis.ResponseError, match=r"(?i)no permission|can't access at least one of the keys"):
        user.execute_command(*command)
    assert administrator(server).get("another-application") == "secret"
