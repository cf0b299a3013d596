"""Whether Redis is one that a fleet can rely on. Pure."""

import re
from typing import Final

from infra.errors import Transient
from infra.redis_connection import masked
from infra.settings import Settings
from workers.doctor.certificates import judge_certificate
from workers.doctor.clocks import judge_clock
from workers.doctor.findings import Finding, error, note, warning
from workers.doctor.outcome import Outcome, spell_bytes
from workers.doctor.redis_facts import RedisFacts, RedisProbe

OLDEST: Final = (6, 2)
FAR_S: Final = 0.05
"""A worker renews its claim four times a second and must not wait for that."""
FULL: Final = 0.8
_RULES: Final = "~{prefix}* &* +@all -@admin -@dangerous +info"


def judge_redis(probe: RedisProbe, settings: Settings) -> Outcome:
    """All that is to be said of Redis."""
    address = masked(settings.redis)
    findings: list[Finding] = []
    if probe.certificate is not None:
        findings += judge_certificate(
            probe.certificate, "Redis", "name its authority with ?ssl_ca_certs=FILE in LIPSYNC_REDIS_URL"
        )
    if probe.problem is not None:
        passing = isinstance(probe.problem, Transient)
        findings.append(error("redis-unreachable" if passing else "redis-refused", str(probe.problem)))
    if probe.facts is None:
        why = "cannot be asked" if probe.problem is None else "no answer"
        return Outcome(f"{address}: {why}", {"address": address}, tuple(findings))
    facts = probe.facts
    findings += [*_judge_rights(facts, settings), *judge_server(facts), *judge_clock(facts.skew_s, "Redis")]
    version = facts.info.get("redis_version", "of unknown version")
    skew_s = round(facts.skew_s, 1) or 0.0  # no -0.0
    line = f"{address}: Redis {version}, {facts.round_trip_s * 1000:.1f} ms away, clock {skew_s:+.1f} s"
    seen = {
        "address": address,
        "version": facts.info.get("redis_version"),
        "round_trip_s": round(facts.round_trip_s, 6),
        "skew_s": round(facts.skew_s, 3),
        "certificate_days": None if probe.certificate is None else probe.certificate.days,
    }
    return Outcome(line, seen, tuple(findings))


def _judge_rights(facts: RedisFacts, settings: Settings) -> list[Finding]:
    """Whether the user may do what a fleet needs."""
    if not facts.refused:
        return []
    rules = _RULES.format(prefix=settings.redis_prefix)
    if facts.foreign:
        lacking = f"may not use keys that begin with {settings.redis_prefix}"
    else:
        lacking = f"may not {', '.join(facts.refused)}"
    return [error("redis-acl", f"The Redis user of LIPSYNC_REDIS_URL {lacking}: give it the rules `{rules}`.")]


def judge_server(facts: RedisFacts) -> list[Finding]:
    """Whether the server is of a kind that keeps what it is given."""
    info, findings = facts.info, []
    if facts.round_trip_s > FAR_S:
        findings.append(
            warning(
                "redis-far",
                f"Redis takes {facts.round_trip_s * 1000:.0f} ms to answer: bring the hosts nearer to it, or look at "
                "what keeps it busy.",
            )
        )
    if not info:
        return [
            *findings,
            note(
                "redis-unreadable",
                "This user may not read INFO, so version, eviction and durability of Redis were not looked at: allow "
                "+info.",
            ),
        ]
    version = tuple(map(int, re.findall(r"\d+", info.get("redis_version", ""))[:2]))
    if version < OLDEST:
        findings.append(
            error("redis-old", f"This is Redis {info.get('redis_version')}: run {OLDEST[0]}.{OLDEST[1]} or newer.")
        )
    if info.get("redis_mode") == "cluster":
        findings.append(error("redis-cluster", "This Redis is a cluster: give the fleet one that is a single server."))
    if info.get("role") not in {None, "master"}:
        findings.append(error("redis-replica", "This Redis is a replica and takes no writes: name its primary."))
    policy = info.get("maxmemory_policy")
    if policy not in {None, "noeviction"}:
        findings.append(
            error(
                "redis-evicts",
                f"Redis throws keys away when its memory is full (maxmemory-policy {policy}), and an evicted key is "
                "lost work: set maxmemory-policy noeviction.",
            )
        )
    if info.get("aof_enabled") == "0":
        findings.append(
            warning(
                "redis-not-durable",
                "Redis keeps no append-only file, so its restart fails the jobs under way: set appendonly yes.",
            )
        )
    used, bound = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if bound and used > FULL * bound:
        findings.append(
            warning(
                "redis-full",
                f"Redis uses {spell_bytes(used)} of the {spell_bytes(bound)} that it may (maxmemory): raise that.",
            )
        )
    return findings
