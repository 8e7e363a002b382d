"""`uniaudio run conversation`: turn after turn, each answered before the next is asked.

uniaudio run conversation --turn "What is said here?" clip.wav --turn "How does the speaker feel?"
uniaudio run conversation --turn "Who speaks?" clip.wav --speak "Say this, please." "Good morning." --out reply.wav
"""

import argparse
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError

from uniaudio.run.arguments import answer_options, model_path

_TEXTS = {"turn": 1, "speak": 2}
"""Option -> how many texts a turn may have: what is asked, and what is to be spoken."""


class _Turn(argparse.Action):
    """Turns of both kinds in one list, in the order in which they are typed."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        kind = (option_string or "").lstrip("-")
        namespace.turns = [*(namespace.turns or []), (kind, values)]


def add_turn_options(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group(
        "conversation", "Each may be repeated; what is asked stands before an audio file to be heard."
    )
    settings: dict[str, Any] = {"dest": "turns", "nargs": "+", "action": _Turn, "metavar": "PART"}
    group.add_argument("--turn", help="is answered in text", **settings)
    group.add_argument("--speak", help="is answered in sound; a second text says what is to be spoken", **settings)


def has_turns(options: argparse.Namespace, task: Any) -> bool:
    """Whether the task is asked turn by turn; UsageError where turns are given to another one."""
    is_conversation: bool = task.name == "conversation"
    if options.turns and not is_conversation:
        raise UsageError(f"`--turn` and `--speak` must be used with conversation, but the task is {task.name}.")
    return is_conversation


def run_conversation(options: argparse.Namespace) -> int:
    from uniaudio.run.clips import write_clip
    from uniaudio.run.conversation import Conversation
    from uniaudio.run.jsonlines import JsonLines
    from uniaudio.run.model import UniAudio
    from uniaudio.tasks import find_task

    turns = [_turn(kind, parts) for kind, parts in _checked(options)]
    paths = _output_paths(options, sum(turn["speaks"] for turn in turns))
    model = UniAudio.from_pretrained(
        model_path(options),
        codec=options.codec,
        tokenizer=options.tokenizer,
        device=options.device,
        compile=options.compile,
    )
    talk = Conversation(model)
    in_text, in_sound = (answer_options(options, find_task(name)) for name in ("audio_understanding", "tts"))
    lines = JsonLines(options.jsonl) if options.jsonl is not None else None
    for number, turn in enumerate(turns):
        result = talk.ask(**turn, options=in_sound if turn["speaks"] else in_text)
        files = [str(paths.pop(0))] if turn["speaks"] else []
        if files:
            write_clip(Path(files[0]), result.audio)
        if lines is None:
            print("\n".join(files or [result.text]))
        else:
            record = {"input": result.name, "task": "conversation", "finished": result.finished, "seed": options.seed}
            lines.write({**record, **({"audio": files} if files else {"text": result.text}), "turn": number + 1})
    return 0


def _checked(options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    for name in ("inputs", "text", "style", "voice", "example"):
        if getattr(options, name):
            raise UsageError(f"Task conversation is asked by `--turn` and `--speak` and uses no `{name}`.")
    if options.stream:
        raise UsageError("`--stream` must be used with one question, but a conversation has turns.")
    if not options.turns:
        raise UsageError('Task conversation needs turns: `--turn "What is said here?" clip.wav`.')
    turns: list[tuple[str, list[str]]] = options.turns
    return turns


def _turn(kind: str, parts: list[str]) -> dict[str, Any]:
    """Arguments of `Conversation.ask`."""
    from uniaudio.audio.read import audio_suffixes

    clips = [part for part in parts if Path(part).suffix.lower() in audio_suffixes()]
    texts = [part for part in parts if part not in clips]
    if len(clips) > 1 or len(texts) > _TEXTS[kind]:
        most = f"{_TEXTS[kind]} text{'s' * (_TEXTS[kind] > 1)} and one audio file"
        raise UsageError(f"`--{kind}` must hold at most {most}, but holds {', '.join(parts)}.")
    request, words = [*texts, "", ""][:2]
    return {"request": request, "words": words, "audio": clips[0] if clips else None, "speaks": kind == "speak"}


def _output_paths(options: argparse.Namespace, num_clips: int) -> list[Path]:
    """Paths of the spoken answers, numbered where there are several."""
    if not num_clips:
        if options.out is not None:
            raise UsageError("`--out` must be given where a turn is answered in sound, but none is: use `--speak`.")
        return []
    if options.out is None or options.out.suffix.lower() not in (".wav", ".flac"):
        raise UsageError(f"`--out` must be a .wav or .flac file, but is {options.out or 'empty'}.")
    if num_clips == 1:
        return [options.out]
    return [options.out.with_stem(f"{options.out.stem}-{number}") for number in range(1, num_clips + 1)]
