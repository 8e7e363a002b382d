"""`retokenize-stale`: on a schedule, encode what has no codes under the current codec; does nothing, and says so, where all has.

prefect deployment run retokenize-stale/local --param dry_run=true --watch
    12 of 1000 clips have no codes: 1.2 min of audio, about 0.10 h, 0.20 CPU-hours and 0.00 GPU-hours

Only clips without codes are encoded: the plan leaves out those whose codes are in the store already, under whatever version.
"""

from dataclasses import replace
from typing import Any

from prefect import get_run_logger
from uniaudio_pipelines.instructions_to_tokens.estimate import Estimate, estimate
from uniaudio_schemas.durations import spoken
from uniaudio_schemas.store import Store

from uniaudio_flows import tokenize_corpus
from uniaudio_flows.flow import chosen, make_all, plan, settings_of, told
from uniaudio_flows.parameters import parameters_of
from uniaudio_flows.steps import Extra

DRY_RUN = Extra(
    type=bool, default=False, help="Say what is to be encoded and what that costs by earlier runs; encode nothing."
)
ALONE = replace(tokenize_corpus.STEP, after=(), extra={"dry_run": DRY_RUN})


def _run(**parameters: Any) -> str | None:
    """The content id of the tokens, or None where there is nothing to tokenize yet, and after a dry run."""
    settings = settings_of(ALONE, parameters)
    store = Store.from_uri(settings.store)
    missing_kinds = [kind for kind in ("instructions", "codec") if store.head(kind) is None]
    if missing_kinds:
        get_run_logger().info("nothing to tokenize: %s has no version yet", " and ".join(missing_kinds))
        return None
    fields = dict(chosen(ALONE, parameters, own=True))
    is_dry = fields.pop("dry_run")
    planned = plan(ALONE, settings, fields)
    if is_dry:
        get_run_logger().info(told_of(estimate(store, planned.job)))
        return None
    return make_all("retokenize-stale", settings, [planned])


def told_of(tokenization: Estimate) -> str:
    """One line."""
    line = f"{tokenization.clips_to_encode} of {tokenization.clips} clips have no codes: {spoken(3600 * tokenization.audio_hours)} of audio"
    if tokenization.hours is None or tokenization.cpu_hours is None or tokenization.gpu_hours is None:
        return f"{line}; no run has encoded anything yet, so nobody knows what that costs"
    return f"{line}, about {tokenization.hours:.2f} h, {tokenization.cpu_hours:.2f} CPU-hours and {tokenization.gpu_hours:.2f} GPU-hours"


retokenize_stale = told(
    _run,
    "retokenize-stale",
    "Encode what has no codes under the current codec; nothing where all has.",
    parameters_of(ALONE),
    called="stale tokens",
)
