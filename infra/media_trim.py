"""A part of an audio source, cut at the exact sample."""

from collections.abc import Iterator

from infra.media_source import AudioSource, Block


class TrimmedSource(AudioSource):
    """The samples of `[start_s, stop_s)` of another source, which it takes over.

    Args:
        source: an open source whose blocks were not read yet.
        start_s: first instant, in seconds.
        stop_s: the instant after the last.
    """

    declared_s = None

    def __init__(self, source: AudioSource, start_s: float, stop_s: float) -> None:
        super().__init__(source.path, source.sample_rate, source.channels, allow_truncated=True)
        self._source = source
        self._first, self._end = round(start_s * source.sample_rate), round(stop_s * source.sample_rate)

    def close(self) -> None:
        """Close the other source."""
        self._source.close()

    def _decode(self) -> Iterator[Block]:
        position = 0
        for block in self._source.blocks():
            first, last = max(self._first - position, 0), min(self._end - position, len(block))
            if first < last:
                yield block[first:last]
            position += len(block)
            if position >= self._end:
                return
