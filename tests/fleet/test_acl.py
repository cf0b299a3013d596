"""The Redis user that docs/reference.md recommends is enough for a fleet, and for no more than a fleet."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from infra.embedded_redis import carried_redis_server, find_redis_server
from infra.settings import Settings
from jobs.control import cancel_job
from jobs.ledger import JobTicket
from jobs.ledger_redis import RedisLedger
from jobs.states import JobState
from jobs.submit import new_job_id
from tests.fleet.conftest import FleetUnderTest, new_fleet
from tests.servers import RedisServer, free_port, missing, process, redis_server
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
    other = restricted.submit(60.0)
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


@pytest.mark.parametrize(("rights", "kept"), [("documented", True), ("none", False)])
def test_the_ledger_outlives_a_restart_only_where_the_user_default_keeps_its_rights(
    rights: str, kept: bool, tmp_path: Path
) -> None:
    """Off, but with rights: Redis replays its append-only file as that user."""
    (documented,) = re.findall(r"`(user\s+default off [^`]+)`", DOCUMENT.read_text())
    default = " ".join(documented.split()) if rights == "documented" else "user default off"
    rules = " ".join(documented_rules())
    users, socket = tmp_path / "users.acl", tmp_path / "redis.sock"
    users.write_text(f"{default}\nuser fleet on >{FLEET_PASSWORD} {rules}\n")
    options = {"aclfile": users, "appendonly": "yes", "dir": tmp_path, "unixsocket": socket, "port": "0", "save": ""}
    command = [str(find_redis_server()), *(str(word) for name, to in options.items() for word in (f"--{name}", to))]
    url = f"unix://fleet:{FLEET_PASSWORD}@{socket}"

    def answers() -> bool:
        try:
            return bool(redis.Redis.from_url(url).ping())
        except redis.exceptions.ConnectionError:
            return False

    ledger = RedisLedger(Settings(redis_url=SecretStr(url), home=tmp_path))
    with process(command, tmp_path / "redis.log", answers):
        job = ledger.open(JobTicket(new_job_id(), 3, 30, 3, "d" * 64, "me"))
    with process(command, tmp_path / "redis.log", answers):
        assert (ledger.view(job) is not None) is kept
