"""A process' hold on the fleet: its store, its ledger and its queue. Nothing connects before it is used."""

from dataclasses import dataclass
from functools import cached_property

import celery

from infra.celery_app import make_celery_app, send
from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from jobs import keys
from jobs.dispatch import dispatch
from jobs.ledger_redis import RedisLedger
from jobs.messages import message_for


@dataclass(frozen=True)
class Fleet:
    """What submitting clients and workers share."""

    settings: Settings

    @cached_property
    def store(self) -> ObjectStore:
        """The object store."""
        return open_store(self.settings)

    @cached_property
    def ledger(self) -> RedisLedger:
        """The ledger."""
        return RedisLedger(self.settings)

    @cached_property
    def app(self) -> celery.Celery:
        """The queue's application; workers add their tasks to it."""
        return make_celery_app(self.settings, keys.QUEUE)

    def ring(self, job: str, part: str) -> None:
        """Put the message for a part on the queue."""
        task, payload = message_for(job, part)
        send(self.app, self.settings, task, payload)

    def dispatch(self, jobs: list[str] | None = None) -> int:
        """Ring for everything that is due, of these jobs or of all."""
        return dispatch(self.ledger, self.ring, self.ledger.queue_depth(), jobs)

    def check(self) -> None:
        """Find out whether Redis and the store can be reached, within a bounded wait.

        Raises:
            Unreachable: one of them cannot.
            Failed: one of them refuses us.
        """
        self.ledger.ping()
        self.store.check()
