"""The exporter: one page that Prometheus scrapes, made of the ledger and the queue whenever it is asked for.

However many ask, Redis is read once at a time, in a few round trips, and nobody waits longer than `SCRAPE_LIMIT_S`.
"""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from infra.errors import Failed, LipsyncError, Unreachable
from infra.settings import Settings
from jobs.exporter_metrics import fleet_metrics, gauge
from jobs.fleet_state import FleetView
from jobs.ledger_redis import RedisLedger
from jobs.scaling import ScaleHint

log = structlog.get_logger(__name__)

SCRAPE_LIMIT_S = 5.0
"""An answer is due within this, whatever Redis does: half of Prometheus' own patience."""
REDIS_TIMEOUT_S = 2.0
CLIENT_TIMEOUT_S = 10.0
"""Who connects and says nothing, or does not read, is cut off."""


@dataclass(frozen=True)
class Reading:
    """What Redis said.

    Attributes:
        fleet: the fleet.
        tallies: what was counted, see `jobs.tallies`.
        workers_desired: how many workers it should have, see `jobs.scaling`.
        taken_s: when it was read, in seconds since the epoch by the clock of this host.
        took_s: seconds that it took.
    """

    fleet: FleetView
    tallies: dict[str, float]
    workers_desired: int
    taken_s: float
    took_s: float


class FleetReader:
    """Reads the fleet for all who ask at the same time at once, and lets nobody wait for long."""

    def __init__(self, settings: Settings, limit_s: float = SCRAPE_LIMIT_S) -> None:
        patience_s = min(settings.connect_timeout_s, REDIS_TIMEOUT_S)
        self._ledger = RedisLedger(settings.model_copy(update={"connect_timeout_s": patience_s}))
        self._hint = ScaleHint.of(settings)
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._pending: Future[Reading] | None = None

    def read(self) -> Reading:
        """The fleet at this moment.

        Raises:
            Unreachable: Redis does not answer, or not in time.
            Failed: it refuses us.
        """
        with self._lock:
            if self._pending is None or self._pending.done():
                self._pending = Future()
                # A thread of its own: one that hangs must not keep the process from ending.
                threading.Thread(target=self._work, args=(self._pending,), daemon=True).start()
            pending = self._pending
        try:
            return pending.result(self._limit_s)
        except TimeoutError:
            raise Unreachable(f"Redis did not tell of the fleet within {self._limit_s:g} s.") from None

    def _work(self, pending: Future[Reading]) -> None:
        try:
            began_s = time.monotonic()
            fleet = self._ledger.fleet()
            taken_s = time.time()
            tallies = self._ledger.tallies()
            took_s = time.monotonic() - began_s
            pending.set_result(Reading(fleet, tallies, self._hint.update(fleet), taken_s, took_s))
        except BaseException as error:
            pending.set_exception(error)


class FleetCollector(Collector):
    """The metrics of a fleet; without Redis, only that it cannot be reached."""

    def __init__(self, reader: FleetReader) -> None:
        self._reader = reader
        self._fault: str | None = None

    def collect(self) -> Iterator[Metric]:
        """All metrics, read now."""
        try:
            reading = self._reader.read()
        except LipsyncError as error:
            self._say(str(error))
            yield _redis_up(False)
            return
        self._say(None)
        yield _redis_up(True)
        yield gauge("exporter_read_seconds", "Seconds that reading Redis took for this page.", [((), reading.took_s)])
        yield gauge(
            "redis_clock_offset_seconds",
            "How far the clock of Redis is ahead of that of the exporter's host.",
            [((), reading.fleet.now_s - reading.taken_s)],
        )
        yield gauge(
            "workers_desired",
            "How many workers the fleet should have for what is queued; an autoscaler may follow it.",
            [((), reading.workers_desired)],
        )
        yield from fleet_metrics(reading.fleet, reading.tallies)

    def _say(self, fault: str | None) -> None:
        """A line when Redis leaves and one when it is back, not one for each scrape."""
        if fault and not self._fault:
            log.warning("redis_away", error=fault)
        if self._fault and not fault:
            log.info("redis_back")
        self._fault = fault


def _redis_up(up: bool) -> Metric:
    return gauge("redis_up", "Whether the exporter could read the ledger for this page.", [((), up)])


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no event."""


class _Server(ThreadingWSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who connects and says nothing, or hangs up, is no event either."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


Start = Callable[[str, list[tuple[str, str]]], object]


def make_app(collector: Collector) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """The pages: `/metrics`, and `/healthz`, which answers as long as the exporter itself is well."""
    registry = CollectorRegistry()
    registry.register(collector)
    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start)
            return answer
        status, text = ("200 OK", b"ok\n") if path == "/healthz" else ("404 Not Found", b"The page is /metrics.\n")
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text]

    return app


def serve(settings: Settings, address: str, port: int) -> None:
    """Answer scrapes until SIGTERM or Ctrl-C; port 0 takes one that is free, the log says which.

    Raises:
        Failed: the address or the port cannot be had.
    """
    app = make_app(FleetCollector(FleetReader(settings)))
    kind = _Server6 if ":" in address else _Server
    try:
        server = make_server(address, port, app, kind, _Handler)
    except (OSError, OverflowError) as error:
        raise Failed(
            f"{address}:{port} cannot be listened on ({error}): choose another --address or --port."
        ) from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("exporter_listens", address=address, port=server.server_port)
    with server:
        server.serve_forever()
