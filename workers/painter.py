"""Painting faces: the generator in two halves, and a bank of what the first half knows of each template frame.

A template is walked forwards and backwards for as long as a job lasts, and for the next job of the same avatar again:
its frames go through the encoder half once, and their tensors stay on the device, as far as there is room.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar, TypeVarTuple

import numpy as np
import numpy.typing as npt

from infra.errors import Failed
from infra.settings import Settings
from workers.avatar.networks.half_tensors import BANK, FACE, HEARD, PAINTED, SLOTS
from workers.avatar.networks.prepared import HalfFiles
from workers.render.crop import FACE_PX, INNER
from workers.sessions import device_of, first_line, import_runtime, open_session, runtime_errors
from workers.stopwatch import Stage, Stopwatch

Float32 = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_TYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Bank:
    """Tensors of template frames on a device, the least recently used giving way."""

    def __init__(self, tensors: Sequence[Any], frames: int, budget_bytes: int, at_least: int, place: tuple[str, int]):
        """Reserve room.

        Args:
            tensors: the encoder half's outputs, each with name, type and shape (1, …).
            frames: of the template.
            budget_bytes: that may be used.
            at_least: template frames that one run of the decoder half looks at, for which there is always room.
            place: device and its index, as ONNX Runtime names them.

        Raises:
            Failed: the device has not that much memory.
        """
        self._place = place
        self._layout = {tensor.name: (_TYPES[tensor.type], tuple(tensor.shape[1:])) for tensor in tensors}
        self._strides = {
            name: int(np.prod(shape)) * np.dtype(kind).itemsize for name, (kind, shape) in self._layout.items()
        }
        self.frame_bytes = sum(self._strides.values())
        """Bytes that one template frame takes."""
        self.room = min(frames, max(at_least, budget_bytes // max(self.frame_bytes, 1)))
        """Template frames that find room."""
        self.bytes = self.room * self.frame_bytes
        """Bytes that all of them take."""
        self.values = self._reserve()
        """Each tensor of all template frames that are kept, (room, …)."""
        self._free = list(range(self.room))
        self._slots: OrderedDict[int, int] = OrderedDict()

    def slot(self, template_frame: int, fill: Callable[[int], None]) -> int:
        """Where a template frame is kept; `fill` makes its tensors there first if it is not kept yet."""
        if template_frame not in self._slots:
            if not self._free:
                self._free.append(self._slots.popitem(last=False)[1])
            fill(self._free[-1])  # may raise, and then nothing is kept there
            self._slots[template_frame] = self._free.pop()
        self._slots.move_to_end(template_frame)
        return self._slots[template_frame]

    def bind_outputs(self, binding: Any, slot: int) -> None:
        """Have a run of the encoder half write into a slot."""
        for name, (kind, shape) in self._layout.items():
            binding.bind_output(name, *self._place, kind, [1, *shape], self._address(name, slot))

    def bind_inputs(self, binding: Any, slot: int) -> None:
        """Have a run of the decoder half read a slot."""
        for name, (kind, shape) in self._layout.items():
            binding.bind_input(name, *self._place, kind, [1, *shape], self._address(name, slot))

    def bind_whole(self, binding: Any) -> None:
        """Have runs of the decoder half read any slot."""
        for name, value in self.values.items():
            binding.bind_ortvalue_input(BANK + name, value)

    def _reserve(self) -> dict[str, Any]:
        new = import_runtime().OrtValue.ortvalue_from_shape_and_type
        try:
            return {name: new([self.room, *shape], kind, *self._place) for name, (kind, shape) in self._layout.items()}
        except runtime_errors() as error:
            mb = self.bytes // 1_000_000
            raise Failed(f"{mb} MB for template frames are not to be had here: lower LIPSYNC_CACHE_MB.") from error

    def _address(self, name: str, slot: int) -> int:
        return int(self.values[name].data_ptr()) + slot * self._strides[name]


class Painter:
    """Draws the faces of output frames.

    One thread of its own drives the device from first to last, whoever asks: CUDA keeps handles and recorded graphs for
    each thread that ever did.
    """

    def __init__(self, files: HalfFiles, crops: Pictures, settings: Settings, budget_bytes: int, batch: int) -> None:
        """Load both halves.

        Args:
            files: the halves.
            crops: uint8 (N, 328, 328, 3) BGR, the crops of all template frames.
            settings: what to run on.
            budget_bytes: of the device's memory, for template frames.
            batch: for which the halves were made.

        Raises:
            NotANetwork: a half cannot be loaded.
            Failed: the provider that was asked for is not there.
        """
        self.batch = batch
        """Output frames in one run."""
        self.precision = settings.precision
        """In what it calculates."""
        self._crops = crops
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self.on_device(self._open, files, settings, budget_bytes)

    def _open(self, files: HalfFiles, settings: Settings, budget_bytes: int) -> None:
        """Load both halves and give every tensor its place on the device."""
        engines = files.decoder.parent / "engines"
        self._encoder = open_session(files.encoder, settings, engines=engines)
        self._decoder = open_session(files.decoder, settings, engines=engines, recorded=True)
        self.provider = str(self._decoder.get_providers()[0])
        """What the decoder half really runs on, as ONNX Runtime names it."""
        place = (device_of(self._decoder), settings.device if device_of(self._decoder) == "cuda" else 0)
        frames = len(self._crops)
        self.bank = Bank(self._encoder.get_outputs(), frames, budget_bytes, min(self.batch, frames), place)
        new = import_runtime().OrtValue.ortvalue_from_shape_and_type
        self._face = new([1, FACE_PX, FACE_PX, 3], np.uint8, *place)
        self._heard = new([self.batch, 32, 16, 16], np.float32, *place)
        self._painted = new([self.batch, FACE_PX, FACE_PX, 3], np.uint8, *place)
        self._slots = new([self.batch], np.int64, *place) if files.from_bank else None
        self._encoding, self._decoding = self._encoder.io_binding(), self._decoder.io_binding()
        self._encoding.bind_ortvalue_input(FACE, self._face)
        self._decoding.bind_ortvalue_input(HEARD, self._heard)
        self._decoding.bind_ortvalue_output(PAINTED, self._painted)
        if self._slots is not None:
            self._decoding.bind_ortvalue_input(SLOTS, self._slots)
            self.bank.bind_whole(self._decoding)

    def paint(self, template_frames: Sequence[int], heard: Float32, stopwatch: Stopwatch) -> Pictures:
        """Draw the faces of output frames.

        Args:
            template_frames: the template frame of each.
            heard: float32 (frames, 32, 16, 16), what each is conditioned on.
            stopwatch: records the runs of both halves.

        Returns:
            uint8 (frames, 320, 320, 3), BGR.

        Raises:
            Failed: ONNX Runtime cannot run a half.
        """
        painted = np.empty((len(template_frames), FACE_PX, FACE_PX, 3), np.uint8)
        for start in range(0, len(template_frames), self.batch):
            part = slice(start, start + self.batch)
            self.on_device(self._paint, template_frames[part], heard[part], painted[part], stopwatch)
        return painted

    def on_device(self, function: Callable[[*Arguments], Result], *args: *Arguments) -> Result:
        """Have the thread that drives the device do something."""
        return self._thread.submit(function, *args).result()

    def _paint(self, template_frames: Sequence[int], heard: Float32, result: Pictures, stopwatch: Stopwatch) -> None:
        """One run: kernels are chosen by shape, so a partial batch is filled up and the rest of it thrown away."""
        count = len(template_frames)
        slots = [self.bank.slot(frame, partial(self._encode, frame, stopwatch)) for frame in template_frames]
        with stopwatch.measure(Stage.DECODER_HALF):
            filled = np.resize(np.arange(count), self.batch)
            self._heard.update_inplace(np.ascontiguousarray(heard[filled], np.float32))
            if self._slots is None:
                self.bank.bind_inputs(self._decoding, slots[0])
            else:
                self._slots.update_inplace(np.array(slots, np.int64)[filled])
            self._run(self._decoder, self._decoding)
            result[...] = self._painted.numpy()[:count]

    def _encode(self, template_frame: int, stopwatch: Stopwatch, slot: int) -> None:
        """Make the tensors of a template frame in a slot of the bank."""
        with stopwatch.measure(Stage.ENCODER_HALF):
            self._face.update_inplace(np.ascontiguousarray(self._crops[template_frame][INNER, INNER])[None])
            self.bank.bind_outputs(self._encoding, slot)
            self._run(self._encoder, self._encoding)

    def _run(self, session: Any, binding: Any) -> None:
        try:
            session.run_with_iobinding(binding)
        except runtime_errors() as error:
            raise Failed(
                f"Drawing {self.batch} frames at a time failed on {self.provider}: {first_line(error)}; set "
                "LIPSYNC_BATCH=1, and LIPSYNC_CACHE_MB where memory is short."
            ) from error
