"""Where consent is required, the commands refuse an avatar without it, and take it up again with one."""

import json
from pathlib import Path

from jobs import keys
from jobs.avatar_spec import Provenance
from tests.fleet.conftest import AVATAR, FleetUnderTest
from tests.media_files import chirp, write_audio
from workers.avatar.copying import copy_pack
from workers.avatar.pack import Pack


def test_submit_and_render_refuse_a_person_without_consent_and_take_one_with_it(
    fleet: FleetUnderTest, tiny_pack: Pack, tmp_path: Path
) -> None:
    shown = copy_pack(tiny_pack, tmp_path / "shown").root
    recorded = tiny_pack.spec.model_copy(update={"provenance": Provenance(layout="server")})
    (shown / "avatar.json").write_bytes(recorded.to_bytes())
    fleet.cli("avatar", "import", str(shown), "--name", "anna")
    audio = str(write_audio(tmp_path / "speech.wav", chirp(1.0, 16_000), 16_000))
    out = tmp_path / "video.mp4"

    fleet.environment["LIPSYNC_REQUIRE_CONSENT"] = "1"
    for command in (["submit", audio], ["render", audio, "--out", str(out)]):
        refused = fleet.cli(*command, "--avatar", "anna", code=2)
        assert "LIPSYNC_REQUIRE_CONSENT" in refused.stderr and "no consent" in refused.stderr
    assert list(fleet.fleet.store.list("jobs/")) == [] and not out.exists()
    assert fleet.cli("submit", audio, "--avatar", AVATAR).stdout  # drawn: it shows nobody

    record = tmp_path / "consent.json"
    record.write_text(json.dumps({"subject": "Anna", "scope": "tests", "expires": None, "evidence": "e" * 64}))
    fleet.cli("avatar", "import", str(shown), "--name", "anna", "--consent", str(record))
    job = fleet.cli("submit", audio, "--avatar", "anna").stdout.strip()
    assert fleet.fleet.store.size(keys.manifest(job))
    fleet.cli("render", audio, "--avatar", "anna", "--out", str(out))
    assert out.stat().st_size > 0
