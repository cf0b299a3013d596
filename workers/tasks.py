"""What happens when a doorbell rings: check the message, claim the part, do it, record it, ring for what comes next."""

import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from infra.errors import ClaimLost, LipsyncError, Rejected, Transient
from infra.media_codecs import encoding_problem
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs import keys
from jobs.assemble import assemble_video, encode_audio_track
from jobs.ledger import FAILURE_WEIGHT, HANDED_BACK_WEIGHT, TRANSIENT_WEIGHT, Claim, Ledger, Record
from jobs.manifest import Manifest
from jobs.messages import part_of
from jobs.states import ASSEMBLE_PART, AUDIO_PART
from jobs.status import status_from_view
from workers.claims import ClaimKeeper
from workers.job_reader import JobReader
from workers.pipeline import Painted
from workers.reporting import Reporter
from workers.segment import store_segment
from workers.stopwatch import Stopwatch
from workers.warm import WarmAvatars

log = structlog.get_logger(__name__)

FIRST_DELAY_S = 1.0
OTHERS, RECORDED, AGAIN, HANDED_BACK = "others", "recorded", "again", "handed_back"
RECORD_PATIENCE_S = 300.0
RECORD_AGAIN_S = 1.0


class _LeftToOthers(LipsyncError):
    """This worker cannot do the part, another one may."""


@dataclass
class PartRunner:
    """Does parts of jobs for one worker process."""

    settings: Settings
    store: ObjectStore
    ledger: Ledger
    avatars: WarmAvatars
    name: str
    dispatch: Callable[[list[str]], int]
    """Rings for what these jobs need next."""
    reporter: Reporter
    reader: JobReader = field(init=False)
    _left: str = ""
    """The job that was left to others last: to say so once is enough."""

    def __post_init__(self) -> None:
        self.reader = JobReader(self.ledger, self.store)

    def answer(self, task: str, payload: dict[str, Any]) -> str:
        """Handle one message. Nothing that a message or a job can contain makes this raise, save a lost connection.

        Returns:
            What came of it, for the log and for Flower: a claim's verdict, or what the ledger said in the end.
        """
        try:
            job, part = part_of(task, payload)
        except Rejected as error:
            log.error("message_refused", error=str(error))
            return "refused"
        with structlog.contextvars.bound_contextvars(job_id=job, part=part):
            try:
                claim = self.ledger.claim(job, part, self.name)
            except Transient as error:  # the message is used up; the dispatcher rings again
                log.warning("part_left", verdict="unreachable", error=str(error))
                return "unreachable"
            if not claim.granted:
                log.info("part_left", verdict=claim.verdict)
                return claim.verdict
            return self._work(job, part, claim)

    def _work(self, job: str, part: str, claim: Claim) -> str:
        keeper = ClaimKeeper(self.ledger, job, part, claim.attempt)
        before = signal.signal(signal.SIGTERM, lambda *_: keeper.hand_back())
        frames = 0
        try:
            with keeper:
                record = self._do(self.reader.manifest(job), part, claim.attempt, keeper)
                verdict = self._finish(job, part, record)
                frames = record.frames if verdict == RECORDED else 0
        except _LeftToOthers as error:
            verdict = self._leave(job, part, claim, str(error))
        except ClaimLost as error:
            weight = HANDED_BACK_WEIGHT if keeper.handed_back else None
            verdict = self._give_back(job, part, claim, str(error), weight)
        except Transient as error:
            verdict = self._give_back(job, part, claim, str(error), TRANSIENT_WEIGHT)
        except LipsyncError as error:
            verdict = self._give_back(job, part, claim, str(error), FAILURE_WEIGHT)
        except SoftTimeLimitExceeded:
            reason = f"Part {part} took too long and was stopped; a smaller --chunk-frames makes chunks shorter."
            verdict = self._give_back(job, part, claim, reason, FAILURE_WEIGHT)
        except Exception as error:
            log.exception("part_crashed")
            reason = f"An unexpected {type(error).__name__} while working on part {part}: {error}"
            verdict = self._give_back(job, part, claim, reason, FAILURE_WEIGHT)
        finally:
            signal.signal(signal.SIGTERM, before)
        if verdict != OTHERS:  # that comes every second while no other worker is there
            log.info("part_ended", attempt=claim.attempt, verdict=verdict)
            self.reporter.ended(HANDED_BACK if keeper.handed_back and verdict == AGAIN else verdict, frames)
        with suppress(Transient):  # the next beat of any worker dispatches
            self.dispatch([job])
        if keeper.handed_back:
            raise SystemExit(0)  # the pool that sent the signal waits for this process to end
        return verdict

    def _do(self, manifest: Manifest, part: str, attempt: int, keeper: ClaimKeeper) -> Record:
        if part == AUDIO_PART:
            return encode_audio_track(manifest, attempt, self.store, keeper.check)
        if part == ASSEMBLE_PART:
            records = self.ledger.records(manifest.job)
            return assemble_video(manifest, records, attempt, self.store, keeper.check)
        self._demand_codec(manifest)
        frames = manifest.span(int(part))
        avatar = self.avatars.get(manifest.avatar)
        stopwatch, start_s = Stopwatch(), time.monotonic()

        def painted(face: Painted) -> None:
            self.reporter.frame()
            keeper.check(face.frame - frames.start)

        record = store_segment(
            manifest,
            frames,
            avatar,
            partial(self.reader.audio, manifest),
            self.store,
            keys.segment(manifest.job, int(part), attempt),
            attempt,
            painted,
            self.settings,
            stopwatch,
        )
        keeper.check(frames.size)
        self.reporter.chunk(frames.size, time.monotonic() - start_s, stopwatch)
        log.info("chunk_rendered", frames=frames.size, **stopwatch.summary())
        return record

    def _demand_codec(self, manifest: Manifest) -> None:
        """Let others render what this worker could not encode."""
        codec = manifest.encoding.codec
        problem = encoding_problem(codec, self.settings.device)
        if problem is None:
            return
        if self._left != manifest.job:
            log.warning("job_left_to_others", codec=codec, reason=problem)
            self._left = manifest.job
        raise _LeftToOthers(f"The job waits for a worker that can encode with {codec}; on {self.name}: {problem}")

    def _finish(self, job: str, part: str, record: Record) -> str:
        if part != ASSEMBLE_PART:
            return self._record(job, part, record)
        output = self.store.location(keys.video(job))
        result = {"job_id": job, "output": output, "sha256": record.sha256, "bytes": record.size}
        self.store.put(keys.result(job), json.dumps(result).encode())
        verdict = self._record(job, part, record, output)
        if verdict == "cancelled":  # between the last check and now: what nobody wants is not published
            self.store.delete(keys.result(job))
            self.store.delete(keys.video(job))
        view = self.ledger.view(job)
        if view is not None:
            status = status_from_view(view)
            log.info("job_ended", state=str(status.state), frames=status.frames_total, fps=status.fps)
        return verdict

    def _record(self, job: str, part: str, record: Record, output: str | None = None) -> str:
        """Tell the ledger what was finished, with patience: the work is done, and to say so twice does no harm."""
        give_up_s = time.monotonic() + RECORD_PATIENCE_S
        while True:
            try:
                return self.ledger.finish(job, part, record, output)
            except Transient as error:
                if time.monotonic() > give_up_s:
                    raise
                log.warning("finish_not_recorded", error=str(error))
                time.sleep(RECORD_AGAIN_S)

    def _leave(self, job: str, part: str, claim: Claim, reason: str) -> str:
        """Return a part that another worker may do, and that this one has done nothing for."""
        try:
            return self.ledger.leave(job, part, claim.attempt, reason)
        except Transient:  # the claim runs out by itself
            return "unreachable"

    def _give_back(self, job: str, part: str, claim: Claim, reason: str, weight: int | None) -> str:
        """Return a part to the ledger; with no weight, it was not ours any more."""
        if weight is None:
            log.info("claim_lost", reason=reason)
            return "lost"
        log.warning("part_failed", attempt=claim.attempt, error=reason)
        try:
            return self.ledger.fail(job, part, claim.attempt, reason, weight, FIRST_DELAY_S)
        except Transient:  # the claim runs out by itself
            return "unreachable"
