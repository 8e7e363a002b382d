"""`uniaudio score`: how likely given answers are, as tests of multiple choice ask.

    uniaudio score qa clip.wav --text "Who speaks?" --choice "a man" --choice "a woman"
    {"input": "clip.wav", "task": "audio_understanding", "choices": [{"text": "a man", "log_likelihood": -3.1, "tokens": 8}, …],
     "best": "a man"}

Log likelihoods are in nats and of the whole answer: its opening tag, its text and its end.
"""

import argparse
import sys
from typing import Any

from uniaudio_schemas.errors import UniaudioError, UsageError

from uniaudio.run.arguments import add_model_options, model_path
from uniaudio.run.inputs import add_input_options, requests_of
from uniaudio.run.jsonlines import JsonLines


def add_command(commands: Any) -> None:
    """Adds `score` to `uniaudio`."""
    score = commands.add_parser("score", help="how likely given answers to a task are: JSON lines, one an input")
    score.set_defaults(run=_score)
    add_input_options(score)
    score.add_argument(
        "--choice", action="append", default=[], metavar="ANSWER", help="an answer to rate; may be repeated"
    )
    score.add_argument("--per-token", action="store_true", help="`best` has the highest log likelihood a token")
    score.add_argument("--language", default="en", help="of the prompt: en, zh or yue (default en)")
    add_model_options(score)


def _score(options: argparse.Namespace) -> int:
    from uniaudio.run.clips import with_clip_read
    from uniaudio.run.model import Options, UniAudio
    from uniaudio.tasks import find_task

    task = find_task(options.task)
    if not options.choice or not all(choice.strip() for choice in options.choice):
        raise UsageError("`--choice` must be given once or more, each time with words.")
    requests = requests_of(options, task)
    model = UniAudio.from_pretrained(
        model_path(options), codec=options.codec, tokenizer=options.tokenizer, device=options.device
    )
    lines = JsonLines(None)
    num_broken = 0
    for request in requests:
        record: dict[str, Any] = {"input": request.name, "task": task.name}
        try:
            audio_request = with_clip_read(request)
        except UniaudioError as error:
            if len(requests) == 1:
                raise
            num_broken += 1
            print(f"uniaudio: {error}", file=sys.stderr)
            lines.write({**record, "error": str(error)})
            continue
        scores = model.score(task.name, options.choice, audio_request, Options(language=options.language))
        choices = [
            {"text": text, "log_likelihood": round(one.log_likelihood, 6), "tokens": one.num_text}
            for text, one in zip(options.choice, scores, strict=True)
        ]
        rank = [one.log_likelihood / (one.num_text if options.per_token else 1) for one in scores]
        lines.write({**record, "choices": choices, "best": options.choice[rank.index(max(rank))]})
    return 2 if num_broken else 0
