"""What the doctor tries of Redis is all that a fleet uses: a user who may nothing else renders a job."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from jobs.control import cancel_job
from jobs.states import JobState
from tests.fleet.conftest import FleetUnderTest, new_fleet
from tests.servers import free_port, redis_server
from workers.avatar.pack import Pack
from workers.doctor.redis_facts import demands, probe_redis
from workers.doctor.redis_verdicts import judge_redis

PASSWORD = "of-the-fleet"
CONNECTION = ["+ping", "+info", "+subscribe", "+unsubscribe", "+psubscribe", "+client", "+select"]
"""What clients say of themselves, and what the doctor asks beside its list."""


@pytest.fixture
def rules() -> list[str]:
    commands = {str(command[0]).lower().replace(" ", "|") for command in demands("scratch")}
    return ["~lipsync:*", "&lipsync:*", "-@all", *CONNECTION, *(f"+{command}" for command in sorted(commands))]


def test_a_user_who_may_no_more_than_the_doctor_tries_is_enough_for_a_fleet(
    rules: list[str], tmp_path: Path, tiny_pack: Pack, cache: Path
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(port=free_port(), password="admin"))
        administrator: Any = redis.Redis.from_url(server.url, decode_responses=True)
        administrator.execute_command("ACL", "SETUSER", "fleet", "on", f">{PASSWORD}", *rules)
        address = f"redis://fleet:{PASSWORD}@127.0.0.1:{server.port}/0"
        fleet: FleetUnderTest = new_fleet(tmp_path, address, tiny_pack, cache, stack)
        outcome = judge_redis(probe_redis(fleet.settings), fleet.settings)
        assert "redis-acl" not in {finding.code for finding in outcome.findings}
        fleet.start_worker("one")
        fleet.finished(fleet.submit(2.0))
        hold = fleet.fleet
        cancelled = fleet.submit(60.0)
        assert cancel_job(cancelled, hold.ledger, hold.store) is JobState.CANCELLED
        hold.ledger.drain("a-host")
        hold.ledger.undrain("a-host")
        hold.ledger.begin_removal("0" * 64, "token")
        hold.ledger.end_removal("0" * 64, "token")
        hold.ledger.latest(5)
        assert hold.ledger.fleet().workers and hold.ledger.tallies()
        assert {entry["object"] for entry in administrator.acl_log()} == set()
