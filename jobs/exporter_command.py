"""The command `lipsync exporter`."""

from typing import Annotated

import typer


def exporter(
    address: Annotated[str, typer.Option("--address", help="Where to listen; it has no password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 9108,
) -> None:
    """Show the fleet to Prometheus, until it is stopped."""
    from infra.logs import configure_logs
    from infra.settings import read_settings
    from jobs.exporter import serve

    settings = read_settings()
    configure_logs()
    serve(settings, address, port)
