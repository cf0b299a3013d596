"""Settings, read once from the environment (`LIPSYNC_*`) into one frozen object and passed down."""

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from infra.errors import Rejected

QUEUE = "render"
"""The queue's name, for those who send, those who work and those who watch."""

Providers = Literal["auto", "cuda", "tensorrt", "cpu"]
Precision = Literal["float32", "float16"]


def default_home() -> Path:
    """The user's own data directory: `$XDG_DATA_HOME/lipsync-fleet`, else `~/.local/share/lipsync-fleet`."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "lipsync-fleet"


def default_cache() -> Path:
    """The user's own cache directory, or a temporary one where there is no home to write to."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "lipsync-fleet"
    home = Path.home()
    return (home / ".cache" if os.access(home, os.W_OK) else Path(tempfile.gettempdir())) / "lipsync-fleet"


class Settings(BaseSettings):
    """Everything an operator may set. With nothing set, client and local fleet meet in the user's data directory."""

    model_config = SettingsConfigDict(env_prefix="LIPSYNC_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    """Where a local fleet keeps Redis' data, the store and its logs."""
    redis_url: SecretStr | None = None
    """`redis://`, `rediss://` (TLS) or `unix://`; unset means the local fleet's own Redis."""
    redis_prefix: str = "lipsync:"
    """Starts every key, so that one ACL rule (`~lipsync:*`) covers queue and ledger."""
    store: str = ""
    """`s3://bucket/prefix` or `file:///dir`; empty means a directory below `home`."""
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_ca_bundle: Path | None = None
    """Certificate authority of a store with its own TLS certificate."""
    cache: Path = Field(default_factory=default_cache)
    """Avatar packs, decoded templates and cut generators, by digest; safe to delete at any time."""
    cache_disk_mb: int = Field(default=20_000, ge=100)
    """The least recently used avatars leave the disk beyond this."""
    warm_avatars: int = Field(default=4, ge=1)
    """Avatars whose sessions stay loaded in one worker; the least recently used leaves first."""
    providers: Providers = "auto"
    device: int = Field(default=0, ge=0)
    """Index of the accelerator that this worker drives."""
    threads: int = Field(default=0, ge=0)
    """Threads of one network run on the CPU; 0 leaves it to ONNX Runtime, which takes one per physical core."""
    batch: int = Field(default=0, ge=0, le=256)
    """Frames in one network run; 0 chooses 1 on the CPU, and on an accelerator what a short run finds fastest."""
    cache_mb: int = Field(default=0, ge=0)
    """Memory, in 10^6 bytes, for what the generator knows of template frames, on the device that renders; 0 takes half
    of what is free on the CPU, and 8 000 on an accelerator."""
    precision: Precision = "float32"
    """In what the generator calculates; halves cost less on GPUs and are off by a grey level here and there."""
    cuda_graphs: bool = False
    """Whether CUDA replays the generator as one recorded graph."""
    avatars: Annotated[tuple[str, ...], NoDecode] = ()
    """Names or digests, separated by commas, that a worker loads and proves before its first task."""
    max_attempts: int = Field(default=3, ge=1)
    """Failed executions of one part of a job before it is quarantined."""
    require_consent: bool = False
    """Whether avatars that show a person need a valid consent record before anything is rendered with them."""
    connect_timeout_s: float = Field(default=5.0, gt=0, le=600)
    scale_target_s: float = Field(default=3600.0, gt=0)
    """Seconds in which the fleet shall be done with what is queued; what the hint of its size aims at."""
    scale_min: int = Field(default=0, ge=0)
    scale_max: int = Field(default=100, ge=1)
    """Bounds of that hint, in workers."""
    scale_hold_s: float = Field(default=300.0, ge=0)
    """For so long fewer workers must have been enough before the hint goes down."""
    remote_control: bool = False
    """Whether workers obey Celery's remote control; whoever reaches Redis could use it."""

    @field_validator("home", "cache")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()  # other processes with other working directories must find them, too

    @field_validator("avatars", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _read_alike_by_ledger_and_queue(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must begin with redis://, rediss:// or unix://")
        if value is not None and not _is_plain(value.get_secret_value()):
            raise ValueError(
                "expected is scheme://user:password@host:port/number, or unix://user:password@/path, with `%2F` for a "
                "slash, `%23` for # and `%3F` for a question mark in the password"
            )
        return value

    @property
    def redis(self) -> str:
        """Address of Redis as redis-py spells it; may contain a password, so never log it."""
        return self.redis_url.get_secret_value() if self.redis_url else f"unix://{quote(str(self.local_socket))}"

    @property
    def broker_url(self) -> str:
        """The same address as Celery spells it."""
        parts = urlsplit(self.redis)
        if parts.scheme != "unix":
            return self.redis
        credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return f"redis+socket://{credentials}{parts.path}"

    @property
    def store_url(self) -> str:
        """Address of the store, the local default filled in."""
        return self.store or (self.home / "store").as_uri()

    @property
    def local_socket(self) -> Path:
        """Unix socket of the local fleet's Redis."""
        return self.home / "redis.sock"


def _is_plain(redis_url: str) -> bool:
    """Whether redis-py and Celery read the same in this address; of options, only those of TLS do."""
    parts = urlsplit(redis_url)
    try:
        port = parts.port
    except ValueError:
        return False
    options = [option for option in parts.query.split("&") if option]
    if parts.fragment or not all(option.startswith("ssl_") for option in options):
        return False
    return port is None if parts.scheme == "unix" else re.fullmatch(r"(/\d*)?", parts.path) is not None


def read_settings() -> Settings:
    """Read the environment.

    Raises:
        Rejected: a variable has a value that cannot be used; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise Rejected(next(iter(_problems(error).values()))) from None


def settings_in_part() -> tuple[Settings, dict[str, str]]:
    """Read the environment, and take the default for each setting that cannot be used.

    Returns:
        The settings, and for the name of each that could not be used a sentence.
    """
    try:
        return Settings(), {}
    except ValidationError as error:
        problems = _problems(error)
    defaults = {name: Settings.model_fields[name].get_default(call_default_factory=True) for name in problems}
    return Settings(**defaults), problems


def _problems(error: ValidationError) -> dict[str, str]:
    """A sentence for each setting that cannot be used."""
    problems = {}
    for found in error.errors():
        name = "_".join(str(part) for part in found["loc"][:1])
        reason = found["msg"].removeprefix("Value error, ")
        problems[name] = f"LIPSYNC_{name.upper()} cannot be used: {reason}."
    return problems
