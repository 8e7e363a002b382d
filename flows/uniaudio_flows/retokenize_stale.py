"""`retokenize-stale`: on a schedule, encode what has no codes under the current codec; does nothing, and says so, where all has.

Only clips without codes are encoded: the plan leaves out those whose codes are in the store already, under whatever version.
"""

from dataclasses import replace
from typing import Any

from prefect import get_run_logger
from uniaudio_schemas.store import Store

from uniaudio_flows import tokenize_corpus
from uniaudio_flows.flow import chosen, make_all, settings_of, told
from uniaudio_flows.parameters import parameters_of

ALONE = replace(tokenize_corpus.STEP, after=())


def _run(**parameters: Any) -> str | None:
    """The content id of the tokens, or None where there is nothing to tokenize yet."""
    settings = settings_of(ALONE, parameters)
    store = Store.from_uri(settings.store)
    missing = [kind for kind in ("instructions", "codec") if store.head(kind) is None]
    if missing:
        get_run_logger().info("nothing to tokenize: %s has no version yet", " and ".join(missing))
        return None
    job = ALONE.job(settings, chosen(ALONE, parameters, own=True))
    return make_all("retokenize-stale", settings, [(ALONE, job)])


retokenize_stale = told(
    _run,
    "retokenize-stale",
    "Encode what has no codes under the current codec; nothing where all has.",
    parameters_of(ALONE),
    called="stale tokens",
)
