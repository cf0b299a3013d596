"""One Redis client per process, with bounded waits, and the translation of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from infra.errors import Failed, Unreachable
from infra.settings import Settings

HEALTH_CHECK_S = 10


def connect(settings: Settings) -> redis.Redis:
    """A client that has not connected yet; `redis_errors` belongs around every use of it."""
    return redis.Redis.from_url(
        settings.redis,
        decode_responses=True,
        socket_connect_timeout=settings.connect_timeout_s,
        socket_timeout=settings.connect_timeout_s,  # all commands are short: an answer is due as soon as a connection
        health_check_interval=HEALTH_CHECK_S,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), 1),  # redis-py nests retries: one here is three in all
        **({} if settings.redis.startswith("unix:") else {"socket_keepalive": True}),
    )


def masked(url: str) -> str:
    """An address fit for messages and logs: the password is replaced."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = parts.netloc if parts.password is None else f"{parts.username or ''}:***@{host}"
    return f"{parts.scheme}://{netloc}{parts.path}"


@contextmanager
def redis_errors(settings: Settings) -> Iterator[None]:
    """Translate redis-py's exceptions.

    Raises:
        Unreachable: no answer within the bounded wait, or a server that is starting or full.
        Failed: the server refuses us; somebody must look.
    """
    address = masked(settings.redis)
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise Failed(f"Redis at {address} refuses this user: {error}. Check LIPSYNC_REDIS_URL.") from error
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError, OSError) as error:
        hint = "start a local fleet with `lipsync up`, or set LIPSYNC_REDIS_URL"
        if "certificate" in str(error).lower():
            hint = (
                "its TLS certificate was not accepted; name its authority with ?ssl_ca_certs=FILE in LIPSYNC_REDIS_URL"
            )
        raise Unreachable(f"Redis at {address} cannot be reached ({type(error).__name__}): {hint}.") from error
    except redis.exceptions.ReadOnlyError as error:
        raise Unreachable(f"Redis at {address} takes no writes: it is a replica, or about to fail over.") from error
    except redis.exceptions.OutOfMemoryError as error:
        raise Unreachable(f"Redis at {address} is out of memory; give it more or wait until jobs end.") from error
    except redis.RedisError as error:
        raise Failed(f"Redis at {address} answered with an error: {error}") from error
