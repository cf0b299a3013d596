"""Synthetic networks have the reference's topology, and hear and see what they are given."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from infra.errors import Rejected
from infra.settings import Settings
from tests.avatar_sources import HEIGHT, WIDTH
from workers.avatar.networks import topology
from workers.avatar.networks.proof import prove_networks
from workers.avatar.networks.weights import Seeded
from workers.avatar.pack import Pack
from workers.avatar.synthetic import make_synthetic
from workers.lip_model import LipModel, load_lip_model

Float32 = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=["small", "full"])
def avatar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    folder = tmp_path_factory.mktemp(request.param)
    return make_synthetic(folder, frames=2, width=WIDTH, height=HEIGHT, small=request.param == "small")


def load(avatar: Pack, batch: int = 1) -> LipModel:
    return load_lip_model(avatar.generator, avatar.audio_encoder, Settings(providers="cpu", threads=1, batch=batch))


def inputs(rows: int, seed: int = 0) -> tuple[Float32, Float32]:
    """Smooth faces (rows, 6, 320, 320) in [0, 1], and mel windows (16 * rows, 1, 80, 16) in [-4, 4]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((rows, 6, 10, 10), np.float32)
    mel = np.clip(rng.normal(-1, 1.5, (16 * rows, 1, 80, 16)), -4, 4).astype(np.float32)
    return coarse.repeat(32, axis=2).repeat(32, axis=3), mel


def hear(model: LipModel, mel: Float32) -> Float32:
    return model.encode(mel).reshape(-1, 32, 16, 16)


def test_the_topology_has_the_references_count_of_parameters() -> None:
    source = Seeded(np.random.default_rng(0))
    generator, encoder = topology.generator(source)[1], topology.audio_encoder(source)[1]
    assert sum(conv.parameters for conv in generator) == 12_186_935
    assert sum(conv.parameters for conv in encoder) == 2_812_672
    assert len(encoder) == 13


def test_the_table_of_convolutions_is_the_one_of_the_graph() -> None:
    source = Seeded(np.random.default_rng(0))
    for data, convs in (topology.generator(source), topology.audio_encoder(source)):
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model, full_check=True)
        shapes = {weights.name: tuple(weights.dims) for weights in model.graph.initializer}
        written = [shapes[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
        assert written == [(c.outputs, c.inputs // c.groups, c.kernel, c.kernel) for c in convs]


def test_the_files_say_what_the_contract_names(avatar: Pack) -> None:
    names = []
    for path in (avatar.generator, avatar.audio_encoder):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        names.append([tensor.name for tensor in (*model.graph.input, *model.graph.output)])
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
        assert not {"Pad"} & {node.op_type for node in model.graph.node}
    assert names == [["input", "audio", "output"], ["mel", "emb"]]


def test_the_networks_run_and_their_pictures_are_not_saturated(avatar: Pack, settings: Settings) -> None:
    prove_networks(avatar.generator, avatar.audio_encoder, settings)
    model = load(avatar)
    faces, mel = inputs(1)
    (picture,) = model.generate(faces, hear(model, mel))
    assert picture.std() > 0.02
    assert np.mean((picture > 0.02) & (picture < 0.98)) > 0.5


def test_other_audio_and_another_face_are_plain_to_see(avatar: Pack) -> None:
    model = load(avatar)
    faces, mel = inputs(2)
    heard = hear(model, mel)
    both = model.generate(faces[[0, 0, 1]], heard[[0, 1, 0]])
    difference = np.abs(both - both[:1]).mean(axis=(1, 2, 3)) * 255
    assert difference[1] > 1.5, "grey levels that the audio is worth"
    assert difference[2] > 1.5, "grey levels that the face is worth"


def test_every_pixel_of_a_small_avatar_hears_every_feature(tmp_path: Path) -> None:
    avatar = make_synthetic(tmp_path, frames=1, width=WIDTH, height=HEIGHT, small=True)
    model = load(avatar)
    faces, mel = inputs(1)
    features = model.encode(mel)
    whole = model.generate(faces, features.reshape(1, 32, 16, 16))
    for silent in range(16):
        changed = features.copy()
        changed[silent] = 0
        other = model.generate(faces, changed.reshape(1, 32, 16, 16))
        assert np.abs(other - whole).mean() * 255 > 2, f"feature {silent} must be visible"


def test_a_frame_does_not_depend_on_the_batch_that_it_is_in(avatar: Pack) -> None:
    single, several = load(avatar, batch=1), load(avatar, batch=3)
    faces, mel = inputs(3)
    heard = hear(single, mel)
    assert np.allclose(heard, hear(several, mel), atol=1e-5)
    assert np.allclose(single.generate(faces, heard), several.generate(faces, heard), atol=1e-5)


def test_a_small_avatar_is_quick(tmp_path: Path) -> None:
    avatar = make_synthetic(tmp_path, frames=1, width=WIDTH, height=HEIGHT, small=True)
    model = load(avatar)
    faces, mel = inputs(1)
    heard = hear(model, mel)
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        model.generate(faces, heard)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.02, "an order of magnitude below the full size, whatever else the machine does"


def test_the_seed_alone_decides_the_pack(tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.append(make_synthetic(folder, frames=2, width=WIDTH, height=HEIGHT, seed=seed, small=True).digest)
    assert digests[0] == digests[1] != digests[2]


def test_the_drawn_head_moves_and_stays_in_its_crop_box(tmp_path: Path) -> None:
    avatar = make_synthetic(tmp_path, frames=20, width=1280, height=720, small=True)
    assert {(x1 - x0, y1 - y0) for x0, y0, x1, y1 in avatar.spec.boxes} == {(328, 328)}
    assert len(set(avatar.spec.boxes)) > 10
    pictures = {(avatar.root / name).read_bytes() for name in avatar.spec.template_files}
    assert len(pictures) == 20


@pytest.mark.parametrize(("frames", "width", "height"), [(0, 96, 64), (1, 95, 64), (1, 96, 8), (1, 9000, 64)])
def test_an_impossible_clip_is_refused(frames: int, width: int, height: int, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot have"):
        make_synthetic(tmp_path, frames=frames, width=width, height=height, small=True)
