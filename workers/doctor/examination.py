"""All checks of a host: each for itself, so that none hides what another finds, and none without an end."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

from infra.errors import LipsyncError
from infra.object_store import open_store
from infra.settings import Settings
from workers.doctor import rendering_checks as rendering
from workers.doctor.device_facts import DeviceFacts, probe_devices
from workers.doctor.findings import Code, Finding, by_severity, error, fit, note
from workers.doctor.host_facts import HostFacts, probe_host
from workers.doctor.local_checks import examine_cache, examine_processor, examine_temp, examine_versions
from workers.doctor.outcome import Outcome
from workers.doctor.redis_facts import probe_redis
from workers.doctor.redis_verdicts import judge_redis
from workers.doctor.rendering import AVATARS_S, ENGINES_S, RENDER_S, Rendered, render
from workers.doctor.setting_checks import REDIS_SETTINGS, STORE_SETTINGS, Reading, judge_avatars, judge_names, read
from workers.doctor.store_facts import probe_store
from workers.doctor.store_verdicts import judge_store

NETWORK_S: Final = 18.0
"""After which Redis and the store count as unreachable, whatever a resolver or a proxy is still waiting for."""


@dataclass(frozen=True)
class Examination:
    """What was seen of a host: check → outcome, and how long it took."""

    outcomes: dict[str, Outcome]
    seconds: float

    @property
    def findings(self) -> list[Finding]:
        """Those of all checks, errors first."""
        return by_severity(finding for outcome in self.outcomes.values() for finding in outcome.findings)

    def document(self) -> dict[str, Any]:
        """The whole as JSON values."""
        return {
            "fit": fit(self.findings),
            "seconds": round(self.seconds, 3),
            "checks": {name: outcome.facts for name, outcome in self.outcomes.items() if outcome.facts},
            "findings": [
                {"check": name, **finding._asdict()}
                for name, outcome in self.outcomes.items()
                for finding in outcome.findings
            ],
        }


def examine(*, offline: bool) -> Examination:
    """Look at this host with the settings of the environment.

    Args:
        offline: whether to leave Redis and the store alone, and with them the avatars that lie there.
    """
    start_s = time.monotonic()
    outcomes = _Checks(read(), offline, start_s + NETWORK_S).outcomes()
    return Examination(outcomes, time.monotonic() - start_s)


class _Avatars(NamedTuple):
    rendered: Rendered | None = None
    skipped: tuple[Finding, ...] = ()


class _Checks:
    """The checks, and what several of them look at, asked once."""

    def __init__(self, reading: Reading, offline: bool, network_until_s: float) -> None:
        self._reading = reading
        self._settings: Settings = reading.settings
        self._offline = offline
        self._redis = self._start("redis", REDIS_SETTINGS, _examine_redis)
        self._store = self._start("store", STORE_SETTINGS, _examine_store)
        self._network_until_s = network_until_s

    def outcomes(self) -> dict[str, Outcome]:
        """Check → outcome, in the order in which people read them."""
        checks: dict[str, Callable[[], Outcome]] = {
            "settings": self._examine_settings,
            "versions": lambda: examine_versions(self._host),
            "processor": lambda: examine_processor(self._host, self._settings),
            "memory": lambda: rendering.outcome_of_memory(
                self._host, self._settings, self._demo, self._avatars.rendered
            ),
            "cache": lambda: self._cache[0],
            "temp": examine_temp,
            "device": lambda: rendering.outcome_of_device(
                self._devices, self._demo, self._avatars.rendered, self._host.cores
            ),
            "canary": lambda: rendering.outcome_of_canary(self._demo, self._avatars.rendered, self._avatars.skipped),
            "codecs": lambda: rendering.outcome_of_codecs(self._devices, self._demo),
            "redis": lambda: self._redis.outcome(self._network_until_s),
            "store": lambda: self._store.outcome(self._network_until_s),
        }
        return {name: guarded(name, check) for name, check in checks.items()}

    def _start(self, name: str, needed: frozenset[str], check: Callable[[Settings], Outcome]) -> "_InTheBackground":
        def run() -> Outcome:
            if self._offline:
                return Outcome("not asked (--offline)", {"asked": False})
            if needed & self._reading.problems.keys():
                return Outcome("not asked, since its settings cannot be used", {"asked": False})
            return check(self._settings)

        code: Code = "redis-unreachable" if name == "redis" else "store-unreachable"
        return _InTheBackground(partial(guarded, name, run), code)

    def _examine_settings(self) -> Outcome:
        unusable = [error("setting-unusable", sentence) for sentence in self._reading.problems.values()]
        return Outcome(findings=(*unusable, *judge_names(os.environ), *judge_avatars(self._settings)))

    @cached_property
    def _host(self) -> HostFacts:
        return probe_host()

    @cached_property
    def _devices(self) -> DeviceFacts:
        return probe_devices(self._settings)

    @cached_property
    def _cache(self) -> tuple[Outcome, bool]:
        return examine_cache(self._settings)

    @cached_property
    def _demo(self) -> Rendered:
        limit_s = ENGINES_S if self._settings.providers == "tensorrt" else RENDER_S
        return Rendered() if self._host.runtime is None else render(self._settings, (), limit_s)

    @cached_property
    def _avatars(self) -> _Avatars:
        """The avatars that a worker would load, when there is a way to them."""
        named = self._settings.avatars[: self._settings.warm_avatars]
        if not named or self._host.runtime is None:
            return _Avatars()
        obstacles = {
            "Redis and the store were not asked": self._offline,
            "the store cannot be used": not fit(self._store.outcome(self._network_until_s).findings),
            "this user cannot fill the cache": not self._cache[1],
            "the avatar that ships could not be rendered": not self._demo.proved,
        }
        for why, stands in obstacles.items():
            if stands:
                sentence = f"The avatars of LIPSYNC_AVATARS were not rendered, since {why}: mend that and ask again."
                return _Avatars(skipped=(note("not-checked", sentence),))
        return _Avatars(render(self._settings, named, AVATARS_S))


class _InTheBackground:
    """A check that waits for a network, in a thread that ends with the process if it never ends by itself."""

    def __init__(self, check: Callable[[], Outcome], late: Code) -> None:
        self._outcome: Outcome | None = None
        self._late = late
        self._thread = threading.Thread(target=self._run, args=(check,), daemon=True)
        self._thread.start()

    def _run(self, check: Callable[[], Outcome]) -> None:
        self._outcome = check()

    def outcome(self, until_s: float) -> Outcome:
        """The outcome, or what is to be said when there is none by that second of the monotonic clock."""
        self._thread.join(max(until_s - time.monotonic(), 0))
        if self._outcome is None:
            sentence = f"There was no answer within {NETWORK_S:.0f} s: check the network, name servers and proxies."
            self._outcome = Outcome("no answer", {"asked": True}, (error(self._late, sentence),))
        return self._outcome


def guarded(name: str, check: Callable[[], Outcome]) -> Outcome:
    """Run a check; what it did not foresee becomes a finding, so that the others are heard."""
    try:
        return check()
    except LipsyncError as met:
        sentence = str(met)
    except Exception as met:
        sentence = (
            f"The check of {name} met an unexpected {type(met).__name__} ({met}): report it, it is a fault of ours."
        )
    return Outcome("failed", {}, (error("check-failed", sentence),))


def _examine_redis(settings: Settings) -> Outcome:
    return judge_redis(probe_redis(settings), settings)


def _examine_store(settings: Settings) -> Outcome:
    try:
        address = open_store(settings).url
    except LipsyncError as refused:
        return Outcome("not asked", {"asked": False}, (error("setting-unusable", str(refused)),))
    return judge_store(probe_store(settings), settings, address)
