"""Draining with a real worker, and the fleet as the command line shows it."""

import json

from jobs.control import cancel_job
from jobs.states import JobState
from tests.fleet.conftest import FleetUnderTest
from tests.servers import wait_until


def shown(fleet: FleetUnderTest) -> dict[str, object]:
    document = json.loads(fleet.cli("fleet", "--json").stdout)
    assert isinstance(document, dict)
    return document


def test_a_drained_host_finishes_its_part_takes_no_other_and_goes_on_when_it_is_resumed(fleet: FleetUnderTest) -> None:
    fleet.start_worker("w")
    (host,) = [host["host"] for host in shown(fleet)["hosts"]]  # type: ignore[attr-defined]
    job = fleet.submit(240.0, chunk_frames=100)
    wait_until(lambda: fleet.holds_a_claim("w", job, 60), 30, "the worker to hold a chunk")
    assert fleet.cli("fleet", "drain", host, "--wait", "60s").stdout == f"{host} is drained; it holds no part\n"
    stopped_at = fleet.status(job)
    assert stopped_at.chunks_done >= 1  # what it held, it finished
    assert stopped_at.state is JobState.RUNNING

    wait_until(lambda: "host_drained" in fleet.log("w"), 30, "the worker to leave the queue")

    def offered() -> bool:
        fleet.fleet.dispatch()
        return fleet.fleet.ledger.queue_depth() > 0

    wait_until(offered, 30, "messages that nobody takes")
    document = shown(fleet)
    assert document["drained_hosts"] == [host]
    assert fleet.fleet.ledger.queue_depth() > 0  # there they stay
    assert fleet.status(job).chunks_done == stopped_at.chunks_done

    fleet.cli("fleet", "resume", host)
    wait_until(lambda: fleet.status(job).chunks_done > stopped_at.chunks_done, 30, "the worker to go on")
    assert fleet.log("w").count("host_resumed") == 1
    cancel_job(job, fleet.fleet.ledger, fleet.fleet.store)


def test_the_fleet_shows_what_a_worker_is_and_how_fast_it_was(fleet: FleetUnderTest) -> None:
    fleet.start_worker("w")
    fleet.finished(fleet.submit(4.0))
    told = fleet.fleet.ledger.tallies  # ten chunks, the audio track, the assembly
    wait_until(lambda: told().get("parts_ended|recorded") == 12, 30, "the worker to have told of every part")
    wait_until(lambda: fleet.fleet.ledger.fleet().pace_fps, 30, "the worker's next pulse")
    counted = told()
    (worker,) = fleet.fleet.ledger.fleet().workers
    facts = worker.facts
    assert (facts.provider, facts.version, worker.state) == ("cpu", "0.1.0", "idle")
    assert facts.device_name and facts.pace_fps and facts.cold_start_s and facts.memory_bytes and facts.cache_free_bytes
    assert facts.cold_start_s < 60
    assert counted[f"frames_rendered|{facts.worker}"] == 100
    assert counted[f"worker_starts|{facts.host}"] == 1
    assert counted["parts_ended|recorded"] == 12
    text = fleet.cli("fleet").stdout
    assert "1 worker, 0 busy" in text and " idle " in text


def test_a_host_that_nobody_knows_is_not_drained(fleet: FleetUnderTest) -> None:
    refused = fleet.cli("fleet", "drain", "nowhere", code=2)
    assert refused.stderr.startswith("lipsync: There is no host 'nowhere' in this fleet; known are: none.")
    assert fleet.fleet.ledger.drained() == frozenset()
