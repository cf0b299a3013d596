"""Networks in ONNX Runtime: what is not the contract's is refused in a sentence, what is runs in fixed batches."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from infra.errors import Failed, LipsyncError, Rejected
from infra.settings import Settings
from workers.avatar.demo import demo_pack
from workers.lip_model import LipModel, load_lip_model

FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
Shape = list[Any]
Tensors = list[tuple[str, int, Shape]]

GENERATOR_INPUTS: Tensors = [("input", FLOAT, ["N", 6, 320, 320]), ("audio", FLOAT, ["N", 32, 16, 16])]
GENERATOR_OUTPUTS: Tensors = [("output", FLOAT, ["N", 3, 320, 320])]
ENCODER_INPUTS: Tensors = [("mel", FLOAT, ["N", 1, 80, 16])]
ENCODER_OUTPUTS: Tensors = [("emb", FLOAT, ["N", 512])]


def write(path: Path, inputs: Tensors, outputs: Tensors, nodes: list[Any], weights: list[Any] | None = None) -> Path:
    """Write a network of some nodes with the tensors that it shall claim to have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    taken, given = ([helper.make_tensor_value_info(*tensor) for tensor in tensors] for tensors in (inputs, outputs))
    graph = helper.make_graph(nodes, "test", taken, given, initializer=weights or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def claiming(path: Path, inputs: Tensors, outputs: Tensors) -> Path:
    """A network that loads, with any tensors: it gives zeros of the claimed shape and never looks at its inputs."""
    nodes, sizes = [], []
    for name, kind, shape in outputs:
        known = [size if isinstance(size, int) else 1 for size in shape]
        sizes.append(helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(known)], known))
        zero = helper.make_tensor("", kind, [1], [0])
        nodes.append(helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], value=zero))
    return write(path, inputs, outputs, nodes, sizes)


def passing(path: Path, batch: int | str = "N", audio_batch: int | str | None = None, swap_names: bool = False) -> Path:
    """A generator of no weights: the face's three planes, lit by the mean of what is heard."""
    names = ("audio", "input") if swap_names else ("x", "y")
    heard_batch = batch if audio_batch is None else audio_batch
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("three", TensorProto.INT64, [1], [3]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
    ]
    nodes = [
        helper.make_node("Slice", [names[0], "zero", "three", "one"], ["face"]),
        helper.make_node("ReduceMean", [names[1]], ["heard"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["face", "heard"], ["z"]),
    ]
    inputs: Tensors = [
        (names[0], FLOAT, [batch, 6, 320, 320]),
        (names[1], FLOAT, [heard_batch, 32, 16, 16]),
    ]
    return write(path, inputs, [("z", FLOAT, [batch, 3, 320, 320])], nodes, constants)


@pytest.fixture
def load(networks: tuple[Path, Path], settings: Settings) -> Any:
    """Load a generator beside the small audio encoder, or the other way round."""

    def run(generator: Path | None = None, audio_encoder: Path | None = None, **changed: object) -> LipModel:
        return load_lip_model(
            generator or networks[0], audio_encoder or networks[1], settings.model_copy(update=changed)
        )

    return run


def refusal(kind: type[LipsyncError], load: Any, **files: Any) -> str:
    with pytest.raises(kind) as refused:
        load(**files)
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


BAD_GENERATORS: dict[str, tuple[Tensors, Tensors, list[str]]] = {
    "one input": (GENERATOR_INPUTS[:1], GENERATOR_OUTPUTS, ["takes 1 inputs, but 2 are expected"]),
    "three inputs": (
        [*GENERATOR_INPUTS, ("eyes", FLOAT, ["N", 1])],
        GENERATOR_OUTPUTS,
        ["takes 3 inputs, but 2 are expected"],
    ),
    "inputs in another order": (GENERATOR_INPUTS[::-1], GENERATOR_OUTPUTS, ["input 'audio'", "[", "6, 320, 320]"]),
    "160-px faces": (
        [("input", FLOAT, ["N", 6, 160, 160]), GENERATOR_INPUTS[1]],
        [("output", FLOAT, ["N", 3, 160, 160])],
        ["input 'input'", "160", "6, 320, 320]"],
    ),
    "rows last": ([("input", FLOAT, ["N", 320, 320, 6]), GENERATOR_INPUTS[1]], GENERATOR_OUTPUTS, ["320, 320, 6]"]),
    "no batch axis": ([("input", FLOAT, [6, 320, 320]), GENERATOR_INPUTS[1]], GENERATOR_OUTPUTS, ["[6, 320, 320]"]),
    "half precision": (
        [("input", HALF, ["N", 6, 320, 320]), ("audio", HALF, ["N", 32, 16, 16])],
        [("output", HALF, ["N", 3, 320, 320])],
        ["float16", "float32"],
    ),
    "double output": (GENERATOR_INPUTS, [("output", DOUBLE, ["N", 3, 320, 320])], ["output 'output'", "double"]),
    "six planes out": (GENERATOR_INPUTS, [("output", FLOAT, ["N", 6, 320, 320])], ["output 'output'", "6, 320, 320]"]),
    "wav2lip front end": (
        [GENERATOR_INPUTS[0], ("audio", FLOAT, ["N", 32, 32, 32])],
        GENERATOR_OUTPUTS,
        ["32, 32, 32]", "32, 16, 16]", "another audio front end"],
    ),
    "wenet front end": (
        [GENERATOR_INPUTS[0], ("audio", FLOAT, ["N", 256, 16, 32])],
        GENERATOR_OUTPUTS,
        ["256, 16, 32]", "32, 16, 16]", "another audio front end"],
    ),
}


@pytest.mark.parametrize(("inputs", "outputs", "words"), BAD_GENERATORS.values(), ids=BAD_GENERATORS)
def test_a_generator_of_another_kind_is_refused_with_what_was_found_and_what_is_expected(
    inputs: Tensors, outputs: Tensors, words: list[str], load: Any, tmp_path: Path
) -> None:
    text = refusal(Rejected, load, generator=claiming(tmp_path / "generator.onnx", inputs, outputs))
    assert "generator.onnx" in text
    assert all(word in text for word in words), text


BAD_ENCODERS: dict[str, tuple[Tensors, Tensors, list[str]]] = {
    "two inputs": ([*ENCODER_INPUTS, ("length", FLOAT, ["N"])], ENCODER_OUTPUTS, ["takes 2 inputs, but 1"]),
    "40 bands": ([("mel", FLOAT, ["N", 1, 40, 16])], ENCODER_OUTPUTS, ["40, 16]", "80, 16]"]),
    "no channel": ([("mel", FLOAT, ["N", 80, 16])], ENCODER_OUTPUTS, ["input 'mel'", "80, 16]"]),
    "another width": (ENCODER_INPUTS, [("emb", FLOAT, ["N", 256])], ["output 'emb'", "256]", "512]"]),
    "whole numbers": (ENCODER_INPUTS, [("emb", DOUBLE, ["N", 512])], ["output 'emb'", "double"]),
}


@pytest.mark.parametrize(("inputs", "outputs", "words"), BAD_ENCODERS.values(), ids=BAD_ENCODERS)
def test_an_audio_encoder_of_another_kind_is_refused(
    inputs: Tensors, outputs: Tensors, words: list[str], load: Any, tmp_path: Path
) -> None:
    text = refusal(Rejected, load, audio_encoder=claiming(tmp_path / "encoder.onnx", inputs, outputs))
    assert "encoder.onnx" in text
    assert all(word in text for word in words), text


def test_the_two_networks_may_not_change_places(networks: tuple[Path, Path], load: Any) -> None:
    refusal(Rejected, load, generator=networks[1], audio_encoder=networks[0])


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "absent", "folder"])
def test_a_damaged_file_is_named(damage: str, networks: tuple[Path, Path], load: Any, tmp_path: Path) -> None:
    path = tmp_path / "generator.onnx"
    whole = networks[0].read_bytes()
    contents = {"empty": b"", "text": b"<html>404</html>", "cut": whole[: len(whole) // 2]}
    if damage in contents:
        path.write_bytes(contents[damage])
    elif damage == "folder":
        path.mkdir()
    assert "generator.onnx" in refusal(Failed, load, generator=path)


def test_a_network_with_operators_that_do_not_exist_is_refused(load: Any, tmp_path: Path) -> None:
    nodes = [helper.make_node("Conjure", ["input", "audio"], ["output"])]
    path = write(tmp_path / "generator.onnx", GENERATOR_INPUTS, GENERATOR_OUTPUTS, nodes)
    assert "generator.onnx cannot be loaded" in refusal(Failed, load, generator=path)


def faces(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(1).random((count, 6, 320, 320), np.float32)


def audio(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(2).random((count, 32, 16, 16), np.float32) + np.float32(0.1)


@pytest.mark.parametrize("swap_names", [False, True])
def test_tensors_are_bound_by_place_not_by_name(swap_names: bool, load: Any, tmp_path: Path) -> None:
    model = load(generator=passing(tmp_path / "generator.onnx", swap_names=swap_names))
    seen, heard = faces(2), audio(2)
    expected = seen[:, :3] * heard.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(model.generate(seen, heard), expected, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(("exported", "asked", "batch"), [("N", 0, 1), ("N", 3, 3), (1, 3, 1), (4, 0, 4), (4, 3, 4)])
def test_partial_batches_are_filled_up_and_give_each_row_its_own_answer(
    exported: int | str, asked: int, batch: int, count: int, load: Any, tmp_path: Path
) -> None:
    model = load(generator=passing(tmp_path / "generator.onnx", exported), batch=asked)
    assert model.generator.batch == batch
    seen, heard = faces(count), audio(count)
    before = seen.copy(), heard.copy()
    found = model.generate(seen, heard)
    assert found.shape == (count, 3, 320, 320)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, seen[:, :3] * heard.mean(axis=(1, 2, 3), keepdims=True), rtol=1e-5)
    assert np.array_equal(seen, before[0])
    assert np.array_equal(heard, before[1])


def test_the_batch_is_fixed_so_that_a_row_cannot_feel_its_place(load: Any, tmp_path: Path) -> None:
    """The network tells how many rows it was given: always as many, also for the last ones."""
    nodes = [
        helper.make_node("Shape", ["mel"], ["sizes"], start=0, end=1),
        helper.make_node("Cast", ["sizes"], ["rows"], to=FLOAT),
        helper.make_node("Shape", ["mel"], ["again"], start=0, end=1),
        helper.make_node("Concat", ["again", "width"], ["wanted"], axis=0),
        helper.make_node("Expand", ["rows", "wanted"], ["emb"]),
    ]
    width = [helper.make_tensor("width", TensorProto.INT64, [1], [512])]
    counting = write(tmp_path / "encoder.onnx", ENCODER_INPUTS, ENCODER_OUTPUTS, nodes, width)
    model = load(audio_encoder=counting, batch=4)
    for count in (1, 4, 6):
        assert (model.encode(np.zeros((count, 1, 80, 16), np.float32)) == 4).all()


@pytest.mark.parametrize(("face_batch", "audio_batch"), [("N", 1), (1, 2), (2, "N"), (3, 1)])
def test_inputs_of_different_fixed_batches_run_or_are_refused_when_they_are_loaded(
    face_batch: int | str, audio_batch: int | str, load: Any, tmp_path: Path
) -> None:
    path = passing(tmp_path / "generator.onnx", face_batch, audio_batch)
    try:
        model = load(generator=path, batch=3)
    except LipsyncError as refused:
        assert "generator.onnx" in str(refused)
    else:
        assert model.generate(faces(4), audio(4)).shape == (4, 3, 320, 320)


@pytest.mark.parametrize("kind", ["demo", "small"])
def test_frames_are_the_same_bits_for_every_batch_and_number_of_threads(
    kind: str, networks: tuple[Path, Path], load: Any
) -> None:
    """Seen here on x86-64: not even the bound of one grey level is needed."""
    generator = demo_pack().generator if kind == "demo" else networks[0]
    seen, heard = faces(4), audio(4)
    answers = [
        load(generator=generator, batch=batch, threads=threads).generate(seen, heard)
        for batch, threads in [(1, 1), (1, 2), (3, 1), (3, 2)]
    ]
    assert np.ptp(answers[0]) > 0.1
    assert all(np.array_equal(answer, answers[0]) for answer in answers[1:])


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_loading_on_a_machine_without_the_accelerator_is_refused_not_done_slowly(load: Any) -> None:
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is built with CUDA")
    assert "LIPSYNC_PROVIDERS=cuda" in refusal(Failed, load, providers="cuda")
    assert load(providers="auto").generator.session.get_providers() == [CPU]


def test_the_graphs_of_this_file_are_valid_onnx(tmp_path: Path) -> None:
    onnx.checker.check_model(str(passing(tmp_path / "a.onnx")))
    onnx.checker.check_model(str(claiming(tmp_path / "b.onnx", ENCODER_INPUTS, ENCODER_OUTPUTS)))
