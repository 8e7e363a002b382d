"""`retokenize-stale`: on a schedule, encode what has no codes under the current codec; does nothing, and says so, where all has.

Only clips without codes are encoded: the plan leaves out those whose codes are in the store already, under whatever version.
"""

from prefect import get_run_logger
from uniaudio_schemas.store import Store

from uniaudio_flows.flow import flow
from uniaudio_flows.jobs import bring_up_to_date
from uniaudio_flows.settings import load_settings
from uniaudio_flows.tokenize_corpus import job


@flow("retokenize-stale")
def retokenize_stale() -> str | None:
    """Returns the content id of the tokens, or None where there is nothing to tokenize yet."""
    log = get_run_logger()
    store = Store.from_uri(load_settings().store)
    missing = [kind for kind in ("instructions", "codec") if store.head(kind) is None]
    if missing:
        log.info("nothing to tokenize: %s has no version yet", " and ".join(missing))
        return None
    return bring_up_to_date(job(), log).content_id
