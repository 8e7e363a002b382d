"""`uniaudio starter`: corpus, models, services, the flow `everything` at size starter. Each step is skipped where it is done, and goes on where it
was cut off: packages are in the cache, corpora complete or laid out again, shards and checkpoints in the store."""

from collections.abc import Callable
from dataclasses import replace

from uniaudio_schemas.pulse import pulse

from uniaudio.shipped import shipped_codec
from uniaudio_flows.demo.packages import cache_folder
from uniaudio_flows.demo.run import only_one
from uniaudio_flows.deployments import run_deployment
from uniaudio_flows.services import start_services, stop_services
from uniaudio_flows.settings import Settings
from uniaudio_flows.starter.layout import lay_out_starter
from uniaudio_flows.starter.recipe import parameters

Say = Callable[[str], None]

SIZE = "starter"


def run_starter(settings: Settings, say: Say, *, source_only: bool, trains_codec: bool, stop: bool) -> int:
    """`trains_codec`: whether a codec is trained though one comes with the project. Returns the exit code: 0, or 1 where the flow did
    not complete."""
    settings = of_starter(settings)
    settings.data.mkdir(parents=True, exist_ok=True)
    with only_one(settings.data / "starter.lock", "uniaudio starter"):
        cache = cache_folder()
        cache.mkdir(parents=True, exist_ok=True)
        with pulse(say, "source: fetching packages"):
            lay_out_starter(settings.source, cache, say)
        say(f"source: {settings.source}")
        if source_only:
            return 0
        codec = settings.codec or ("" if trains_codec else str(shipped_codec() or ""))
        say(f"codec: {codec or 'one is trained'}")
        start_services(settings, say)
        try:
            completed = run_deployment("everything/local", settings, say, parameters(codec))
        except KeyboardInterrupt:
            if not stop:
                say("the run goes on in the background: `uniaudio starter` follows it, `uniaudio down` stops it")
            raise
        finally:
            if stop:
                stop_services(settings, say)
    if completed:
        say(
            f"try it: `uniaudio run asr CLIP.wav --model {settings.store}`; `uniaudio lm export {settings.store} --out FOLDER --dtype bfloat16` "
            "makes a folder of it that needs no store"
        )
    return 0 if completed else 1


def of_starter(settings: Settings) -> Settings:
    """These, with a source of its own below the data folder: the demo's corpora have the same names and hold less."""
    return replace(settings, source=settings.data / "starter-source", size=SIZE)
