"""What a scrape costs: `python -m tests.watching.measure` prints a table for 1, 100 and 1 000 jobs on 100 workers."""

import statistics
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from infra.redis_connection import connect
from infra.settings import Settings
from jobs import tallies
from jobs.exporter import FleetCollector, FleetReader
from jobs.fleet_state import WorkerFacts, write_facts
from jobs.ledger import Record
from jobs.ledger_redis import RedisLedger
from tests.servers import redis_server
from tests.watching.test_exporter import open_job

WORKERS, CHUNKS, SCRAPES = 100, 360, 30


def main() -> None:
    """Fill a ledger step by step and scrape it."""
    print(f"{'jobs':>6} {'commands':>9} {'Redis ms':>9} {'scrape ms':>10} {'page KB':>8} {'series':>7}")
    with redis_server() as server:
        settings = Settings(home=Path(), redis_url=server.url)
        ledger, redis = RedisLedger(settings), connect(settings)
        for number in range(WORKERS):
            _worker(ledger, f"gpu{number % 8}@render-{number // 8}")
        registry = CollectorRegistry()
        registry.register(FleetCollector(FleetReader(settings)))
        for before, wanted in ((0, 1), (1, 100), (100, 1000)):
            for number in range(before, wanted):
                _job(ledger, number)
            generate_latest(registry)
            redis.config_resetstat()
            took_ms = []
            for _ in range(SCRAPES):
                began_s = time.perf_counter()
                page = generate_latest(registry)
                took_ms.append((time.perf_counter() - began_s) * 1000)
            stats: dict[str, Any] = redis.info("commandstats")
            asked = [value for name, value in stats.items() if not name.startswith("cmdstat_config")]  # that is ours
            calls = sum(value["calls"] for value in asked) / SCRAPES
            redis_ms = sum(value["usec"] for value in asked) / SCRAPES / 1000  # a script's commands count twice
            lines = sum(not line.startswith(b"#") for line in page.splitlines())
            print(
                f"{wanted:>6} {calls:>9.0f} {redis_ms:>9.1f} {statistics.median(took_ms):>10.1f} "
                f"{len(page) / 1000:>8.0f} {lines:>7}"
            )


def _worker(ledger: RedisLedger, worker: str) -> None:
    told = WorkerFacts(worker, worker.partition("@")[2], version="0.1.0", provider="cuda", device_name="A card")
    ledger.worker_seen(worker, write_facts(told))
    ledger.tally({f"frames_rendered|{worker}": 1000, f"store_errors|{worker}": 1})
    for stage in ("audio_features", "encoder_half", "decoder_half", "paste", "colour_conversion", "encode", "whole"):
        ledger.tally(tallies.observation(tallies.STAGE_S, 3.0, stage))


def _job(ledger: RedisLedger, number: int) -> None:
    """A job of an hour that a worker renders."""
    job = open_job(ledger, CHUNKS)
    ledger.offer(job, 4, 30)
    worker = f"gpu{number % 8}@render-{number % WORKERS // 8}"
    for part in ("0", "1"):
        ledger.finish(job, part, Record(1, "0" * 64, 1000, 25))
    ledger.renew(job, "2", ledger.claim(job, "2", worker).attempt, 7)


if __name__ == "__main__":
    main()
