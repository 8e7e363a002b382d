"""Conversations: two to four turns about one clip, or about two one after the other; each asks for something and has its answer.

    turn 1    prompt "What is said here?", audio 5f1c… -> transcript "let's go"
    turn 2    prompt "How does the speaker feel?"      -> answer "happy"
    turn 3    prompt "Repeat that, please."            -> reply 5f1c…

A turn is laid out like the task that it resembles: what is asked (`prompts/turn_*.txt`, or a question of `questions`), the words to be
spoken, a clip that was not heard yet, then the answer. The answers carry loss, all of them, and nothing else does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from uniaudio_schemas.fingerprint import hash_json
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.kinds.instructions import Instruction, InstructionSegment

from uniaudio.tasks.annotations import fact_of, words_of
from uniaudio.tasks.filling import described, is_plain_speech, style_of
from uniaudio.tasks.prompts import choose_prompt, prompts_of
from uniaudio.tasks.questions import attributes_of, choice_question
from uniaudio.tasks.recipes import share_of
from uniaudio.tasks.task import Task, audio, optional, prompt, repeated, text

NUM_TURNS = (2, 4)
CONVERSATION = Task(
    name="conversation",
    order=repeated(
        *optional(
            prompt("request"),
            text("words", "transcription"),
            *audio("audio"),
            text("transcript", "transcription", loss=True),
            text("caption", "caption", loss=True),
            text("answer", loss=True),
            *audio("reply", loss=True),
        )
    ),
    has_prompt=False,
    num_repeats=NUM_TURNS,
    metrics=("perplexity",),
    needs=("audio",),
)

OPEN = ("language", "gender", "accent", "emotion", "age", "voices", "tempo", "key")
"""Attributes that are asked for without choices too, since a clip has one value."""
ASKED = ("transcript", "caption", "voice", "speak", "repeat", *OPEN)
"""Kinds of question, one for each file `prompts/turn_*.txt`."""
_OPENERS = ("speak", "spoken_question")
"""Turns that nothing about the clip can stand before."""
_TOLD = {"speak": ("transcript", "repeat")}
"""Turn -> what its request gives away."""
_OWN_SLOTS = ("transcript", "caption")


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    kind: str
    """One of `ASKED`, a kind of question, or `spoken_question`."""
    clip_id: str
    request: str = ""
    """Empty where the clip itself asks."""
    words: str = ""
    """Words to be spoken. The clip is then the answer, not an input."""
    answer: str = ""
    """Empty where the clip itself answers."""


def turn_prompt(kind: str, language: str, key: str) -> str:
    """A wording that asks for `kind`; `key` (hex digits) decides which."""
    return choose_prompt(prompts_of(f"turn_{kind}"), language, key)


def turns_of(
    clip: Annotated, wrong: Mapping[str, Sequence[str]], *, language: str, seed: int, may_speak: bool
) -> list[Turn]:
    """Everything that can be asked about a clip, each kind once. `wrong`: kind of question -> values that the clip has not; `may_speak`:
    whether a model may learn to speak like the clip."""
    turns = []
    for kind, answer in _said(clip):
        turns.append(_turn(kind, clip, language, seed, answer=answer))
    for kind, true in sorted(attributes_of(clip).items()):
        turns += _about_value(clip, kind, sorted(true), wrong.get(kind, ()), language, seed)
    if clip.domain == "speech" and (reply := fact_of(clip, "answer")):
        turns.append(Turn(kind="spoken_question", clip_id=clip.clip_id, answer=reply))
    if may_speak and (words := words_of(clip)) and is_plain_speech(clip):
        turns.append(_turn("repeat", clip, language, seed))
        turns.append(_turn("speak", clip, language, seed, words=words))
    return turns


def choose_turns(turns: Sequence[Turn], count: int, seed: int) -> list[Turn]:
    """At most `count` of the turns about one clip, in an order that its id and the seed decide."""
    in_order = sorted(turns, key=lambda turn: share_of("turn", seed, turn.clip_id, turn.kind))
    if not in_order:
        return []
    first, *others = in_order
    revealed_kinds = _TOLD.get(first.kind, ())
    return [first, *(turn for turn in others if turn.kind not in (*_OPENERS, *revealed_kinds))][:count]


def conversation(turns: Sequence[Turn], *, corpus: str, split: str) -> Instruction:
    """The turns as one row of `instructions`; a clip is given where it was not heard yet."""
    texts: dict[str, str] = {}
    clips: dict[str, str] = {}
    heard_clips: set[str] = set()
    for number, turn in enumerate(turns, start=1):
        answer = turn.kind if turn.kind in _OWN_SLOTS else "answer"
        filled = {"request": turn.request, "words": turn.words, answer: turn.answer}
        texts |= {f"{slot}_{number}": words for slot, words in filled.items() if words}
        if not turn.words and turn.clip_id not in heard_clips:
            clips[f"audio_{number}"] = turn.clip_id
        if not turn.answer:
            clips[f"reply_{number}"] = turn.clip_id
        heard_clips.add(turn.clip_id)
    return CONVERSATION.instruction(texts=texts, clips=clips, corpus=corpus, split=split)


def turn_segments(request: str, words: str, clip_id: str) -> list[InstructionSegment]:
    """What a turn gives before its answer, as `conversation` lays it out; what is empty is left out."""
    filled = {"request": request, "words": words, "audio": clip_id}
    slots = [slot for slot in CONVERSATION.order if not slot.loss and filled[slot.name]]
    return [
        InstructionSegment(kind=slot.kind, loss=False, text=filled[slot.name], wrapper=slot.wrapper)
        if slot.is_text
        else InstructionSegment(kind=slot.kind, loss=False, clip_id=clip_id)
        for slot in slots
    ]


def _said(clip: Annotated) -> Iterator[tuple[str, str]]:
    """Kind of turn -> what is said of the clip as a whole."""
    if words := words_of(clip):
        yield "transcript", words
    yield from (("caption", caption) for caption in described(clip)[:1])
    if clip.domain == "speech":
        yield from (("voice", style) for style in style_of(clip))


def _about_value(
    clip: Annotated, kind: str, true: Sequence[str], wrong: Sequence[str], language: str, seed: int
) -> Iterator[Turn]:
    """One turn about an attribute: among choices where others have another value, or openly where it has one value."""
    is_open = kind in OPEN and len(true) == 1
    answer = true[int(len(true) * share_of("turn answer", seed, clip.clip_id, kind))]
    if is_open and (not wrong or share_of("open", seed, clip.clip_id, kind) < 0.5):
        yield _turn(kind, clip, language, seed, answer=answer)
    elif wrong:
        choices = sorted([answer, *wrong], key=lambda value: share_of("turn choice", seed, clip.clip_id, value))
        question = choice_question(kind, choices, language, _key(seed, clip, kind))
        yield Turn(kind=kind, clip_id=clip.clip_id, request=question, answer=answer)


def _turn(kind: str, clip: Annotated, language: str, seed: int, *, words: str = "", answer: str = "") -> Turn:
    request = turn_prompt(kind, language, _key(seed, clip, kind))
    return Turn(kind=kind, clip_id=clip.clip_id, request=request, words=words, answer=answer)


def _key(seed: int, clip: Annotated, kind: str) -> str:
    return hash_json([seed, clip.clip_id, "turn", kind])
