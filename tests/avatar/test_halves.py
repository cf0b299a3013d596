"""A generator in two halves draws what the whole one draws, whatever its architecture and its names are."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from infra.errors import Failed
from infra.settings import Settings
from tests.onnx_graphs import Net
from workers.avatar.demo import demo_pack
from workers.avatar.networks import prepared
from workers.avatar.networks.prepared import HalfFiles, cut_halves
from workers.avatar.networks.topology import generator, small_generator
from workers.avatar.networks.weights import Seeded
from workers.lip_model import load_generator
from workers.painter import Painter
from workers.render.composite import face_picture
from workers.render.crop import network_input
from workers.stopwatch import Stopwatch

Pictures = npt.NDArray[np.uint8]
SIZES: dict[str, list[int | str]] = {"input": ["N", 6, 320, 320], "audio": ["N", 32, 16, 16]}
FACE_BYTES = 320 * 320 * 3
TEMPLATE_FRAMES = [0, 1, 2, 1, 0]


@pytest.fixture(scope="session")
def crops() -> Pictures:
    """Smooth pictures, as faces are: uint8 (3, 328, 328, 3)."""
    coarse = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), np.uint8)
    return np.stack([cv2.resize(blobs, (328, 328), interpolation=cv2.INTER_CUBIC) for blobs in coarse])


@pytest.fixture(scope="session")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator of the reference's own size, with weights that were never trained."""
    path = tmp_path_factory.mktemp("full-size") / "generator.onnx"
    path.write_bytes(generator(Seeded(np.random.default_rng(0)))[0])
    return path


def heard() -> npt.NDArray[np.float32]:
    """What five output frames hear: float32 (5, 32, 16, 16)."""
    return np.random.default_rng(2).normal(0, 1, (len(TEMPLATE_FRAMES), 32, 16, 16)).astype(np.float32)


def in_halves(files: HalfFiles, crops: Pictures, settings: Settings, batch: int) -> Pictures:
    painter = Painter(files, crops, settings, 10**9, batch)
    return painter.paint(TEMPLATE_FRAMES, heard(), Stopwatch())


def as_a_whole(path: Path, crops: Pictures, settings: Settings) -> Pictures:
    faces = np.stack([network_input(crops[frame]) for frame in TEMPLATE_FRAMES])
    return np.stack([face_picture(picture) for picture in load_generator(path, settings).run(faces, heard())])


def assert_alike(found: Pictures, expected: Pictures) -> None:
    """Within one grey level, and that for a few pixels that lay on the border between two."""
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.uint8
    assert np.ptp(expected) > 50, "a picture is to be seen"
    difference = np.abs(found.astype(np.int16) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.fixture
def assert_halves_draw_the_same(settings: Settings, crops: Pictures, tmp_path: Path) -> Callable[..., HalfFiles]:
    """Cut a generator, compare what it draws with what it drew before, and give its halves."""

    def check(network: Path | onnx.ModelProto, batch: int = 1) -> HalfFiles:
        path = network if isinstance(network, Path) else tmp_path / "generator.onnx"
        if not isinstance(network, Path):
            onnx.save(network, path)
        folder = tmp_path / f"halves-{batch}"
        folder.mkdir()
        files = cut_halves(path, folder, settings, batch)
        assert sorted(folder.iterdir()) == sorted([files.encoder, files.decoder])
        assert_alike(in_halves(files, crops, settings, batch), as_a_whole(path, crops, settings))
        return files

    return check


def names(path: Path) -> tuple[list[str], list[str]]:
    """Inputs and outputs of a network."""
    graph = onnx.load(path).graph
    return [tensor.name for tensor in graph.input], [tensor.name for tensor in graph.output]


def kept_bytes(files: HalfFiles) -> dict[str, int]:
    """Bytes of each tensor that the encoder half hands over for one template frame."""
    sizes = {TensorProto.FLOAT: 4, TensorProto.UINT8: 1, TensorProto.FLOAT16: 2}
    outputs = {tensor.name: tensor.type.tensor_type for tensor in onnx.load(files.encoder).graph.output}
    return {
        name: sizes[kind.elem_type] * int(np.prod([dim.dim_value for dim in kind.shape.dim]))
        for name, kind in outputs.items()
    }


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


Check = Callable[..., HalfFiles]


@pytest.mark.parametrize("batch", [1, 3])
def test_the_generator_of_the_real_size(batch: int, full_size: Path, assert_halves_draw_the_same: Check) -> None:
    files = assert_halves_draw_the_same(full_size, batch)
    kept = kept_bytes(files)
    assert (kept.pop("kept.face"), sum(kept.values())) == (FACE_BYTES, 8_192_000)
    assert names(files.encoder)[0] == ["face"], "the encoder half hears nothing"
    # Weights lie in one half or the other; of the first, which is made anew from the face, some in both.
    whole, encoder, decoder = (path.stat().st_size for path in (full_size, files.encoder, files.decoder))
    assert encoder + decoder < 1.05 * whole
    assert encoder > 0.15 * whole


@pytest.mark.parametrize("batch", [1, 3])
def test_the_generator_of_the_demo(batch: int, assert_halves_draw_the_same: Check) -> None:
    files = assert_halves_draw_the_same(demo_pack().generator, batch)
    assert names(files.encoder)[0] == ["face"]


@pytest.mark.parametrize("batch", [1, 3])
def test_the_generator_of_two_convolutions(
    batch: int, assert_halves_draw_the_same: Check, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_generator(Seeded(np.random.default_rng(1))))
    assert sum(kept_bytes(assert_halves_draw_the_same(path, batch)).values()) == 4 * 3 * 320 * 320


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", ["real size", "demo"])
def test_the_form_for_accelerators_draws_the_same(
    kind: str, batch: int, full_size: Path, assert_halves_draw_the_same: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It always takes its tensors from the bank, and does not work in stripes: here it runs on the CPU."""
    monkeypatch.setattr(prepared, "wanted_provider", lambda _: "cuda")
    files = assert_halves_draw_the_same(full_size if kind == "real size" else demo_pack().generator, batch)
    assert files.from_bank
    assert "slots" in names(files.decoder)[0]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", ["small", "demo"])
def test_half_precision_draws_nearly_the_same(
    kind: str, batch: int, settings: Settings, crops: Pictures, tmp_path: Path
) -> None:
    path = demo_pack().generator if kind == "demo" else tmp_path / "small.onnx"
    if kind == "small":
        path.write_bytes(small_generator(Seeded(np.random.default_rng(1))))
    halved = settings.model_copy(update={"precision": "float16"})
    files = cut_halves(path, tmp_path, halved, batch)
    assert_nearly_alike(in_halves(files, crops, halved, batch), as_a_whole(path, crops, settings))
    (tmp_path / "float32").mkdir()
    in_float32 = kept_bytes(cut_halves(path, tmp_path / "float32", settings, batch))
    face = in_float32.pop("kept.face", 0)
    assert sum(kept_bytes(files).values()) == face + sum(in_float32.values()) // 2


def assert_nearly_alike(found: Pictures, expected: Pictures) -> None:
    """Seen: two grey levels at most, and 70 dB for the demo."""
    difference = found.astype(np.float64) - expected
    assert np.abs(difference).max() <= 3
    assert 10 * np.log10(255**2 / np.mean(difference**2)) >= 40


def answer(net: Net, tensor: str, name: str = "output") -> str:
    """The last layer: a picture of three colours, its contrast plain to see."""
    return net.node("Sigmoid", tensor, result=name)


def seen(net: Net, face: str = "input") -> str:
    """Eight channels at 80x80 that a network sees in a face."""
    return net.node("Relu", net.conv(face, 6, 8, 5, strides=[4, 4]))


def drawn(net: Net, tensor: str, audio: str = "audio", channels: int = 8) -> str:
    """A picture of eight channels at 80x80 and of what is heard."""
    mouth = net.conv(net.node("GlobalAveragePool", net.conv(audio, 32, 4)), 4, channels)
    mixed = net.conv(net.node("Add", tensor, mouth), channels, 3)
    return net.enlarged(net.enlarged(mixed))


@pytest.mark.parametrize("at_the_cut", [True, False])
def test_pads_that_add_nothing_are_in_neither_half(at_the_cut: bool, assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES)
    nothing = net.constant(np.zeros(8, np.int64))
    before = net.node("Pad", seen(net), nothing)
    after = net.node("Pad", drawn(net, before if at_the_cut else net.conv(before, 8, 8, 3)), nothing)
    files = assert_halves_draw_the_same(net.model(answer(net, after)))
    assert "Pad" not in operators(files.encoder) | operators(files.decoder)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_generator_that_ignores_the_face(batch: int, assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES)
    scales = net.constant(np.array([1, 1, 20, 20], np.float32))  # 16x16 to 320x320
    picture = net.node("Resize", net.conv("audio", 32, 3), "", scales, mode="linear")
    files = assert_halves_draw_the_same(net.model(answer(net, picture)), batch)
    assert sum(kept_bytes(files).values()) == FACE_BYTES


@pytest.mark.parametrize("batch", [1, 2])
def test_a_generator_that_ignores_the_audio(batch: int, assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES)
    picture = net.enlarged(net.enlarged(net.conv(seen(net), 8, 3)))
    assert_halves_draw_the_same(net.model(answer(net, picture)), batch)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_generator_that_mixes_face_and_audio_at_once(batch: int, assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES)
    mouth = net.conv(net.node("GlobalAveragePool", "audio"), 32, 6)
    files = assert_halves_draw_the_same(net.model(answer(net, net.conv(net.node("Add", "input", mouth), 6, 3))), batch)
    assert kept_bytes(files) == {"kept.face": FACE_BYTES}, "a face costs a byte for each value, its planes cost four"


@pytest.mark.parametrize("batch", [1, 2])
def test_tensors_too_large_to_keep_are_made_anew(batch: int, assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES)
    large = net.node("Relu", net.conv("input", 6, 32, 3))  # 13 MB
    mixed = net.node("Add", net.conv(large, 32, 3), drawn(net, seen(net)))
    with_large = net.node("Add", mixed, net.conv(net.node("Mul", large, net.node("GlobalMaxPool", "audio")), 32, 3))
    files = assert_halves_draw_the_same(net.model(answer(net, with_large)), batch)
    kept = kept_bytes(files)
    assert kept.pop("kept.face") == FACE_BYTES
    assert sorted(kept.values()) == [4 * 8 * 80 * 80, 4 * 3 * 320 * 320]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("exported", [1, 2])
def test_a_generator_that_was_exported_for_a_fixed_batch(
    exported: int, batch: int, assert_halves_draw_the_same: Check
) -> None:
    net = Net({name: [exported, *shape[1:]] for name, shape in SIZES.items()})
    assert_halves_draw_the_same(net.model(answer(net, drawn(net, seen(net)))), batch)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("declared", ["nothing", "symbols", "other symbols"])
def test_a_generator_whose_sizes_are_symbols_or_not_given(
    declared: str, batch: int, assert_halves_draw_the_same: Check
) -> None:
    net = Net({"input": ["N", 6, 320, 320], "audio": ["M" if declared == "other symbols" else "N", 32, 16, 16]})
    model = net.model(answer(net, drawn(net, seen(net))))
    (output,) = model.graph.output
    sizes = None if declared == "nothing" else ["a", "b", "c", "d"]
    output.CopyFrom(helper.make_tensor_value_info("output", TensorProto.FLOAT, sizes))
    del model.graph.value_info[:]
    assert_halves_draw_the_same(model, batch)


def test_a_generator_with_more_than_one_output(assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES)
    inside = seen(net)
    picture = answer(net, drawn(net, inside))
    assert_halves_draw_the_same(net.model(picture, inside))


@pytest.mark.parametrize("batch", [1, 2])
def test_names_that_the_halves_use_themselves(batch: int, assert_halves_draw_the_same: Check) -> None:
    ours = ["face", "heard", "painted", "slots", "white", "mask", "kept.face", "bank.kept.face", "painted.float"]
    net = Net({"heard": ["N", 6, 320, 320], "face": ["N", 32, 16, 16]})
    inside = net.node("Add", seen(net, "heard"), net.floats(8, 1, 1), result="kept.face")
    model = net.model(answer(net, drawn(net, inside, "face"), "slots"))
    for weight, name in zip(model.graph.initializer, ["mask", "white", "painted", "painted.float"], strict=False):
        for node in model.graph.node:
            node.input[:] = [name if taken == weight.name else taken for taken in node.input]
        weight.name = name
    assert set(ours) & {name for node in model.graph.node for name in [*node.input, *node.output]}
    files = assert_halves_draw_the_same(model, batch)
    assert names(files.encoder)[0] == ["face"]


@pytest.mark.parametrize("batch", [1, 3])
def test_tensors_that_have_no_row_for_each_frame_are_made_anew(batch: int, assert_halves_draw_the_same: Check) -> None:
    """As where a network cuts pictures into windows and numbers those of all frames on."""
    net = Net(SIZES)
    windows = net.node("Reshape", seen(net), net.constant(np.array([-1, 20, 80], np.int64)))  # 32 of each frame
    each = net.node("Reshape", net.node("GlobalMaxPool", "audio"), net.constant(np.array([-1, 1, 1], np.int64)))
    lit = net.node("Mul", windows, each)
    picture = net.node("Reshape", lit, net.constant(np.array([-1, 8, 80, 80], np.int64)))
    files = assert_halves_draw_the_same(net.model(answer(net, drawn(net, picture))), batch)
    assert kept_bytes(files) == {"kept.face": FACE_BYTES}


def test_operators_of_which_nobody_knows_the_result(assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES)
    inside = seen(net)
    model = net.model(answer(net, drawn(net, inside)))
    at = next(index for index, node in enumerate(model.graph.node) if inside in node.output)
    model.graph.node[at].op_type, model.graph.node[at].domain = "Gelu", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    del model.graph.value_info[:]
    assert kept_bytes(assert_halves_draw_the_same(model)) == {"kept.face": FACE_BYTES}


def test_tensors_whose_size_hangs_on_what_is_seen(assert_halves_draw_the_same: Check) -> None:
    net = Net({name: [1, *shape[1:]] for name, shape in SIZES.items()})
    nothing = net.node("Mul", net.node("ReduceMax", "input", keepdims=0), net.constant(np.array(0, np.float32)))
    sizes = net.node("Add", nothing, net.constant(np.array([1, 8, 80, 80], np.float32)))
    resized = net.node("Resize", seen(net), "", "", net.node("Cast", sizes, to=TensorProto.INT64), mode="nearest")
    files = assert_halves_draw_the_same(net.model(answer(net, drawn(net, resized))))
    assert kept_bytes(files) == {"kept.face": FACE_BYTES}


def test_half_precision_inside(assert_halves_draw_the_same: Check) -> None:
    net = Net(SIZES, weights_kind=TensorProto.FLOAT16)
    face, audio = (net.node("Cast", name, to=TensorProto.FLOAT16) for name in SIZES)
    picture = net.node("Cast", answer(net, drawn(net, seen(net, face), audio), "drawn"), to=TensorProto.FLOAT)
    assert_halves_draw_the_same(net.model(picture))


@pytest.mark.parametrize("insisting", ["a size", "a shape"])
def test_a_generator_that_insists_on_its_batch_fails_with_a_sentence_for_others(
    insisting: str, assert_halves_draw_the_same: Check, settings: Settings, crops: Pictures, tmp_path: Path
) -> None:
    net = Net({name: [1, *shape[1:]] for name, shape in SIZES.items()})
    mixed = net.conv(net.node("Add", seen(net), net.conv(net.node("GlobalMaxPool", "audio"), 32, 8)), 8, 3)
    if insisting == "a size":
        picture = net.node("Resize", mixed, "", "", net.constant(np.array([1, 3, 320, 320], np.int64)), mode="linear")
    else:
        same = net.node("Reshape", mixed, net.constant(np.array([1, 3, 80, 80], np.int64)))
        picture = net.enlarged(net.enlarged(same))
    assert_halves_draw_the_same(net.model(answer(net, picture)))
    with pytest.raises(Failed, match=r"3 frames at a time .*: [^\n]*LIPSYNC_BATCH=1[^\n]*$"):
        in_halves(cut_halves(tmp_path / "generator.onnx", tmp_path, settings, 3), crops, settings, 3)
