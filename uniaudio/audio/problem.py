"""What was found wrong with an audio file that could be read all the same: a kind in snake_case, and a detail.

Row  Problem(kind="longer_than_header", detail="89856 samples, the header says 63592")
"""

from dataclasses import dataclass

KINDS = {
    "longer_than_header": "more audio than the header says; all of it was read",
    "shorter_than_header": "less audio than the header says, by so little that the file is not cut short",
    "unknown_length": "the header leaves the length open, so that a cut would not be seen",
    "junk_before_audio": "bytes in front of the audio that are of no known format; they were skipped",
    "junk_behind_audio": "bytes behind the audio that are of no known format; they were skipped",
    "junk_between_frames": "bytes between two frames that are no frame; they were skipped",
    "partial_last_frame": "the file ends inside a frame, which was left out",
    "undecodable_frames": "frames that the decoder refused; they were left out",
    "missing_pages": "pages of an Ogg stream are missing by their own count",
    "no_end_mark": "an Ogg stream without its last page's mark: perhaps cut, perhaps a capture of a broadcast",
    "chained_streams": "several files in one, one behind the other; all of them were read",
    "other_audio_streams": "more audio streams than the one that was read",
    "wrong_suffix": "the contents are of another format than the suffix says; the contents decided",
    "clipped": "samples that lie at full scale, flattened before they were stored",
    "beyond_full_scale": "samples beyond full scale in a file of floating-point or lossily coded samples",
    "channels_cancel": "the mean of the channels is much weaker than the channels",
    "silent_channel": "one channel is silent, another is not",
    "constant_offset": "the mean of a channel is far from zero",
}
"""Kind of problem -> its meaning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    kind: str
    """One of `KINDS`."""
    detail: str
    """Figures for a person to read."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"
