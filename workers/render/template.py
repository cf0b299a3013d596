"""Which template frame receives the mouth of which output frame."""


def template_index(frame_index: int, template_frames: int) -> int:
    """Walk the template forward and back without doubling its ends, starting at its second frame.

    Args:
        frame_index: output frame, counted over the whole job.
        template_frames: frames of the template clip, at least 1.
    """
    if template_frames == 1:
        return 0
    period = 2 * (template_frames - 1)
    step = (frame_index + 1) % period
    return step if step < template_frames else period - step
