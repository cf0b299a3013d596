"""What a Redis did between two moments, by its own count."""

from dataclasses import dataclass
from typing import Any

from infra.redis_connection import connect, redis_errors
from infra.settings import Settings


@dataclass(frozen=True)
class RedisUse:
    """Counted since the server started, or between two such counts.

    Attributes:
        commands: all that were executed, those within scripts included.
        scripts: of these, the scripts themselves.
        received_bytes: over the wire, the protocol's own included.
        sent_bytes: likewise.
        cpu_s: time of the processor.
    """

    commands: float
    scripts: float
    received_bytes: float
    sent_bytes: float
    cpu_s: float

    def since(self, earlier: "RedisUse", per: float = 1) -> "RedisUse":
        """What was added, divided by `per`."""
        return RedisUse(
            (self.commands - earlier.commands) / per,
            (self.scripts - earlier.scripts) / per,
            (self.received_bytes - earlier.received_bytes) / per,
            (self.sent_bytes - earlier.sent_bytes) / per,
            (self.cpu_s - earlier.cpu_s) / per,
        )

    @property
    def bytes(self) -> float:
        """In both directions."""
        return self.received_bytes + self.sent_bytes

    def document(self) -> dict[str, float]:
        """JSON types."""
        return {
            "commands": round(self.commands, 2),
            "scripts": round(self.scripts, 2),
            "bytes": round(self.bytes),
            "redis_cpu_us": round(self.cpu_s * 1e6, 1),
        }

    def text(self) -> str:
        """`36.1 commands, 6 of them scripts, 4 012 bytes, 350 µs of Redis`."""
        return (
            f"{self.commands:.1f} commands, {self.scripts:.1f} of them scripts, {self.bytes:,.0f} bytes, "
            f"{self.cpu_s * 1e6:.0f} µs of Redis"
        )


def redis_use(settings: Settings) -> RedisUse:
    """Ask the server; the asking itself counts for a command or two."""
    client: Any = connect(settings)
    with redis_errors(settings), client:
        calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
        figures = client.info("stats") | client.info("cpu")
    return RedisUse(
        commands=sum(calls.values()),
        scripts=calls.get("cmdstat_evalsha", 0),
        received_bytes=figures["total_net_input_bytes"],
        sent_bytes=figures["total_net_output_bytes"],
        cpu_s=figures["used_cpu_user"] + figures["used_cpu_sys"],
    )
