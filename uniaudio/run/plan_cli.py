"""`uniaudio plan train`: what training takes, before a card is paid for. Loads no torch and needs no card.

uniaudio plan train --size paper_3b --gpus 8 --gpu h100
"""

import argparse
import json
from dataclasses import replace
from typing import Any

from uniaudio_schemas.errors import UsageError

from uniaudio.training.plan.cards import CARDS


def add_command(commands: Any) -> None:
    """Adds `plan` to `uniaudio`."""
    plan = commands.add_parser("plan", help="what a run takes before it is started: memory, time, disk")
    kinds = plan.add_subparsers(dest="planned", metavar="WHAT", required=True)
    train = kinds.add_parser("train", help="stages of the language model: memory a card, days, GPU-hours, disk")
    train.set_defaults(run=_plan)
    train.add_argument("--size", default="paper_3b", help="debug, starter, paper_1b or paper_3b (default paper_3b)")
    train.add_argument("--gpus", type=int, default=8, help="that share one copy of the model (default 8)")
    train.add_argument("--gpu", default="h100", help=f"one of {', '.join(CARDS)} (default h100)")
    train.add_argument("--mfu", type=float, default=0.4, help="share of the peak rate that is reached (default 0.4)")
    train.add_argument(
        "--stage",
        action="append",
        default=[],
        help="of these alone, such as stage5 and stage6, which are behind the paper's; may be repeated",
    )
    train.add_argument("--text-ids", type=int, help="size of the text vocabulary, where it is not the size's own")
    train.add_argument("--audio-ids", type=int, help="ids of one audio stream, where they are not the released codec's")
    train.add_argument("--json", action="store_true")


def _plan(options: argparse.Namespace) -> int:
    from uniaudio.training.plan.report import plan_stages
    from uniaudio.training.plan.words import lines_of
    from uniaudio.training.plan.work import WORK, config_of

    if unknown := [name for name in options.stage if name not in WORK]:
        raise UsageError(f"`--stage` must be one of {', '.join(WORK)}, but is {unknown[0]!r}.")
    config = config_of(options.size)
    config = replace(
        config,
        text_size=options.text_ids or config.text_size,
        audio_size=options.audio_ids or config.audio_size,
    )
    plan = plan_stages(
        options.size, gpus=options.gpus, gpu=options.gpu, mfu=options.mfu, stages=options.stage, config=config
    )
    if options.json:
        print(json.dumps(plan.to_dict(), indent=2))
    else:
        print("\n".join(lines_of(plan)))
    return 0
