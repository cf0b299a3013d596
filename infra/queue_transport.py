"""Kombu's Redis transport, which outlives what is no message.

Whatever else lies in the queue's list (text, another program's data) would raise in the worker's event loop and end the
worker. Here it is dropped with a line in the log; it is off the list already.
"""

from queue import Empty
from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)


class Channel(redis.Channel):
    """Reads messages and passes over the rest."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs leave it out
        except (ValueError, TypeError, KeyError) as error:  # not JSON, or JSON that is no message
            log.error("message_refused", error=f"The queue held what is no message ({type(error).__name__}).")
            raise Empty from None


class Transport(redis.Transport):
    """The transport of all addresses that begin with `redis` or `rediss`."""

    Channel = Channel


def install() -> None:
    """Have Kombu use this transport, which it finds by the scheme of an address."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
