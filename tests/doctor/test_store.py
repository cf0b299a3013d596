"""The doctor before real stores: a directory, moto, which enforces policies, and Swift, which checks signatures."""

import json
import socket
import time
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import boto3
import pytest

from infra.settings import Settings
from tests.servers import S3Server, free_port, moto_server
from workers.doctor.clocks import judge_clock
from workers.doctor.outcome import Outcome
from workers.doctor.store_facts import StoreProbe, probe_store
from workers.doctor.store_verdicts import judge_store


def examined(settings: Settings) -> Outcome:
    return judge_store(probe_store(settings), settings, settings.store_url)


def codes(outcome: Outcome) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in outcome.findings]


@pytest.fixture(params=["moto", "swift"])
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    server.use(monkeypatch)
    return server


def test_a_bucket_that_allows_everything_is_told_nothing_and_keeps_nothing(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    outcome = examined(s3.settings(bucket))
    assert outcome.findings == ()
    assert outcome.facts["done"] == ["list", "put", "get", "range", "multipart", "abort", "delete"]
    assert abs(outcome.facts["skew_s"]) < 2
    assert "Contents" not in s3.client().list_objects_v2(Bucket=bucket)
    assert not s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_a_directory_is_told_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    settings = Settings(store=(tmp_path / "store").as_uri())
    outcome = examined(settings)
    assert outcome.findings == ()
    assert outcome.facts["done"] == ["put", "get", "range", "list", "delete"]
    assert list((tmp_path / "store").iterdir()) == []


def limited(server: S3Server, actions: list[str]) -> tuple[str, str]:
    """Keys of a user who may do nothing else; from now on the server looks who comes."""
    client = boto3.client(
        "iam",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )
    client.create_user(UserName="limited")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    client.put_user_policy(UserName="limited", PolicyName="p", PolicyDocument=json.dumps(policy))
    keys = client.create_access_key(UserName="limited")["AccessKey"]
    request = Request(f"{server.endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, method="POST")
    build_opener(ProxyHandler({})).open(request).close()
    return keys["AccessKeyId"], keys["SecretAccessKey"]


@pytest.mark.parametrize(
    ("allowed", "missing"),
    [
        (["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], ["s3:DeleteObject"]),
        (["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], ["s3:ListBucket", "s3:GetObject"]),
        (["s3:ListBucket", "s3:GetObject"], ["s3:PutObject", "s3:DeleteObject"]),
    ],
)
def test_permissions_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: list[str], missing: list[str]
) -> None:
    with moto_server(tmp_path) as server:
        server.use(monkeypatch)
        settings = server.settings()
        key, secret = limited(server, allowed)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        (found,) = examined(settings).findings
    assert (found.level, found.code) == ("error", "store-permission")
    assert f"The credentials lack {', '.join(missing)} in s3://" in found.sentence


def test_a_bucket_that_is_not_there_is_something_to_mend(s3: S3Server) -> None:
    outcome = examined(s3.settings("no-such-bucket"))
    assert codes(outcome) == [("error", "store-refused")]
    assert "does not exist" in outcome.findings[0].sentence


def test_a_wrong_secret_is_something_to_mend(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    swift.use(monkeypatch)
    settings = swift.settings()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    outcome = examined(settings)
    assert codes(outcome) == [("error", "store-refused")]
    assert "does not accept the credentials" in outcome.findings[0].sentence


def test_nobody_at_the_address_may_pass_by_itself(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    moto.use(monkeypatch)
    settings = Settings(store="s3://bucket", s3_endpoint=f"http://127.0.0.1:{free_port()}")
    assert codes(examined(settings)) == [("error", "store-unreachable")]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silence_is_bounded(moto: S3Server, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    moto.use(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start_s = time.monotonic()
        endpoint = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(store="s3://bucket", s3_endpoint=endpoint, connect_timeout_s=600)
        assert codes(examined(settings)) == [("error", "store-unreachable")]
        assert time.monotonic() - start_s < 18


def test_a_file_where_the_directory_should_be_is_something_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert codes(examined(Settings(store=(tmp_path / "file" / "store").as_uri()))) == [("error", "store-refused")]


def test_a_folder_of_its_own_beside_a_redis_that_others_share_is_told(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path, "redis_url": "redis://elsewhere"})
    assert codes(examined(settings)) == [("warning", "store-local")]
    assert codes(examined(Settings(home=tmp_path))) == []


def test_what_comes_back_changed_is_told(tmp_path: Path) -> None:
    (found,) = judge_store(StoreProbe(done=["put"], differing=["get", "range"]), Settings(store="s3://b"), "b").findings
    assert (found.level, found.code) == ("error", "store-differs") and "to get and range" in found.sentence


@pytest.mark.parametrize(
    ("skew_s", "found"),
    [
        (4.9, []),
        (-5.1, [("warning", "clock-skew")]),
        (299.0, [("warning", "clock-skew")]),
        (300.0, [("error", "clock-wrong")]),
        (-900.0, [("error", "clock-wrong")]),
    ],
)
def test_clocks_are_compared(skew_s: float, found: list[tuple[str, str]]) -> None:
    assert [(finding.level, finding.code) for finding in judge_clock(skew_s, "Redis")] == found


@pytest.mark.parametrize(
    ("skew_s", "way"), [(60.0, "60 s behind that of Redis"), (-60.0, "60 s ahead of that of Redis")]
)
def test_a_clock_is_told_which_way_it_is_off(skew_s: float, way: str) -> None:
    assert way in judge_clock(skew_s, "Redis")[0].sentence
