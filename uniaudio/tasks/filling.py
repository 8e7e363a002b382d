"""How one row of `annotated` fills a task by itself: of which clips, and which text stands in which slot.

OneClip(domains=("speech",), texts={"style": style_of, "transcript": spoken})
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from uniaudio_schemas.kinds.annotated import Annotated

from uniaudio.tasks.annotations import CANTONESE, captions_of, is_dysarthric, words_of

TextsOf = Callable[[Annotated], Sequence[str]]
"""What may stand in a slot: nothing, a text, or several, of which each gives an example."""
MAX_CAPTIONS = 5
"""Most captions of one clip that make examples, since Clotho and AudioCaps have several."""
AUDIO = ("speech", "sound", "music", "unknown")


def _any(clip: Annotated) -> bool:
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class OneClip:
    domains: tuple[str, ...]
    texts: Mapping[str, TextsOf] = field(default_factory=dict)
    """Slot -> what stands in it; the clip itself stands in every slot of audio."""
    only: Callable[[Annotated], bool] = _any
    is_sampled: bool = False
    """Built of a share of the clips (`codes_share` of the job): a drill, not a use."""

    def fillings(self, clip: Annotated) -> list[dict[str, str]]:
        """One dictionary of texts for each example that the clip gives."""
        if clip.domain not in self.domains or not self.only(clip):
            return []
        options = [[(slot, text) for text in texts_of(clip)] for slot, texts_of in self.texts.items()]
        return [dict(choice) for choice in product(*options)]


def spoken(clip: Annotated) -> Sequence[str]:
    words = words_of(clip)
    return (words,) if words else ()


def style_of(clip: Annotated) -> Sequence[str]:
    return _one(clip.style)


def lyrics_of(clip: Annotated) -> Sequence[str]:
    return _one(clip.lyrics)


def passage_of(clip: Annotated) -> Sequence[str]:
    return _one(clip.text)


def described(clip: Annotated) -> Sequence[str]:
    return captions_of(clip)[:MAX_CAPTIONS]


def is_plain_speech(clip: Annotated) -> bool:
    return not is_cantonese(clip) and not is_dysarthric(clip)


def is_cantonese(clip: Annotated) -> bool:
    return clip.language == CANTONESE and not is_dysarthric(clip)


def _one(text: str | None) -> Sequence[str]:
    return (text.strip(),) if text and text.strip() else ()
