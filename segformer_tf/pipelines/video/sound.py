"""The sound of a video file, copied into the MP4 of its overlay as it is."""

import io
import math
import shlex
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segformer_tf.pipelines.video.decoding import BACK, beginning

TRIED = 4  # packets that are written to find out whether MP4 takes a track
CHANNELS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # what AVI and MKV leave unsaid of PCM, and MP4 must know


class Sound:
    """Copies the first track that MP4 takes, packet by packet. Making it warns of what is left out.

    Its times count from where the pictures' do. Where they jump back, the pictures' do too, by the same amount: `jumps`
    of `decoding.Clock`, as it grows.
    """

    def __init__(self, av: Any, source: Path, jumps: Sequence[float] = ()):
        self._av, self._name, self._jumps = av, str(source.absolute()), jumps  # `frames._container` says why
        self._jumped, self._read_to, self._end, self._last = 0, -math.inf, 0.0, -math.inf
        with av.open(self._name) as file:
            taken = [track.index for track in file.streams.audio if _fits(av, self._name, track.index)]
            kinds = [getattr(track.codec_context, "name", "unknown") for track in file.streams.audio]
        if kinds and not taken:
            warnings.warn(
                f"The overlay of {source} gets no sound: MP4 does not take {' or '.join(kinds)} as it stands there. "
                "Add it converted: "
                f"`ffmpeg -i OVERLAY -i {shlex.quote(str(source))} -map 0:v -map 1:a -c:v copy -c:a aac NEW.mp4`.",
                stacklevel=3,
            )
        elif len(kinds) > 1:
            warnings.warn(
                f"{source} has {len(kinds)} sound tracks; the overlay gets the first that MP4 takes, and no other.",
                stacklevel=3,
            )
        self._container = av.open(self._name) if taken else None
        self._start = beginning(self._container) if self._container else 0.0
        self._from = self._container.streams[taken[0]] if self._container else None
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None

    def begin(self, target: Any) -> None:
        """Adds the track to a container that is written."""
        if self._from is not None:
            self._target, self._to = target, _added(target, self._from)
            self._packets = self._read()
            self._advance()

    def _read(self) -> Iterator[Any]:
        try:
            yield from _packets(self._container, self._from)
        except self._av.error.FFmpegError:  # cut off: what was heard before is kept
            return

    def until(self, seconds: float | None) -> None:
        """Writes what begins before a time; None: all that is left."""
        while self._next is not None:
            packet, late = self._next, self._late(seconds is None)
            begin = _begin(packet) - self._start + late
            if seconds is not None and begin >= seconds:
                return
            steps, packet.stream = round((late - self._start) / packet.time_base), self._to
            packet.dts, packet.pts = packet.dts + steps, None if packet.pts is None else packet.pts + steps
            length = float((packet.duration or 0) * packet.time_base)
            try:
                if not self._jumped or packet.dts > self._last:  # the part before may have sounded longer
                    self._last = packet.dts
                    self._target.mux(packet)
                    self._end = begin + length
            except (self._av.error.ArgumentError, self._av.error.InvalidDataError):  # such as times that go backwards
                warnings.warn(f"The sound of {self._name} is broken at {begin:.2f} s and left out after.", stacklevel=3)
                self._packets = iter(())
            self._advance()

    def _advance(self) -> None:
        self._next = next(self._packets, None)
        if self._next is not None:
            begin = _begin(self._next)
            self._jumped += begin < self._read_to - BACK
            self._read_to = begin

    def _late(self, pictures_ended: bool) -> float:
        """Seconds that the next packet's time is moved by; infinite until the pictures have come to its jump."""
        if not self._jumped:
            return 0.0
        if self._jumped <= len(self._jumps):
            return self._jumps[self._jumped - 1]
        return self._end + self._start - _begin(self._next) if pictures_ended else math.inf

    def close(self) -> None:
        """Lets go of the file."""
        self._packets, self._next = iter(()), None
        if self._container is not None:
            self._container.close()


def _added(target: Any, track: Any) -> Any:
    """A track of another container, added to `target` as it is."""
    made = target.add_stream_from_template(track)
    layout = made.codec_context.layout
    if layout.name == f"{layout.nb_channels} channels" and layout.nb_channels in CHANNELS:
        made.codec_context.layout = CHANNELS[layout.nb_channels]
    return made


def _packets(container: Any, track: Any) -> Iterator[Any]:
    return (packet for packet in container.demux(track) if packet.dts is not None)


def _begin(packet: Any) -> float:
    return float((packet.dts if packet.pts is None else packet.pts) * packet.time_base)


def _fits(av: Any, source: str, index: int) -> bool:
    """Whether MP4 takes a track. It depends on more than the codec: so it is tried."""
    try:
        with av.open(source) as file, av.open(io.BytesIO(), "w", format="mp4") as tried:
            track = _added(tried, file.streams[index])
            for _, packet in zip(range(TRIED), _packets(file, file.streams[index]), strict=False):
                packet.stream = track
                tried.mux(packet)
            tried.start_encoding()
    except Exception:  # FFmpeg's errors, and PyAV's own ValueError and TypeError for codecs that it does not know
        return False
    return True
