"""The doctor before a real Redis: users that may too little, servers that lose keys, certificates, silence."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis as redis_py

from infra.settings import Settings
from tests.doctor.conftest import ADMIN_PASSWORD, PASSWORD
from tests.fleet.test_acl import documented_rules
from tests.fleet.test_tls import certificates, port  # noqa: F401  # fixtures
from tests.servers import RedisServer, free_port, redis_server
from workers.doctor.outcome import Outcome
from workers.doctor.redis_facts import RedisFacts, demands, probe_redis
from workers.doctor.redis_verdicts import judge_redis, judge_server

FACTS = RedisFacts((), False, 0.0, 0.001, {"redis_version": "7.0.15", "role": "master", "aof_enabled": "1"})


def examined(url: str, **more: object) -> Outcome:
    """What the doctor says of a server that is near, however busy this machine is."""
    settings = Settings.model_validate({"redis_url": url, **more})
    probe = probe_redis(settings)
    if probe.facts is not None:
        assert probe.facts.round_trip_s > 0
        probe = replace(probe, facts=replace(probe.facts, round_trip_s=0.001))
    return judge_redis(probe, settings)


def codes(outcome: Outcome) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in outcome.findings]


def administrator(server: RedisServer) -> Any:
    return redis_py.Redis.from_url(server.url, decode_responses=True)


@pytest.fixture
def user(redis: RedisServer) -> Iterator[Any]:
    """Makes users of given rules and gives the address by which they come."""
    made = []

    def make(*rules: str) -> str:
        name = f"u{uuid4().hex}"
        administrator(redis).execute_command("ACL", "SETUSER", name, "on", f">{PASSWORD}", *rules)
        made.append(name)
        return f"redis://{name}:{PASSWORD}@127.0.0.1:{redis.port}/0"

    yield make
    administrator(redis).execute_command("ACL", "DELUSER", *made)


def test_the_documented_user_on_the_documented_server_is_told_nothing(user: Any) -> None:
    outcome = examined(user(*documented_rules()))
    assert outcome.findings == ()
    assert outcome.facts["version"].count(".") == 2
    assert abs(outcome.facts["skew_s"]) < 1
    assert "ms away" in outcome.line


def test_nothing_of_the_fleet_is_touched_and_nothing_is_left(redis: RedisServer, user: Any) -> None:
    client = administrator(redis)
    client.set("lipsync:ledger:jobs", "of a fleet")
    examined(user(*documented_rules()))
    assert client.keys("*") == ["lipsync:ledger:jobs"]
    assert client.get("lipsync:ledger:jobs") == "of a fleet"
    client.delete("lipsync:ledger:jobs")


def test_all_keys_of_the_attempt_lie_below_the_prefix_and_would_vanish_by_themselves(redis: RedisServer) -> None:
    scratch = f"lipsync:doctor:{uuid4().hex}"
    client = administrator(redis)
    for command in demands(scratch)[:-1]:  # the last deletes them
        client.execute_command(*command)
    kept = client.keys("*")
    assert len(kept) >= 4 and all(key.startswith(scratch) for key in kept)
    assert all(0 < client.ttl(key) <= 60 for key in kept)
    client.delete(*kept)


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        (["-zadd"], "may not ZADD:"),
        (["-eval", "-evalsha", "-script"], "may not EVAL, EVALSHA, SCRIPT LOAD:"),
        (["-brpop", "-hincrbyfloat", "-multi"], "may not BRPOP, HINCRBYFLOAT, MULTI:"),
        (["resetchannels"], "may not PUBLISH, SUBSCRIBE:"),
    ],
)
def test_what_a_user_may_not_is_named(user: Any, rules: list[str], lacking: str) -> None:
    (found,) = examined(user(*documented_rules(), *rules)).findings
    assert (found.level, found.code) == ("error", "redis-acl")
    assert lacking in found.sentence and "`~lipsync:* &* +@all -@admin -@dangerous +info`" in found.sentence


def test_a_user_of_other_keys_is_told_which_it_needs(user: Any) -> None:
    (found,) = examined(user(*documented_rules(), "resetkeys", "~other:*")).findings
    assert "may not use keys that begin with lipsync:" in found.sentence
    assert examined(user(*documented_rules(), "resetkeys", "~other:*"), redis_prefix="other:").findings == ()


def test_a_user_without_info_is_a_note(user: Any) -> None:
    assert codes(examined(user(*documented_rules(), "-info"))) == [("note", "redis-unreadable")]


def test_a_wrong_password_is_something_to_mend(redis: RedisServer) -> None:
    outcome = examined(redis.url.replace(ADMIN_PASSWORD, "wrong"))
    assert codes(outcome) == [("error", "redis-refused")]
    assert "wrong" not in outcome.findings[0].sentence


def test_a_server_that_loses_keys_is_told() -> None:
    options = {"maxmemory": "1000mb", "maxmemory-policy": "allkeys-lru"}
    with redis_server(options=options) as server:
        assert codes(examined(server.url)) == [("error", "redis-evicts"), ("warning", "redis-not-durable")]


def test_a_replica_is_told() -> None:
    with redis_server(options={"replicaof": f"127.0.0.1 {free_port()}", "appendonly": "yes"}) as server:
        assert ("error", "redis-replica") in codes(examined(server.url))


def test_a_certificate_is_told_before_it_ends(port: int, certificates: Path) -> None:  # noqa: F811
    outcome = examined(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificates / 'own.pem'}")
    assert ("warning", "certificate-ends") in codes(outcome)
    assert 1 < outcome.facts["certificate_days"] <= 2


@pytest.mark.parametrize("authority", ["", "?ssl_ca_certs={}/foreign.pem", "?ssl_ca_certs={}/absent.pem"])
def test_a_certificate_that_is_not_trusted_is_something_to_mend(
    port: int,  # noqa: F811
    certificates: Path,  # noqa: F811
    authority: str,
) -> None:
    outcome = examined(f"rediss://127.0.0.1:{port}/0{authority.format(certificates)}")
    assert codes(outcome) == [("error", "certificate-refused")]
    assert f"Redis at 127.0.0.1:{port}" in outcome.findings[0].sentence


@pytest.mark.parametrize(("option", "refused"), [("", True), ("&ssl_check_hostname=false", False)])
def test_a_certificate_for_another_name_is_refused_unless_the_address_allows_it(
    port: int,  # noqa: F811
    certificates: Path,  # noqa: F811
    option: str,
    refused: bool,
) -> None:
    outcome = examined(f"rediss://localhost:{port}/0?ssl_ca_certs={certificates / 'own.pem'}{option}")
    assert (("error", "certificate-refused") in codes(outcome)) == refused
    assert (outcome.facts.get("version") is None) == refused


def test_nobody_at_the_address_may_pass_by_itself() -> None:
    assert codes(examined(f"redis://127.0.0.1:{free_port()}/0")) == [("error", "redis-unreachable")]


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_silence_is_bounded(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start_s = time.monotonic()
        outcome = examined(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/0", connect_timeout_s=600)
        assert codes(outcome) == [("error", "redis-unreachable")]
        assert time.monotonic() - start_s < 18


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (FACTS, []),
        (replace(FACTS, round_trip_s=0.2), ["redis-far"]),
        (replace(FACTS, info=FACTS.info | {"redis_version": "6.0.16"}), ["redis-old"]),
        (replace(FACTS, info=FACTS.info | {"redis_version": "6.2.0"}), []),
        (replace(FACTS, info=FACTS.info | {"redis_version": "10.0.1"}), []),
        (replace(FACTS, info=FACTS.info | {"redis_mode": "cluster"}), ["redis-cluster"]),
        (replace(FACTS, info=FACTS.info | {"used_memory": "81", "maxmemory": "100"}), ["redis-full"]),
        (replace(FACTS, info=FACTS.info | {"used_memory": "81", "maxmemory": "0"}), []),
    ],
)
def test_servers_are_judged(facts: RedisFacts, found: list[str]) -> None:
    assert [finding.code for finding in judge_server(facts)] == found
