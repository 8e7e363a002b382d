"""A conversation with a trained model: turn after turn, each laid out behind what was said before, as training lays them out.

    talk = Conversation(UniAudio.from_pretrained("models/mine"))
    talk.ask("What is said here?", audio="clip.wav").text        -> "let's go"
    talk.ask("How does the speaker feel?").text                  -> "happy"
    talk.ask("Say this.", words="Good morning.", speaks=True).audio      -> [N] float32 at 24 kHz

Whether a turn is answered in text or in sound is said by who asks: text and frames come from two heads, and nothing says which of them is next.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.instructions import InstructionSegment

from uniaudio.lm.answer import Generated
from uniaudio.lm.grammar import MODES, TEXT, grammar_of
from uniaudio.run.clips import read_clip
from uniaudio.run.model import Result, UniAudio, tokens_of
from uniaudio.run.options import Options
from uniaudio.run.request import Audio
from uniaudio.sequence.build import lay_out_segments
from uniaudio.sequence.layout import Segment, audio_segment, lay_out
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks.conversation import CONVERSATION, turn_segments


class Conversation:
    """What was asked and answered so far. UsageError where the model was not trained on conversations."""

    def __init__(self, model: UniAudio, options: Options | None = None) -> None:
        if CONVERSATION.name not in model.tasks:
            tasks = ", ".join(model.tasks) or "nothing that it can run"
            raise UsageError(f"`model` must be one that was trained on conversations, but was trained on {tasks}.")
        self._model, self._options = model, options or Options()
        self._said: list[Segment] = []
        self.num_turns = 0

    def ask(
        self,
        request: str = "",
        *,
        audio: Audio | None = None,
        words: str = "",
        speaks: bool = False,
        options: Options | None = None,
    ) -> Result:
        """The answer to one more turn: what is asked, the words to be spoken, a clip to be heard; of these at least a request or a clip.

        `speaks`: the answer is a clip, and no text. A turn that fails leaves the conversation as it was.
        """
        if not request.strip() and audio is None:
            raise UsageError("A turn must ask something or give a clip, but does neither.")
        if words and not speaks:
            raise UsageError("`words` must be spoken, but the turn is answered in text: set `speaks`.")
        name = f"turn {self.num_turns + 1}"
        parts = turn_segments(request.strip(), words.strip(), "" if audio is None else name)
        turn = lay_out_turn(self._model, parts, {} if audio is None else {name: audio})
        plan = MODES["audio" if speaks else "text"]
        result = self._model.write(lay_out([*self._said, *turn]), plan, options or self._options, name=name)
        self._said += [*turn, *answered(result.generated, self._model.parts.vocabulary)]
        self.num_turns += 1
        return result


def lay_out_turn(model: UniAudio, parts: list[InstructionSegment], clips: Mapping[str, Audio]) -> list[Segment]:
    """The parts of a turn with what `clips`, by name, are encoded to."""
    waveforms = [read_clip(clip) for clip in clips.values()]
    codes = model.codec.encode(waveforms) if waveforms else []
    tokens = {name: tokens_of(name, one) for name, one in zip(clips, codes, strict=True)}
    return lay_out_segments(parts, tokens, model.parts.tokenizer, model.parts.vocabulary)


def answered(answer: Generated, vocabulary: Vocabulary) -> Iterator[Segment]:
    """An answer as the segments that it would be in training: with its ends, also where it was cut off."""
    grammar = grammar_of(vocabulary)
    for segment in answer.segments:
        if segment.kind != TEXT:
            yield audio_segment(segment.kind, segment.ids, vocabulary, loss=False)
            continue
        ids = [*segment.ids.tolist(), grammar.text_end]
        if ids[0] in grammar.closers:
            ids.append(grammar.closers[ids[0]])
        yield Segment(np.asarray(ids, np.int64), False)
