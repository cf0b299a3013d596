"""The Celery application: one place for all settings of queue and workers, for producers and workers alike."""

import ssl
from typing import Any

import celery
from kombu.exceptions import OperationalError

from infra import queue_transport
from infra.errors import Unreachable
from infra.redis_connection import HEALTH_CHECK_S, masked
from infra.settings import Settings

VISIBILITY_TIMEOUT_S = 300
"""After so long an unacknowledged message is delivered again; above the longest chunk and its upload."""
CHUNK_TIME_LIMIT_S = 280
"""A chunk that takes longer hangs; below the visibility timeout."""
SOFT_MARGIN_S = 20
"""So long before the hard limit a part is told, so that it can fail in order; the hard one kills the process."""
LONG_TIME_LIMIT_S = 6 * 3600
"""For parts that grow with the video; redelivery finds them claimed and leaves quietly."""
MODEL_LOAD_LIMIT_S = 600.0
SOCKET_TIMEOUT_S = 30.0


def make_celery_app(settings: Settings, queue: str) -> celery.Celery:
    """An application that talks JSON only, keeps no results, and acknowledges a message when its work is done."""
    queue_transport.install()
    app = celery.Celery("lipsync", broker=settings.broker_url)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        event_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=queue,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_proc_alive_timeout=MODEL_LOAD_LIMIT_S,
        worker_enable_remote_control=settings.remote_control,
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_use_ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED} if settings.redis.startswith("rediss:") else None,
        broker_connection_timeout=settings.connect_timeout_s,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_keepalive": not settings.redis.startswith("unix:"),
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": settings.connect_timeout_s,
            "health_check_interval": HEALTH_CHECK_S,
            "global_keyprefix": settings.redis_prefix,
        },
    )
    return app


def send(app: celery.Celery, settings: Settings, task: str, payload: dict[str, Any]) -> None:
    """Put one message on the queue, within a bounded time.

    Raises:
        Unreachable: the queue did not take it.
    """
    try:
        app.send_task(
            task,
            kwargs=payload,
            retry=True,
            retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_step": 0.4, "interval_max": 1.0},
        )
    except (OperationalError, OSError) as error:
        raise Unreachable(f"The queue on Redis at {masked(settings.redis)} did not take a message: {error}") from error
