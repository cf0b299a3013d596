"""The object store in S3 or a server that speaks its protocol (MinIO, Ceph, OpenStack Swift).

An upload in parts that a killed worker left unfinished shows in no listing but costs space: give the bucket a lifecycle
rule that aborts incomplete multipart uploads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from infra.errors import Failed, NotFound, Rejected
from infra.object_store import (
    ObjectInfo,
    checked_folder,
    checked_key,
    checked_prefix,
    checked_range,
    checked_validity,
    is_key,
    too_short,
)
from infra.s3_errors import ABSENT, BEYOND, FOREIGN, error_code, s3_error
from infra.settings import Settings
from infra.store_directory import file_error

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef as CompletedPart
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef as ObjectIdentifier

_PART_BYTES = 8 << 20  # S3 wants 5 MiB at least; with 8, what waits or travels at one time stays below 50 MiB
_PARTS_AT_ONCE = 4
_MAX_PARTS = 10_000  # S3's limit: a stream of unknown length may have 78 GiB
_TRANSFER = TransferConfig(
    multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
)

_READ_TIMEOUT_S = 60.0
_ATTEMPTS = 5
# `check` answers within about 15 s with the default connect timeout of 5 s.
_CHECK_READ_TIMEOUT_S = 5.0
_CHECK_ATTEMPTS = 2


def _connect(settings: Settings, read_timeout_s: float, attempts: int) -> S3Client:
    """A client, not yet connected; it may be shared by threads but not by processes."""
    bundle = settings.s3_ca_bundle
    if bundle is not None and not bundle.is_file():
        raise Rejected(f"LIPSYNC_S3_CA_BUNDLE cannot be used: there is no file {bundle}.")
    config = Config(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        signature_version="s3v4",  # addresses would be signed in an older way, which newer regions refuse
        # Host names such as bucket.127.0.0.1 resolve nowhere.
        s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        max_pool_connections=4 * _PARTS_AT_ONCE,
        # Checksums in trailers are younger than many servers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            verify=None if bundle is None else str(bundle),
            config=config,
        )
    except ValueError:
        raise Rejected("LIPSYNC_S3_ENDPOINT cannot be used: write https://host or https://host:port.") from None


class S3Store:
    """Objects of one bucket whose names begin with `prefix`. The methods are explained in `ObjectStore`."""

    page_keys = 1000
    """Keys in one page of a listing; S3 gives and deletes no more at a time."""

    def __init__(self, bucket: str, prefix: str, settings: Settings):
        """Prepare a client.

        Args:
            bucket: its name.
            prefix: empty, or ends with `/`.
            settings: endpoint, region, certificate authority and connect timeout.

        Raises:
            Rejected: the endpoint or the certificate authority cannot be used.
            Failed: the AWS configuration is broken.
        """
        self._bucket = bucket
        self._prefix = prefix
        self._settings = settings
        with self._speaking("Opening the store"):
            self._client = _connect(settings, _READ_TIMEOUT_S, _ATTEMPTS)

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".removesuffix("/")

    def location(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return f"s3://{self._bucket}/{self._name(key)}"

    def download_url(self, key: str, valid_s: int) -> str:
        """An address signed with this process' credentials."""
        with self._speaking(f"Signing an address of {self.location(key)}"):
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": self._name(key)},
                ExpiresIn=checked_validity(valid_s),
            )

    def put(self, key: str, data: bytes) -> None:
        """Store `data` in one request."""
        with self._speaking(f"Writing {self.location(key)}"):
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data)

    def put_file(self, key: str, path: Path) -> None:
        """Store the content of a file; large ones travel in parts, whose size grows with the file."""
        with self._speaking(f"Storing {path} as {self.location(key)}"), path.open("rb") as file:
            self._client.upload_fileobj(file, self._bucket, self._name(key), Config=_TRANSFER)

    def put_stream(self, key: str, blocks: Iterable[bytes]) -> int:
        """Store the blocks, in parts unless less than one part came; errors of `blocks` pass unchanged.

        The transfer manager would run `blocks` in a thread of its own, where nothing could interrupt it; here it runs
        in the caller's, ahead of at most four parts under way.
        """
        name = self._name(key)
        parts: Iterator[bytearray] = _parts(blocks)
        first = next(parts, bytearray())
        if len(first) < _PART_BYTES:
            self.put(key, bytes(first))
            return len(first)
        parts = chain((first,), parts)
        del first  # else its 8 MiB would stay to the end
        writing = f"Writing {self.location(key)}"
        with self._speaking(writing):
            upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=name)["UploadId"]

        def send(number: int, part: bytearray) -> CompletedPart:
            with self._speaking(writing):
                answer = self._client.upload_part(
                    Bucket=self._bucket,
                    Key=name,
                    UploadId=upload,
                    PartNumber=number,
                    Body=part,  # type: ignore[arg-type]  # the stubs forget bytearray
                )
            return {"PartNumber": number, "ETag": answer["ETag"]}

        try:
            size = 0
            sent: list[Future[CompletedPart]] = []
            with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
                for number, part in enumerate(parts, 1):
                    if number > _MAX_PARTS:
                        raise Failed(f"{writing} failed: a stream may have {_MAX_PARTS} parts of 8 MiB; shorten it.")
                    if number > _PARTS_AT_ONCE:
                        sent[number - _PARTS_AT_ONCE - 1].result()
                    sent.append(pool.submit(send, number, part))
                    size += len(part)
            with self._speaking(writing):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=name,
                    UploadId=upload,
                    MultipartUpload={"Parts": [future.result() for future in sent]},
                )
        except BaseException:
            with suppress(*FOREIGN):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=name, UploadId=upload)
            raise
        return size

    def get(self, key: str) -> bytes:
        """The whole object."""
        with self._reading(key):
            return self._client.get_object(Bucket=self._bucket, Key=self._name(key))["Body"].read()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Exactly the bytes `[start, stop)`."""
        length = checked_range(start, stop)
        with self._reading(key):
            if not length:  # the protocol has no way to ask for nothing
                self._client.head_object(Bucket=self._bucket, Key=self._name(key))
                return b""
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._name(key), Range=f"bytes={start}-{stop - 1}"
                )
            except ClientError as error:
                if error_code(error) in BEYOND:
                    raise too_short(self.location(key), stop) from error
                raise
            data = answer["Body"].read()
        if len(data) != length:
            raise too_short(self.location(key), stop)
        return data

    def get_file(self, key: str, path: Path) -> None:
        """Copy the object to `path`; the transfer manager renames it into place."""
        with self._reading(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._client.download_file(self._bucket, self._name(key), str(path), Config=_TRANSFER)

    def size(self, key: str) -> int | None:
        """Length in bytes, None when absent."""
        try:
            with self._reading(key):
                return self._client.head_object(Bucket=self._bucket, Key=self._name(key))["ContentLength"]
        except NotFound:
            return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`; S3 sorts by the bytes of UTF-8, as Python sorts strings."""
        start = f"{self._prefix}{checked_prefix(prefix)}"
        with self._speaking(f"Listing s3://{self._bucket}/{start}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=start, PaginationConfig={"PageSize": self.page_keys}
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._prefix)
                    if is_key(key):
                        yield ObjectInfo(key, found["Size"])

    def delete(self, key: str) -> None:
        """Delete the object."""
        with self._speaking(f"Deleting {self.location(key)}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def delete_prefix(self, prefix: str) -> None:
        """Delete all objects below a prefix that ends with `/`, page by page."""
        deleting = f"Deleting s3://{self._bucket}/{self._prefix}{checked_folder(prefix)}"
        names: Iterator[ObjectIdentifier] = ({"Key": self._name(info.key)} for info in self.list(prefix))
        while page := list(islice(names, self.page_keys)):
            with self._speaking(deleting):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": page, "Quiet": True})
                for refused in answer.get("Errors", ()):
                    raise ClientError({"Error": {"Code": refused.get("Code", "")}}, "DeleteObjects")

    def check(self) -> None:
        """List, write, read and delete, with a client that gives up sooner than the one that works."""
        with self._speaking(f"Checking the store {self.url}"):
            client = _connect(self._settings, _CHECK_READ_TIMEOUT_S, _CHECK_ATTEMPTS)
            client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
            probe = f"{self._prefix}.probe-{uuid4().hex}"  # no key begins with a dot
            client.put_object(Bucket=self._bucket, Key=probe, Body=probe.encode())
            found = client.get_object(Bucket=self._bucket, Key=probe)["Body"].read()
            client.delete_object(Bucket=self._bucket, Key=probe)
            if found != probe.encode():
                raise ResponseParserError("what was written does not come back")

    def probing_client(self) -> tuple[S3Client, str, str]:
        """A client that gives up sooner than the one that works, bucket and prefix: for who examines the store."""
        with self._speaking("Opening the store"):
            return _connect(self._settings, _CHECK_READ_TIMEOUT_S, _CHECK_ATTEMPTS), self._bucket, self._prefix

    def _reading(self, key: str) -> AbstractContextManager[None]:
        location = self.location(key)
        return self._speaking(f"Reading {location}", absent=f"There is no object {location}.")

    def _name(self, key: str) -> str:
        return f"{self._prefix}{checked_key(key)}"

    @contextmanager
    def _speaking(self, doing: str, absent: str = "") -> Iterator[None]:
        """Translate errors; with `absent`, a missing object is `NotFound` with that sentence."""
        try:
            yield
        except FOREIGN as error:
            if absent and error_code(error) in ABSENT:
                raise NotFound(absent) from error
            raise s3_error(doing, self._bucket, error) from error
        except OSError as error:  # a file of this machine
            raise file_error(doing, error) from error


def _parts(blocks: Iterable[bytes]) -> Iterator[bytearray]:
    """The same bytes in parts of 8 MiB; the last one, shorter, may be missing."""
    part = bytearray()
    for block in blocks:
        view = memoryview(block)
        while view:
            room = _PART_BYTES - len(part)
            part += view[:room]
            view = view[room:]
            if len(part) == _PART_BYTES:
                yield part
                part = bytearray()
    if part:
        yield part
