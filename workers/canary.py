"""The canary: one face, rendered from a fixed sound and compared with its stored answer before any work is taken.

The answer lies beside the pack and not in it: a pack's digest is the same wherever it is made, a picture's last bits
are not. Machines may differ by one grey level, which is what the comparison allows.
"""

from contextlib import closing
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from infra.errors import Failed, NotFound
from infra.object_store import ObjectStore
from infra.settings import Precision, Settings
from jobs import keys
from jobs.timing import SAMPLE_RATE_HZ, Span, frame_count
from workers.avatar.demo import demo_canary, demo_pack
from workers.avatar.pack import Pack
from workers.lip_model import load_lip_model
from workers.painter import Painter
from workers.pipeline import Part, hear, paint
from workers.render.composite import face_picture
from workers.render.crop import Picture, network_input
from workers.render.template import template_index
from workers.sessions import Provider, short_name
from workers.stopwatch import Stopwatch
from workers.warm import WarmAvatar, warm_up

TOLERANCE: Final[dict[Precision, int]] = {"float32": 1, "float16": 4}
"""Grey levels: what machines may differ by, and what calculating in halves was seen to cost (2), with room to spare."""
FRAME: Final = 12  # in the middle of the sound
_SOUND_HZ = (140.0, 280.0, 700.0, 1220.0, 2600.0)  # a voice's pitch and its overtone, and the formants of an open vowel


def canary_sound() -> npt.NDArray[np.float32]:
    """One second of a vowel-like sound that swells and fades: float32 (16000,)."""
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    voice = sum(np.sin(2 * np.pi * hertz * time_s) / (1 + index) for index, hertz in enumerate(_SOUND_HZ))
    return np.asarray(0.2 * voice * np.sin(np.pi * time_s) ** 2, np.float32)


def render_canary(avatar: WarmAvatar) -> Picture:
    """A warm avatar's answer to the canary sound, on the way that every frame goes: uint8 (320, 320, 3)."""
    painted = paint(avatar, _part(), Stopwatch())
    with closing(painted):
        return next(painted).face


def make_canary(pack: Pack, settings: Settings) -> bytes:
    """Render the canary of a new pack here, with its networks as they are, and give the answer, a PNG.

    The way that every frame goes must lead to the same answer, or every worker would refuse the avatar.

    Raises:
        Failed: the networks do not answer as the contract demands, or not when they are cut in two.
        Rejected: the generator cannot be cut in two.
    """
    model = load_lip_model(pack.generator, pack.audio_encoder, settings)
    avatar = warm_up(pack, settings)
    template = avatar.template
    (_, heard), *_ = hear(model, _part(), 1, Stopwatch())
    face = network_input(template.crops[template_index(FRAME, len(template))])
    (picture,) = model.generate(face[None], heard)
    if not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 1:
        raise Failed("The avatar's generator answers with values outside [0, 1]: it is not a network of this contract.")
    answer = encode_png(face_picture(picture))
    compare_canary(pack.digest, render_canary(avatar), answer, avatar.painter)
    return answer


def prove(digest: str, avatar: WarmAvatar, store: ObjectStore) -> None:
    """Compare this machine's answer with the stored one.

    Raises:
        Failed: they differ, or there is no stored one.
    """
    try:
        stored = store.get(keys.canary(digest))
    except NotFound:
        raise Failed(f"Avatar {digest} has no canary in {store.url}: import the avatar again.") from None
    compare_canary(digest, render_canary(avatar), stored, avatar.painter)


def prove_with_demo(settings: Settings) -> Provider:
    """Prove this machine with the avatar that ships, where no other was named to do it with.

    Returns:
        What the networks run on.

    Raises:
        Failed: this machine renders wrongly.
    """
    pack = demo_pack()
    avatar = warm_up(pack, settings)
    compare_canary(pack.digest, render_canary(avatar), demo_canary(), avatar.painter)
    return short_name(avatar.painter.provider)


def _part() -> Part:
    sound = canary_sound()
    frames = Span(FRAME, FRAME + 1)
    return Part(lambda span: sound[slice(*span)], len(sound), frame_count(len(sound), "exact"), frames)


def compare_canary(digest: str, answer: Picture, stored_png: bytes, painter: Painter) -> None:
    """Raise `Failed` unless two answers agree within the tolerance."""
    stored = cv2.imdecode(np.frombuffer(stored_png, np.uint8), cv2.IMREAD_COLOR) if stored_png else None
    if stored is None or stored.shape != answer.shape:
        raise Failed(f"The stored canary of avatar {digest} is damaged: import the avatar again.")
    difference = int(np.abs(answer.astype(np.int16) - stored.astype(np.int16)).max())
    if difference > TOLERANCE[painter.precision]:
        raise Failed(
            f"The canary frame of avatar {digest} differs by {difference} grey levels on {painter.provider}: this "
            "machine would render wrong frames; check its driver and its ONNX Runtime."
        )


def encode_png(picture: Picture) -> bytes:
    """A picture as PNG."""
    ok, data = cv2.imencode(".png", picture)
    if not ok:
        raise Failed("A picture could not be encoded as PNG.")
    return data.tobytes()
