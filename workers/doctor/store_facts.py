"""The store as the fleet uses it: each operation is tried for real on one small object that no key can name."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from infra.errors import LipsyncError
from infra.object_store import ObjectStore, open_store
from infra.s3_errors import FOREIGN, error_code, s3_error
from infra.settings import Settings
from infra.store_s3 import S3Store
from workers.doctor.certificates import Certificate, probe_certificate

WAIT_S: Final = 3.0
DENIED: Final = frozenset({"403", "AccessDenied", "AllAccessDisabled"})
SCRATCH: Final = "doctor"
"""Folder of a scratch object in a directory; in S3 its name begins with a dot, as no key's does."""
_CONTENT: Final = b"tried by the doctor"


@dataclass
class StoreProbe:
    """What came of using the store.

    Attributes:
        done: operations that worked.
        denied: permissions that are missing, by the names that S3 has for them.
        differing: operations whose answer was not what had been stored.
        problem: what ended the attempt, None when nothing did.
        skew_s: by how much the store's clock is ahead of this host's, to a second.
        seconds: that all of it took.
        certificate: of its server.
    """

    done: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    problem: LipsyncError | None = None
    skew_s: float | None = None
    seconds: float = 0.0
    certificate: Certificate | None = None


def probe_store(settings: Settings) -> StoreProbe:
    """Use the store, within a bounded time."""
    probe = StoreProbe()
    patient = settings.model_copy(update={"connect_timeout_s": min(settings.connect_timeout_s, WAIT_S)})
    start_s = time.monotonic()
    try:
        store = open_store(patient)
        if isinstance(store, S3Store):
            _try_s3(store, patient, probe)
        else:
            _try_directory(store, probe)
    except LipsyncError as problem:
        probe.problem = problem
    probe.seconds = time.monotonic() - start_s
    return probe


def _try_directory(store: ObjectStore, probe: StoreProbe) -> None:
    store.check()
    key = f"{SCRATCH}/{uuid4().hex}"
    try:
        store.put(key, _CONTENT)
        probe.done.append("put")
        probe.skew_s = Path(store.location(key)).stat().st_mtime - time.time()  # a file server's own clock
        for name, want, read in (
            ("get", _CONTENT, lambda: store.get(key)),
            ("range", _CONTENT[3:8], lambda: store.get_range(key, 3, 8)),
            ("list", key, lambda: next((info.key for info in store.list(f"{SCRATCH}/") if info.key == key), "")),
        ):
            (probe.done if read() == want else probe.differing).append(name)
    finally:
        store.delete(key)
    probe.done.append("delete")


def _try_s3(store: S3Store, settings: Settings, probe: StoreProbe) -> None:
    client: Any  # typed, it takes no keywords out of a dict
    client, bucket, prefix = store.probing_client()
    probe.certificate = _certificate(client.meta.endpoint_url, settings)
    if probe.certificate and probe.certificate.problem:
        return
    name = f"{prefix}.doctor-{uuid4().hex}"
    place = {"Bucket": bucket, "Key": name}

    def attempt(operation: str, permission: str, call: Callable[[], Any]) -> Any:
        start_s = time.time()
        try:
            answer = call()
        except FOREIGN as refused:
            if error_code(refused) not in DENIED:
                raise s3_error(f"Trying to {operation} in {store.url}", bucket, refused) from refused
            if permission not in probe.denied:
                probe.denied.append(permission)
            return None
        if probe.skew_s is None and isinstance(answer, dict):
            probe.skew_s = _skew(answer, start_s)
        probe.done.append(operation)
        return answer

    def read(**more: str) -> Any:
        answer = client.get_object(**place, **more)
        return answer | {"Body": answer["Body"].read()}

    def compare(operation: str, answer: Any, want: bytes) -> None:
        if answer is not None and answer["Body"] != want:
            probe.done.remove(operation)
            probe.differing.append(operation)

    attempt("list", "s3:ListBucket", lambda: client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1))
    try:
        if attempt("put", "s3:PutObject", lambda: client.put_object(**place, Body=_CONTENT)) is None:
            return  # what is not there cannot be read
        compare("get", attempt("get", "s3:GetObject", read), _CONTENT)
        ranged = attempt("range", "s3:GetObject", lambda: read(Range="bytes=3-7"))
        compare("range", ranged, _CONTENT[3:8])
        upload = attempt("multipart", "s3:PutObject", lambda: _begin_parts(client, place))
        if upload is not None:
            attempt("abort", "s3:AbortMultipartUpload", lambda: client.abort_multipart_upload(**place, UploadId=upload))
    finally:
        attempt("delete", "s3:DeleteObject", lambda: client.delete_object(**place))


def _begin_parts(client: Any, place: dict[str, str]) -> str:
    upload = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, UploadId=upload, PartNumber=1, Body=_CONTENT)
    return str(upload)


def _skew(answer: dict[str, Any], start_s: float) -> float | None:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    with suppress(TypeError, ValueError):
        return parsedate_to_datetime(date).timestamp() + 0.5 - (start_s + time.time()) / 2  # it has whole seconds
    return None


def _certificate(endpoint: str, settings: Settings) -> Certificate | None:
    parts = urlsplit(endpoint)
    if parts.scheme != "https":
        return None
    authorities = settings.s3_ca_bundle or _path(os.environ.get("AWS_CA_BUNDLE"))
    try:
        return probe_certificate(parts.hostname or "", parts.port or 443, authorities, settings.connect_timeout_s)
    except OSError:
        return None  # it may be reached through a proxy; if not, the client says so


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
