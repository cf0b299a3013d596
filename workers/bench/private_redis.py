"""A Redis and a store for one benchmark, in a folder that vanishes with them; no other fleet is touched."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from infra.embedded_redis import find_redis_server, redis_command, wait_for_redis
from infra.processes import end_with_parent
from infra.settings import Settings
from jobs.scratch import scratch_folder

STOP_TIMEOUT_S = 10.0


@contextmanager
def private_redis() -> Iterator[Settings]:
    """Start a Redis as a local fleet does, and stop it at the end.

    Yields:
        Settings of a fleet on it, whose store is an empty folder; what the environment says of other fleets is not
        heard.

    Raises:
        Failed: there is no redis-server, or it does not start.
    """
    with scratch_folder() as folder:
        socket = folder / "redis.sock"
        with (folder / "redis.log").open("wb") as log:
            server = subprocess.Popen(
                redis_command(find_redis_server(), folder, socket),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509  (no threads run yet)
            )
        try:
            wait_for_redis(socket, server)
            yield Settings.model_validate(
                {"home": folder, "redis_url": f"unix://{socket}", "store": (folder / "store").as_uri()}
            )
        finally:
            server.terminate()
            server.wait(STOP_TIMEOUT_S)
