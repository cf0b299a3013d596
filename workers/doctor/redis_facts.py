"""Redis as the fleet uses it, tried for real on scratch keys below the prefix. No key of a job is touched."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import redis

from infra.errors import LipsyncError
from infra.redis_connection import connect, redis_errors
from infra.settings import Settings
from workers.doctor.certificates import Certificate, probe_certificate

SCRATCH: Final = "doctor:"
_SCRATCH_S: Final = 60
WAIT_S: Final = 3.0
"""For one answer; the client asks three times."""


@dataclass(frozen=True)
class RedisFacts:
    """What Redis answered.

    Attributes:
        refused: names of the commands that this user may not use.
        foreign: whether it was the keys, not the commands, that were refused.
        skew_s: by how much its clock is ahead of this host's.
        round_trip_s: of one short command.
        info: fields of INFO; empty when this user may not read them.
    """

    refused: tuple[str, ...]
    foreign: bool
    skew_s: float
    round_trip_s: float
    info: dict[str, str]


@dataclass(frozen=True)
class RedisProbe:
    """What came of asking Redis: its answers, or why there are none."""

    certificate: Certificate | None
    facts: RedisFacts | None
    problem: LipsyncError | None


def probe_redis(settings: Settings) -> RedisProbe:
    """Ask Redis, within a bounded time."""
    patient = settings.model_copy(update={"connect_timeout_s": min(settings.connect_timeout_s, WAIT_S)})
    certificate = None
    try:
        certificate = _certificate(patient)
        if certificate and certificate.problem:
            return RedisProbe(certificate, None, None)
        with redis_errors(patient), connect(patient) as client:
            return RedisProbe(certificate, _ask(client, patient.redis_prefix), None)
    except LipsyncError as problem:
        return RedisProbe(certificate, None, problem)


def _certificate(settings: Settings) -> Certificate | None:
    parts = urlsplit(settings.redis)
    if parts.scheme != "rediss":
        return None
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    authorities = Path(options["ssl_ca_certs"]) if "ssl_ca_certs" in options else None
    check_name = options.get("ssl_check_hostname", "true").lower() not in {"false", "f", "no", "n", "0"}
    try:
        return probe_certificate(
            parts.hostname or "localhost",
            parts.port or 6379,
            authorities,
            settings.connect_timeout_s,
            check_name=check_name,
        )
    except OSError:
        return None  # the client will say so, in its own words


def _ask(client: Any, prefix: str) -> RedisFacts:
    client.ping()
    start_s, started = time.time(), time.perf_counter()
    seconds, microseconds = client.time()
    round_trip_s = time.perf_counter() - started
    answers = _try(client, prefix + SCRATCH + uuid4().hex)
    refused = {command: str(answer) for command, answer in answers.items() if is_refusal(answer)}
    keys_only = [text for text in refused.values() if "key" in text.lower() and "command" not in text.lower()]
    return RedisFacts(
        refused=tuple(sorted(refused)),
        foreign=bool(refused) and len(keys_only) == len(refused),
        skew_s=seconds + microseconds / 1e6 - (start_s + round_trip_s / 2),
        round_trip_s=round_trip_s,
        info=_info(client),
    )


def is_refusal(answer: object) -> bool:
    """Whether Redis said that this user may not."""
    return isinstance(answer, redis.exceptions.NoPermissionError) or "ACL failure" in str(answer)


def _info(client: Any) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in client.info().items()}
    except redis.exceptions.NoPermissionError:
        return {}


def demands(scratch: str) -> list[tuple[object, ...]]:
    """All commands that ledger and queue use, on scratch keys that vanish by themselves."""
    text, table, ranked, members, queue = (f"{scratch}:{kind}" for kind in ("text", "hash", "zset", "set", "list"))
    return [
        ("SET", text, "1", "NX", "EX", _SCRATCH_S),
        ("GET", text),
        ("EXISTS", text),
        ("PEXPIRE", text, 1000 * _SCRATCH_S),
        ("PERSIST", text),
        ("EXPIRE", text, _SCRATCH_S),
        ("TYPE", text),
        ("HSET", table, "a", "1"),
        ("EXPIRE", table, _SCRATCH_S),
        ("HSETNX", table, "b", "1"),
        ("HGET", table, "a"),
        ("HMGET", table, "a", "b"),
        ("HGETALL", table),
        ("HKEYS", table),
        ("HVALS", table),
        ("HLEN", table),
        ("HEXISTS", table, "a"),
        ("HINCRBY", table, "a", 1),
        ("HINCRBYFLOAT", table, "a", "0.5"),
        ("HDEL", table, "b"),
        ("ZADD", ranked, 1, "a"),
        ("EXPIRE", ranked, _SCRATCH_S),
        ("ZCARD", ranked),
        ("ZCOUNT", ranked, "-inf", "+inf"),
        ("ZRANGE", ranked, 0, -1),
        ("ZREVRANGE", ranked, 0, -1),
        ("ZRANGEBYSCORE", ranked, "-inf", "+inf"),
        ("ZREVRANGEBYSCORE", ranked, "+inf", "-inf"),
        ("ZSCORE", ranked, "a"),
        ("ZREMRANGEBYSCORE", ranked, 5, 6),
        ("ZREM", ranked, "b"),
        ("SADD", members, "a"),
        ("EXPIRE", members, _SCRATCH_S),
        ("SISMEMBER", members, "a"),
        ("SMEMBERS", members),
        ("SREM", members, "b"),
        ("LPUSH", queue, "a"),
        ("RPUSH", queue, "b"),
        ("EXPIRE", queue, _SCRATCH_S),
        ("LLEN", queue),
        ("LRANGE", queue, 0, -1),
        ("BRPOP", queue, 1),
        ("WATCH", text),
        ("UNWATCH",),
        ("MULTI",),
        ("EXEC",),
        ("TIME",),
        ("SCRIPT LOAD", "return 1"),
        ("EVAL", "return redis.call('GET', KEYS[1])", 1, text),
        ("EVALSHA", _SHA1_OF_RETURN_1, 0),
        ("PUBLISH", f"{scratch}:channel", "a"),
        ("DEL", text, table, ranked, members, queue),
    ]


_SHA1_OF_RETURN_1: Final = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


def _try(client: Any, scratch: str) -> dict[str, object]:
    """The name of each command → its answer or the error, the first one that is an error."""
    answers: dict[str, object] = {}
    for command in demands(scratch):
        name = str(command[0])
        try:
            answer: object = client.execute_command(*command)
        except redis.ResponseError as refused:  # NoPermissionError is one
            answer = refused
        if not is_refusal(answers.get(name)):
            answers[name] = answer
    try:
        with client.pubsub() as channel:
            channel.subscribe(f"{scratch}:channel")
            channel.parse_response(timeout=WAIT_S)
    except redis.ResponseError as refused:
        answers["SUBSCRIBE"] = refused
    return answers
