"""The hosts that the other tests rely on are hosts: they boot, mount, die, are cut off, and leave nothing behind."""

import json
import signal
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.hosts.commands import run
from tests.hosts.conftest import folder_of_hosts
from tests.hosts.control_groups import hierarchies
from tests.hosts.hosts import Hosts
from tests.hosts.s3_host import s3_host

pytestmark = pytest.mark.timeout(1500)  # the first test may have to make the root

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pair(hosts: Hosts) -> Hosts:
    hosts.boot("one", "two")
    return hosts


def test_a_host_runs_systemd_and_only_what_somebody_enabled(pair: Hosts) -> None:
    assert pair.ssh("one", "systemctl", "is-system-running").strip() == "running"
    assert pair.ssh("one", "hostname").strip() == "one"
    active = pair.ssh("one", "systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend")
    assert {line.split()[0] for line in active.splitlines()} >= {"ssh.service", "dbus.service"}
    assert "redis" not in active
    assert "prometheus" not in active


def test_a_host_mounts_an_image_that_lies_on_its_disk(pair: Hosts, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "word").write_text("read from the image")
    run("mksquashfs", tmp_path / "tree", pair.disk("one") / "tree.squashfs", "-quiet", "-no-progress")
    pair.ssh("one", "mount", "--mkdir", "-o", "loop,ro", "/opt/lipsync/tree.squashfs", "/mnt/tree")
    assert pair.ssh("one", "cat", "/mnt/tree/word") == "read from the image"


def test_hosts_reach_each_other_and_nothing_beyond(pair: Hosts) -> None:
    pair.ssh("one", "bash", "-c", f"exec 3<>/dev/tcp/{pair.address('two')}/22")
    assert pair.ssh("one", "ip", "route", "show", "default") == ""


def test_a_host_that_is_cut_off_answers_again_when_it_is_mended(pair: Hosts) -> None:
    pair.cut("two")
    with pytest.raises(RuntimeError, match="ended with 255"):
        pair.ssh("two", "true")
    pair.mend("two")
    pair.ssh("two", "true")


def test_a_host_that_loses_its_power_loses_all_but_its_disk(pair: Hosts) -> None:
    pair.ssh("two", "touch", "/srv/in-memory", "/opt/lipsync/on-disk")
    pair.kill("two")
    assert not pair.network.namespace("two").exists()
    pair.ssh("one", "true")
    pair.boot("two")
    assert pair.ssh("two", "find", "/srv", "/opt/lipsync", "-type", "f").split() == ["/opt/lipsync/on-disk"]


def test_the_s3_host_is_reached_by_hosts_and_by_this_machine(pair: Hosts) -> None:
    with s3_host(pair) as server:
        bucket = server.make_bucket()
        server.client().put_object(Bucket=bucket, Key="word", Body=b"from the store")
        url = server.client().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "word"})
        assert pair.ssh("one", "curl", "--silent", "--fail", url) == "from the store"


def test_what_a_killed_run_leaves_is_removed_by_the_next(hosts: Hosts) -> None:
    with pytest.raises(RuntimeError, match="Another run"), Hosts(folder_of_hosts()):
        pass
    program = (
        "import pathlib, sys\n"
        "from ipaddress import IPv4Network\n"
        "from tests.hosts.hosts import Hosts\n"
        "with Hosts(pathlib.Path(sys.argv[1]), 'lfx', IPv4Network('10.214.1.0/24')) as hosts:\n"
        "    hosts.boot('one')\n"
        "    print('booted', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, folder_of_hosts()], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as earlier:
        assert earlier.stdout is not None
        assert earlier.stdout.readline() == b"booted\n"
        earlier.send_signal(signal.SIGKILL)
    with Hosts(folder_of_hosts(), "lfx", IPv4Network("10.214.1.0/24")) as later:
        assert _named("lfx") == {"lfx-br"}
        assert list((later.folder).glob("*.console.log")) == []
    assert _named("lfx") == set()
    assert [top for top in hierarchies().values() if (top / "lfx").exists()] == []


def _named(name: str) -> set[str]:
    links = {link["ifname"] for link in json.loads(run("ip", "-json", "link"))}
    spaces = {space.name for space in Path("/run/netns").glob("*")}
    return {found for found in links | spaces if found.startswith(f"{name}-")}
