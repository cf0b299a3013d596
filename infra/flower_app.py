"""Flower on the fleet's queue: `python -m infra.flower_app --port 5555`, loopback unless told otherwise."""

import argparse

from infra.celery_app import make_celery_app
from infra.settings import QUEUE, read_settings


def main() -> None:
    """Run Flower with the fleet's own settings, so that it decodes the broker's keys as the workers do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5555)
    given = parser.parse_args()
    app = make_celery_app(read_settings(), QUEUE)
    app.start(["flower", f"--address={given.address}", f"--port={given.port}", "--inspect_timeout=1000"])


if __name__ == "__main__":
    main()
