"""Trained checkpoints become packs: the same file the same pack, and as near to PyTorch as float32 allows."""

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from typer.testing import CliRunner

from infra.errors import Failed, Rejected
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs import keys
from jobs.avatar_spec import AUDIO_ENCODER_FILE, GENERATOR_FILE, NetworkFile
from tests import avatar_sources as made
from tests.servers import missing
from workers.avatar.commands import avatar_app
from workers.avatar.importing import import_avatar
from workers.avatar.networks import checkpoints, topology
from workers.avatar.networks.checkpoints import Checkpoint, Trained, read_checkpoint
from workers.avatar.networks.comparing import LIMIT, ExportRecord, measure
from workers.avatar.networks.exporting import export_checkpoints, onnx_file
from workers.avatar.networks.weights import Conv, Filters
from workers.avatar.pack import file_digest, open_pack

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment, unused-ignore]

Tensors = dict[str, Any]
Float32 = npt.NDArray[np.float32]


@pytest.fixture(scope="module", autouse=True)
def framework() -> Iterator[Any]:
    """The modules of PyTorch, on one thread."""
    if torch is None:
        missing("PyTorch is not installed: the extra `train` is needed to make checkpoints")
    from workers.avatar.networks import framework

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield framework
    torch.set_num_threads(threads)


def trained(module: Any, *inputs: Float32) -> Tensors:
    """A state dict as training leaves it: each layer's own statistics, scales and shifts that are not 1 and 0.

    Variances are a little above those of the given batch. With its own, random networks enlarge what rounding leaves to
    3e-4; so it is 1e-5, as after some training, and what is heard is still worth a grey level.
    """
    generator = torch.Generator().manual_seed(5)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the plain mean of all batches
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.normal_(layer.bias, 0, 0.3, generator=generator)
        elif isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, generator=generator)
    with torch.no_grad():
        module(*map(torch.from_numpy, inputs))
        for name, tensor in module.named_buffers():
            if name.endswith("running_var"):
                tensor.mul_(1.2)
    return dict(module.state_dict())


@pytest.fixture(scope="module")
def states(framework: Any) -> dict[NetworkFile, Tensors]:
    """State dicts of both networks at full size."""
    rng = np.random.default_rng(7)
    faces = rng.random((2, 6, 10, 10), np.float32).repeat(32, axis=2).repeat(32, axis=3)
    mel = np.clip(rng.normal(-1, 1.5, (32, 1, 80, 16)), -4, 4).astype(np.float32)
    encoder = framework.audio_encoder()
    heard = trained(encoder, mel)
    with torch.no_grad():
        features = encoder.eval()(torch.from_numpy(mel)).numpy().reshape(2, 32, 16, 16)
    return {GENERATOR_FILE: trained(framework.Generator(), faces, features), AUDIO_ENCODER_FILE: heard}


@pytest.fixture(scope="module")
def files(states: dict[NetworkFile, Tensors], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoints of generator and audio encoder."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.save(states[GENERATOR_FILE], folder / "99.pth")
    torch.save(states[AUDIO_ENCODER_FILE], folder / "encoder.pth")
    return folder / "99.pth", folder / "encoder.pth"


def saved(value: Any, path: Path) -> Path:
    torch.save(value, path)
    return path


def encoder(states: dict[NetworkFile, Tensors], **changed: Any) -> Tensors:
    """The audio encoder's state dict with some tensors replaced, or left out where None."""
    return {name: tensor for name, tensor in (states[AUDIO_ENCODER_FILE] | changed).items() if tensor is not None}


# --- the whole way -------------------------------------------------------------------------------------------------


def test_a_training_folder_and_its_checkpoints_become_a_pack_in_one_command(
    tmp_path: Path, files: tuple[Path, Path], settings: Settings, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("store", "cache", "providers", "threads"):
        monkeypatch.setenv(f"LIPSYNC_{name.upper()}", str(getattr(settings, name)))
    source = made.training_folder(tmp_path / "source")
    command = ["import", str(source), "--name", "anna", "--json"]
    networks = ["--generator", str(files[0]), "--audio-encoder", str(files[1])]
    result = CliRunner().invoke(avatar_app, [*command, *networks], catch_exceptions=False)
    document = json.loads(result.stdout)
    digests = {GENERATOR_FILE: file_digest(files[0]), AUDIO_ENCODER_FILE: file_digest(files[1])}
    assert {export["network"]: export["checkpoint"] for export in document["exports"]} == digests
    assert all(0 < export["difference"] < 5 * LIMIT for export in document["exports"])
    assert all(0 < export["rounding"] < 3 * LIMIT for export in document["exports"])
    assert all(export["framework"] == f"torch {torch.__version__}" for export in document["exports"])
    assert f"generator.onnx: differs from torch {torch.__version__} by at most" in result.stderr

    beside = ExportRecord.model_validate_json(store.get(keys.exports(document["digest"])))
    assert [export.model_dump() for export in beside.exports] == document["exports"]

    again = import_avatar(source, tmp_path, generator=files[0], audio_encoder=files[1], settings=settings).pack
    assert again.digest == document["digest"], "the measured figures are no part of the pack"
    assert again.spec.provenance.checkpoints == digests
    for path in (again.generator, again.audio_encoder):
        onnx.checker.check_model(onnx.load(path), full_check=True)


def test_a_checkpoint_may_stand_beside_an_onnx_file(
    tmp_path: Path, files: tuple[Path, Path], networks: tuple[Path, Path], settings: Settings
) -> None:
    source = made.training_folder(tmp_path / "source")
    pack, exports, _ = import_avatar(source, tmp_path, generator=networks[0], audio_encoder=files[1], settings=settings)
    assert [export.network for export in exports] == [AUDIO_ENCODER_FILE]
    assert pack.spec.provenance.checkpoints == {AUDIO_ENCODER_FILE: file_digest(files[1])}
    assert pack.spec.files[GENERATOR_FILE] == file_digest(networks[0])


def test_a_pack_from_before_checkpoints_were_recorded_still_opens(pack: Any) -> None:
    path = pack.root / "avatar.json"
    document = json.loads(path.read_bytes())
    assert document["provenance"].pop("checkpoints") == {}
    path.write_text(json.dumps(document))
    assert open_pack(pack.root).spec.provenance.checkpoints == {}


# --- what is written -----------------------------------------------------------------------------------------------


class Plain:
    """Weights of which every bit is known on any machine: whole numbers by the size of a power of two."""

    def __init__(self, factor: float):
        self.factor = factor
        self.tensors: Tensors = {}

    def filters(self, conv: Conv, gain: float) -> Filters:
        rng = np.random.default_rng(len(self.tensors))
        for name, shape in conv.tensors.items():
            values = rng.integers(1 if name.endswith("_var") else -128, 128, shape) * self.factor
            self.tensors[name] = torch.from_numpy(values.astype(np.float32))
        return Filters(np.zeros(next(iter(conv.tensors.values())), np.float32), np.zeros(conv.outputs, np.float32))


@pytest.mark.parametrize(
    ("network", "walk", "digest"),
    [
        (GENERATOR_FILE, topology.generator, "992c7d20f33f656d2e892daa4e514d0520014bcfe1bb88671be3e59714f18f26"),
        (
            AUDIO_ENCODER_FILE,
            topology.audio_encoder,
            "6bd29db47c233238643e8b5dd9a65252c48b6c6d2f053eadb29434a806b56a15",
        ),
    ],
    ids=["generator", "audio encoder"],
)
def test_a_checkpoint_gives_these_very_bytes_wherever_it_is_converted(
    network: NetworkFile, walk: Callable[..., Any], digest: str
) -> None:
    plain = Plain(2**-7)
    walk(plain)
    data = onnx_file(network, Checkpoint(Path("plain.pth"), "", plain.tensors))
    assert hashlib.sha256(data).hexdigest() == digest


def test_normalisation_is_folded_as_its_formula_says() -> None:
    conv = Conv("layer", 3, 4, 1, 1, True, "norm")
    rng = np.random.default_rng(1)
    tensors = {name: torch.from_numpy(rng.uniform(0.1, 2, shape)) for name, shape in conv.tensors.items()}
    taken = Trained(Checkpoint(Path("x.pth"), "", tensors), "generator").filters(conv, 1)
    heard = rng.standard_normal((5, 3, 2, 2))
    plain = torch.nn.functional.conv2d(torch.from_numpy(heard), tensors["layer.weight"], tensors["layer.bias"])
    parts = (tensors[f"norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    expected = torch.nn.functional.batch_norm(plain, *parts).numpy()
    folded = np.einsum("oi,nihw->nohw", taken.weights[:, :, 0, 0], heard) + taken.biases[:, None, None]
    assert np.allclose(folded, expected, atol=1e-6)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda state: {"net": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"module.audio_encoder.{name}": tensor for name, tensor in state.items()},
        lambda state: {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")},
    ],
    ids=["a training run's dictionary", "DataParallel", "the audio encoder's prefix", "without counters"],
)
def test_a_state_dict_is_found_in_its_wrapping(
    wrapped: Callable[[Tensors], Any], tmp_path: Path, states: dict[NetworkFile, Tensors], files: tuple[Path, Path]
) -> None:
    found = read_checkpoint(saved(wrapped(states[AUDIO_ENCODER_FILE]), tmp_path / "wrapped.pth"))
    assert onnx_file(AUDIO_ENCODER_FILE, found) == onnx_file(AUDIO_ENCODER_FILE, read_checkpoint(files[1]))


@pytest.mark.parametrize(
    ("network", "layer"), [(GENERATOR_FILE, "audio_model.bn3.bias"), (AUDIO_ENCODER_FILE, "5.conv_block.1.bias")]
)
def test_a_network_that_answers_otherwise_than_pytorch_is_not_taken(
    network: NetworkFile, layer: str, tmp_path: Path, states: dict[NetworkFile, Tensors], files: tuple[Path, Path]
) -> None:
    exported = export_checkpoints(dict(zip((GENERATOR_FILE, AUDIO_ENCODER_FILE), files, strict=True)), tmp_path)
    changed = states[network] | {layer: states[network][layer] * 1.02}
    other = read_checkpoint(saved(changed, tmp_path / "other.pth"))
    with pytest.raises(Failed, match=rf"^The {network} made of .*other\.pth differs .* by \d\.\de-0\d of its range"):
        measure(exported._replace(checkpoints={network: other}), Settings(providers="cpu", threads=1))


# --- what is refused -----------------------------------------------------------------------------------------------


class Hostile:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_what_would_have_to_be_unpickled_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    plain = io.BytesIO()
    pickle.dump({"weight": Hostile(trace)}, plain, protocol=2)  # the one that PyTorch writes
    (tmp_path / "plain.pth").write_bytes(plain.getvalue())
    saved({"weight": torch.zeros(1), "more": Hostile(trace)}, tmp_path / "zipped.pth")
    for name in ("plain.pth", "zipped.pth"):
        with pytest.raises(Rejected, match=rf"{name} is refused: it is damaged or holds more than weights"):
            read_checkpoint(tmp_path / name)
    assert not trace.exists()
    pickle.loads(plain.getvalue())
    assert trace.exists(), "unpickling it would have left a trace"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda: [torch.zeros(1)], "does not hold exactly one network's weights"),
        (lambda: {}, "does not hold exactly one network's weights"),
        (lambda: {"model": {"a": torch.zeros(1)}, "ema": {"a": torch.zeros(1)}}, "exactly one network's weights"),
        (lambda: {"a": torch.zeros(1, dtype=torch.int64)}, r"its a holds torch\.int64"),
        (lambda: {"a": torch.zeros(2, 2).to_sparse()}, r"its a holds torch\.float32, torch\.sparse_coo, not plain"),
    ],
)
def test_a_file_without_one_networks_weights_is_refused(
    content: Callable[[], Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(Rejected, match=sentence):
        read_checkpoint(saved(content(), tmp_path / "wrong.pth"))


@pytest.mark.parametrize("kept", [0, 3, 100_000])
def test_a_checkpoint_that_is_cut_off_is_refused(kept: int, tmp_path: Path, files: tuple[Path, Path]) -> None:
    (tmp_path / "cut.pth").write_bytes(files[1].read_bytes()[:kept])
    with pytest.raises(Rejected, match=r"cut\.pth is refused: it is damaged"):
        read_checkpoint(tmp_path / "cut.pth")


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"none\.pth is not there: give the path of a file"):
        read_checkpoint(tmp_path / "none.pth")
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(Rejected, match=r"folder\.pth is a folder: give the path of a file"):
        read_checkpoint(tmp_path / "folder.pth")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    sparse = tmp_path / "huge.pth"
    sparse.touch()
    os.truncate(sparse, 300 * 10**9)
    with pytest.raises(Rejected, match=r"huge\.pth is refused: it holds 300\.0 GB"):
        read_checkpoint(sparse)


def test_a_small_file_that_swells_when_it_is_unpacked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in range(3):
            archive.writestr(f"archive/data/{entry}", bytes(1_000_000))
    monkeypatch.setattr(checkpoints, "_MAX_BYTES", 2_000_000)
    assert bomb.stat().st_size < 10_000
    with pytest.raises(Rejected, match=r"bomb\.pth is refused: it holds 0\.0 GB"):
        read_checkpoint(bomb)


@pytest.mark.parametrize("zipped", [True, False])
def test_another_pickle_protocol_is_named_and_nothing_else_is_said(
    zipped: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "protocol.pth"
    torch.save({"a": torch.zeros(2)}, path, pickle_protocol=4, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Rejected, match=r"pickle protocol 4.* save it again without pickle_protocol"):
        read_checkpoint(path)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"3.conv_block.0.bias": None}, r"it lacks 3\.conv_block\.0\.bias, where shape \(64,\) is expected"),
        ({"extra.weight": torch.zeros(2, 3)}, r"it holds extra\.weight, of shape \(2, 3\), where nothing is expected"),
        (
            {"0.conv_block.0.weight": torch.zeros(1).expand(10**6, 10**6)},
            r"its 0\.conv_block\.0\.weight has shape \(1000000, 1000000\), expected is \(32, 1, 3, 3\)",
        ),
        ({"4.conv_block.1.running_mean": torch.full((64,), torch.nan)}, r"running_mean holds values that are not fin"),
        ({"4.conv_block.0.bias": torch.full((64,), torch.inf)}, r"4\.conv_block\.0\.bias holds values that are not"),
        ({"4.conv_block.1.running_var": torch.full((64,), -1.0)}, r"4\.conv_block\.1 folded in has values that are"),
        (
            {"5.conv_block.1.weight": torch.full((64,), 3e38), "5.conv_block.1.running_var": torch.zeros(64)},
            r"5\.conv_block\.1 folded in has values that are not",
        ),
    ]
    if torch
    else [],
)
def test_the_first_tensor_that_does_not_fit_is_named_with_what_was_expected(
    changed: Tensors, sentence: str, tmp_path: Path, states: dict[NetworkFile, Tensors]
) -> None:
    found = read_checkpoint(saved(encoder(states, **changed), tmp_path / "wrong.pth"))
    with pytest.raises(Rejected, match=rf"wrong\.pth cannot become the audio encoder: .*{sentence}"):
        onnx_file(AUDIO_ENCODER_FILE, found)


def test_networks_that_were_mistaken_for_each_other_are_recognised(files: tuple[Path, Path]) -> None:
    with pytest.raises(Rejected, match="these are an audio encoder's weights, give them with --audio-encoder"):
        onnx_file(GENERATOR_FILE, read_checkpoint(files[1]))
    with pytest.raises(Rejected, match="these are a generator's weights, give them with --generator"):
        onnx_file(AUDIO_ENCODER_FILE, read_checkpoint(files[0]))


def test_a_generator_of_another_front_end_is_recognised_by_its_first_audio_layer(
    states: dict[NetworkFile, Tensors],
) -> None:
    tensors = {name: tensor for name, tensor in states[GENERATOR_FILE].items() if "num_batches" not in name}
    other = tensors | {"audio_model.conv1.conv.0.weight": torch.zeros(512, 256, 1, 1)}
    with pytest.raises(Rejected, match="another audio front end, which gives 256 channels instead of 32"):
        onnx_file(GENERATOR_FILE, Checkpoint(Path("99.pth"), "", other))


@pytest.mark.parametrize("features", ["aud_hu.npy", "aud_wenet.npy"])
def test_a_generator_of_another_front_end_is_recognised_by_the_features_that_it_was_trained_with(
    features: str, tmp_path: Path, files: tuple[Path, Path], settings: Settings
) -> None:
    source = made.training_folder(tmp_path / "source")
    (source / features).write_bytes(b"never read")
    with pytest.raises(Rejected, match=f"prepared for another audio front end: it holds {features}"):
        import_avatar(source, tmp_path, generator=files[0], audio_encoder=files[1], settings=settings)


def test_without_pytorch_a_sentence_says_what_to_install(tmp_path: Path, networks: tuple[Path, Path]) -> None:
    source = made.training_folder(tmp_path / "source")
    shutil.copyfile(networks[0], tmp_path / "99.pth")
    script = "import sys; sys.modules['torch'] = None\nfrom jobs.cli import main\nsys.exit(main())"
    options = ["--generator", str(tmp_path / "99.pth"), "--audio-encoder", str(networks[1])]
    command = [sys.executable, "-c", script, "avatar", "import", str(source), "--name", "anna", *options]
    environment = {"LIPSYNC_STORE": (tmp_path / "store").as_uri(), "LIPSYNC_PROVIDERS": "cpu", "HOME": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 2, found.stderr
    assert "Converting 99.pth needs PyTorch: install lipsync-fleet[train]." in found.stderr
    assert "Traceback" not in found.stderr
