"""What the starter model hears and says, on voices that it never heard, beside what stands around it.

    uniaudio starter --source-only
    UNIAUDIO_DATA=data pytest -m bench -s tests/bench/test_starter_model.py

Numbers and commands of the four held-out voices of Kokoro: word errors of the model, of the codec's own spelling of its reasoning codes, of
Whisper on the recordings and on the codec's reconstruction of them, of pocketsphinx where it is installed, and of Whisper on what the model
says. Sounds: words that its captions share with the reference. 95 % intervals are over clips.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from uniaudio_flows.starter.phrases import phrases_of
from uniaudio_pipelines.checkpoint_to_scores.classical import cepstra
from uniaudio_schemas.kinds.annotated import Annotated
from uniaudio_schemas.store import Store

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.resample import resample
from uniaudio.codec.analysis import analyse
from uniaudio.codec.evaluation.held_out import DOMAINS, held_out_clip, held_out_rows, raw_rows
from uniaudio.lm.sampling import Sampling
from uniaudio.metrics.bootstrap import bootstrap_interval
from uniaudio.metrics.caption import unigram_f1
from uniaudio.metrics.recognize import load_recognizer
from uniaudio.metrics.speaker import VOICE_RATE, VoiceEncoder, cosine_similarity
from uniaudio.metrics.wer import word_errors
from uniaudio.run.clips import read_clip
from uniaudio.run.model import Options, Request, UniAudio
from uniaudio.shipped import shipped_model

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
DATA = Path(os.environ.get("UNIAUDIO_DATA", "data"))
MODELS = Path(os.environ.get("UNIAUDIO_MODELS", DATA / "models"))
MODEL = os.environ.get("UNIAUDIO_MODEL") or shipped_model()
NUM_SPOKEN = 120
POCKETSPHINX_RATE = 16_000


class Clip(NamedTuple):
    samples: np.ndarray
    words: str
    speaker: str


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    folder = DATA / "starter-source" / "kokoro"
    if not (folder / "metadata.jsonl").is_file():
        pytest.skip("no corpus: run `uniaudio starter --source-only`")
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        Clip(read_clip(folder / row["path"]), row["given_text"], row["speaker"])
        for row in rows
        if row["split"] == "test"
    ]


@pytest.fixture(scope="module")
def model() -> UniAudio:
    if MODEL is None:
        pytest.skip("no model: set UNIAUDIO_MODEL")
    return UniAudio.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def whisper() -> Callable[[np.ndarray], str]:
    recognize = load_recognizer(MODELS / "whisper-base")
    return lambda samples: recognize(samples, "en") or ""


def told(name: str, pairs: Sequence[tuple[str, str]]) -> float:
    counts = [word_errors(words, answer, "en") for words, answer in pairs]
    errors, words = [count for count, _ in counts], [count for _, count in counts]
    rate = sum(errors) / sum(words)
    low, high = bootstrap_interval(errors, words) or (rate, rate)
    print(f"{name}: WER {rate:.3f} ({low:.3f} to {high:.3f}) over {len(pairs)} clips, {sum(words)} words")
    return rate


def test_it_hears_numbers_and_commands_of_voices_that_it_never_heard(
    model: UniAudio, whisper: Callable[[np.ndarray], str], clips: list[Clip]
) -> None:
    answers = model.run_all("asr", [Request(audio=clip.samples) for clip in clips])
    pairs = [(clip.words, answer.text) for clip, answer in zip(clips, answers, strict=True)]
    for words, answer in pairs[:12]:
        print(f"    {words!r} heard as {answer!r}")
    ours = told("the starter model", pairs)
    is_number = [
        not set(words.split()) - set(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
        for words, _ in pairs
    ]
    told("    numbers", [pair for pair, number in zip(pairs, is_number, strict=True) if number])
    told("    commands", [pair for pair, number in zip(pairs, is_number, strict=True) if not number])
    codes = model.codec.encode([clip.samples for clip in clips])
    spelled = [" ".join(piece.spelled or "" for piece in analyse(model.codec, one)) for one in codes]
    told("the codec's spelling", [(clip.words, one) for clip, one in zip(clips, spelled, strict=True)])
    decoded = model.codec.decode(codes)
    told("Whisper base on the recordings", [(clip.words, whisper(clip.samples)) for clip in clips])
    told(
        "Whisper base behind the codec", [(clip.words, whisper(one)) for clip, one in zip(clips, decoded, strict=True)]
    )
    shuffled = [clips[(number + 7) % len(clips)].words for number in range(len(clips))]
    chance = told(
        "the words of another clip", [(clip.words, other) for clip, other in zip(clips, shuffled, strict=True)]
    )
    assert ours < 0.75 * chance


def test_pocketsphinx_hears_the_same(clips: list[Clip]) -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(samprate=POCKETSPHINX_RATE, loglevel="FATAL")
    pairs = []
    for clip in clips:
        samples = resample(clip.samples, SAMPLE_RATE, POCKETSPHINX_RATE)
        decoder.start_utt()
        decoder.process_raw((samples.clip(-1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        pairs.append((clip.words, decoder.hyp().hypstr if decoder.hyp() else ""))
    told("pocketsphinx", pairs)


def test_what_it_says_is_understood(model: UniAudio, whisper: Callable[[np.ndarray], str]) -> None:
    phrases = phrases_of("nobody", NUM_SPOKEN)
    for temperature in (0.0, 0.6, 0.9):
        answers = model.run_all("tts", [Request(text=phrase) for phrase in phrases], temperature_options(temperature))
        heard = [whisper(answer.audio) for answer in answers]
        for phrase, words in list(zip(phrases, heard, strict=True))[:6]:
            print(f"    said {phrase!r}, heard {words!r}")
        told(f"Whisper base on what it says at temperature {temperature}", list(zip(phrases, heard, strict=True)))


def temperature_options(temperature: float) -> Options:
    return Options(max_seconds=5.0, sampling=Sampling(temperature=temperature, top_k=50))


def test_it_speaks_in_the_voice_that_it_is_shown(model: UniAudio, clips: list[Clip]) -> None:
    voices = VoiceEncoder.load(MODELS / "speaker" / "resemblyzer.pt")

    def embed(samples: np.ndarray) -> np.ndarray:
        return voices.embed(resample(samples, SAMPLE_RATE, VOICE_RATE))

    shown = clips[:: len(clips) // 40][:40]
    phrases = phrases_of("nobody", len(shown))
    requests = [Request(text=phrase, voice=clip.samples) for phrase, clip in zip(phrases, shown, strict=True)]
    answers = model.run_all("prompt_tts", requests, temperature_options(0.6))
    made = [embed(answer.audio) for answer in answers]
    recorded = [embed(clip.samples) for clip in shown]
    same = [cosine_similarity(one, other) or 0.0 for one, other in zip(made, recorded, strict=True)]
    others = [
        cosine_similarity(one, recorded[place]) or 0.0
        for number, one in enumerate(made)
        for place in range(len(shown))
        if shown[place].speaker != shown[number].speaker
    ]
    print(
        f"similarity to the voice shown {np.mean(same):.3f} {bootstrap_interval(same)}, to the three others {np.mean(others):.3f}"
    )


def test_what_it_says_of_sounds_beside_what_is_said_most_and_what_is_said_of_the_nearest(model: UniAudio) -> None:
    store = Store(DATA / "store")
    annotated, raw = store.head("annotated"), store.head("raw")
    if annotated is None or raw is None:
        pytest.skip("no store: run `uniaudio starter`")
    tested = [row for row in held_out_rows(store, annotated)[DOMAINS.index("sound")] if row.caption]
    trained = [
        row
        for row in store.rows(annotated, Annotated)
        if (row.domain, row.split) == ("sound", "train") and row.caption and row.num_samples
    ]
    raws = raw_rows(store, raw, [*tested, *trained])
    heard = [clip for row in tested if (clip := held_out_clip(store, row, raws)) is not None]
    captions = {row.clip_id: row.caption or "" for row in tested}
    references = [captions[clip.clip_id] for clip in heard]
    recordings = [next(row.raw_clip_id for row in tested if row.clip_id == clip.clip_id) for clip in heard]

    known = [
        (row.caption or "", clip.samples) for row in trained if (clip := held_out_clip(store, row, raws)) is not None
    ]
    features = np.stack([cepstra(samples) for _, samples in known])
    spread = features.std(axis=0) + 1e-9

    def nearest(samples: np.ndarray) -> str:
        distances = np.linalg.norm((features - cepstra(samples)) / spread, axis=1)
        return known[int(distances.argmin())][0]

    frequent = Counter(caption for caption, _ in known).most_common(1)[0][0]
    answers = [one.text for one in model.run_all("audio_caption", [Request(audio=clip.samples) for clip in heard])]
    systems = {
        "the starter model": answers,
        "the most frequent caption": [frequent] * len(heard),
        "the caption of the nearest sound": [nearest(clip.samples) for clip in heard],
    }
    means = {}
    for reference, answer in list(zip(references, answers, strict=True))[:8]:
        print(f"    {reference!r} told as {answer!r}")
    for name, said in systems.items():
        values = [unigram_f1(reference, one) for reference, one in zip(references, said, strict=True)]
        means[name] = float(np.mean(values))
        interval = bootstrap_interval(values, groups=recordings)
        print(f"{name}: unigram F1 {means[name]:.3f} {interval} over {len(values)} sounds")
    assert means["the starter model"] > means["the most frequent caption"]
