"""How often the annotators are right, on recordings whose truth somebody wrote down.

    UNIAUDIO_STARTER=FOLDER UNIAUDIO_MODELS=data/models pytest -m bench -s tests/bench/test_annotator_accuracy.py

See `recordings` for the folder. `UNIAUDIO_BENCH_CLIPS` (60) of each domain are drawn, the same ones in every run, and
`UNIAUDIO_BENCH_ANNOTATORS` are asked (all that a truth may be known for). A column that is not there, or a model that is not
prepared, leaves its figures out. A transcript counts as good with a CER of 0.3 and less against the given text, as bad with
more than 0.5 or with a loop; numbers in words are those in digits.
"""

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from uniaudio_pipelines.raw_to_annotated import segmentation
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, Annotator, Clip, ask
from uniaudio_pipelines.raw_to_annotated.annotators.voice_activity import FRAME
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated
from uniaudio_schemas.errors import UsageError

from tests.bench.recordings import MODELS, Truth, clip_of, loops, recordings, with_numbers
from uniaudio.audio.voices import cluster_voices
from uniaudio.metrics.wer import character_errors, word_error_rate
from uniaudio.text.plausibility import TranscriptPolicy, measure_transcript

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7_200)]

NUM_CLIPS = int(os.environ.get("UNIAUDIO_BENCH_CLIPS", "60"))
ASKED = (
    "voice_activity", "mos", "signal_to_noise", "transcript", "audio_language", "second_transcript", "speaker_embedding", "prosody",
    "music_structure", "music_tags", "caption_by_measures",
)  # fmt: skip
GOOD_CER, BAD_CER = 0.3, 0.5
"""Of a transcript against the given text: worth keeping, and not to be trained on."""
STATED = re.compile(r"(\d+) bpm ([A-G][#b]?) (major|minor)")
Heard = list[tuple[Truth, Clip]]
Figure = tuple[str, str, int, float]
"""Annotator, what is measured, of how many, and the value."""


@pytest.fixture(scope="module")
def heard() -> Heard:
    """Recordings with their truth and all that the annotators say of them."""
    rows = [row for domain in ("speech", "sound", "music") for row in recordings(domain, NUM_CLIPS)]
    clips = [(row, clip) for row in rows for clip in [clip_of(row)] if clip.num_samples]
    for annotator in annotators():
        asked = [clip for _, clip in clips if clip.domain in annotator.domains]
        # The ear is asked only where nobody names the language.
        is_ear = annotator.name == "audio_language"
        before = time.process_time()
        answers = ask(annotator, [replace(clip, known={}) for clip in asked] if is_ear else asked)
        spent, seconds = time.process_time() - before, sum(len(clip.analysis) for clip in asked) / ANALYSIS_RATE
        print(f"\n{annotator.name}: {3600 * spent / max(seconds, 1):.0f} CPU-s an hour of audio", end="")
        for clip, values in zip(asked, answers, strict=True):
            clip.known |= {f"{value.column}{' by ear' * is_ear}": value.value for value in values}
            clip.known |= {f"sure of {value.column}": value.confidence for value in values}
    return clips


def annotators() -> Iterator[Annotator]:
    for name in os.environ.get("UNIAUDIO_BENCH_ANNOTATORS", ",".join(ASKED)).split(","):
        try:
            yield table.ANNOTATORS[name](MODELS, "cpu")
        except UsageError as error:
            print(f"\n{name} is left out: {error}", end="")


def of_domain(heard: Heard, domain: str, *columns: str) -> Heard:
    """Those whose truth has all of `columns`."""
    return [(row, clip) for row, clip in heard if clip.domain == domain and all(row.get(name) for name in columns)]


def share(name: str, what: str, right: list[bool]) -> Iterator[Figure]:
    if right:
        yield name, what, len(right), float(np.mean(right))


def domains(heard: Heard) -> Iterator[Figure]:
    for domain in ("speech", "sound", "music"):
        clips = [clip for _, clip in of_domain(heard, domain) if "speech_fraction" in clip.known]
        is_speech = [clip.known["speech_fraction"] >= 0.4 for clip in clips]
        yield from share(
            "voice_activity", f"{domain}: speech or not", [said == (domain == "speech") for said in is_speech]
        )
        yield from share(
            "segmentation", f"{domain}: domain of what nobody labelled", [domain in parts(clip) for clip in clips]
        )


def parts(clip: Clip) -> set[str]:
    """Domains of the stretches of a recording of which nobody says what it is."""
    frames = np.pad(clip.analysis, (0, -len(clip.analysis) % FRAME)).reshape(-1, FRAME)
    hearing = segmentation.Hearing(
        speech=clip.speech_probabilities, power=(frames.astype(np.float64) ** 2).mean(axis=1), num_samples=clip.num_samples,
        sample_rate=clip.sample_rate, peak=1.0,
    )  # fmt: skip
    seconds = clip.num_samples / clip.sample_rate
    try:
        stretches, _ = segmentation.segment(replace(clip.raw, domain="unknown"), hearing, RawToAnnotated(), seconds)
    except segmentation.NothingHeardError:
        return set()
    return {stretch.domain for stretch in stretches}


def languages(heard: Heard) -> Iterator[Figure]:
    for language in sorted({row["language"] for row, _ in of_domain(heard, "speech", "language")}):
        clips = [clip for row, clip in of_domain(heard, "speech", "language") if row["language"] == language]
        said = [clip.known["language by ear"] for clip in clips if "language by ear" in clip.known]
        if said:
            yield "audio_language", f"{language}: said at all", len(clips), len(said) / len(clips)
        yield from share("audio_language", f"{language}: right where said", [one == language for one in said])


def transcripts(heard: Heard) -> Iterator[Figure]:
    clips = of_domain(heard, "speech", "text", "language")
    for column in ("transcript", "second_transcript"):
        for language in sorted({row["language"] for row, _ in clips}):
            pairs = [
                (with_numbers(row["text"]), with_numbers(str(clip.known[column])))
                for row, clip in clips
                if row["language"] == language and column in clip.known
            ]
            if pairs:
                yield column, f"{language}: word error rate", len(pairs), word_error_rate(pairs) or 0.0
    judged = [(row["text"], clip) for row, clip in clips if clip.known.get("transcript")]
    accepted = [(text, clip) for text, clip in judged if not reasons(clip)]
    good = [clip for text, clip in judged if error_of(text, clip) <= GOOD_CER]
    kept = {id(clip) for _, clip in accepted}
    yield from share("text_policy", "accepted with a loop or CER above 0.5", [is_bad(*one) for one in accepted])
    yield from share("text_policy", "kept of those with CER up to 0.3", [id(clip) in kept for clip in good])


def error_of(text: str, clip: Clip) -> float:
    errors, length = character_errors(with_numbers(text), with_numbers(str(clip.known["transcript"])))
    return errors / max(length, 1)


def is_bad(text: str, clip: Clip) -> bool:
    return loops(text, str(clip.known["transcript"])) or error_of(text, clip) > BAD_CER


def reasons(clip: Clip) -> list[str]:
    """Why the policy rejects the transcript."""
    known, duration_s = clip.known, clip.num_samples / clip.sample_rate
    speech_s = known.get("speech_fraction", 0.0) * duration_s
    measures = measure_transcript(
        str(known["transcript"]),
        duration_s=duration_s,
        confidence=known["sure of transcript"],
        unsaid=known["unsaid_s"] / speech_s if speech_s else None,
        **{name: known.get(name) for name in ("num_empty_words", "no_speech_probability", "second_wer")},
    )
    return TranscriptPolicy().rejections(measures)


def voices(heard: Heard) -> Iterator[Figure]:
    clips = [(row, clip) for row, clip in of_domain(heard, "speech", "speaker") if "speaker_embedding" in clip.known]
    if len(clips) < 3:
        return
    names = np.array([row.get("voice_group") or row["speaker"] for row, _ in clips])
    vectors = np.array([clip.known["speaker_embedding"] for _, clip in clips], np.float32)
    first, second = np.array(list(itertools.combinations(range(len(clips)), 2))).T
    same, similar = names[first] == names[second], (vectors[first] * vectors[second]).sum(axis=1)
    order = np.argsort(-similar)
    misses, alarms = 1 - np.cumsum(same[order]) / max(1, same.sum()), np.cumsum(~same[order]) / max(1, (~same).sum())
    yield "speaker_embedding", "equal error rate of pairs", len(same), float(misses[np.argmin(abs(misses - alarms))])
    labels = cluster_voices(
        vectors.astype(np.float16), anchors=np.array([len(c.analysis) >= 2 * ANALYSIS_RATE for _, c in clips])
    )
    together = labels[first] == labels[second]
    yield (
        "speaker clusters",
        "pairwise F1",
        len(clips),
        float(2 * (together & same).sum() / max(1, together.sum() + same.sum())),
    )


def prosody(heard: Heard) -> Iterator[Figure]:
    clips = of_domain(heard, "speech", "f0_median_hz")
    found = [(clip.known["pitch_hz"], float(row["f0_median_hz"])) for row, clip in clips if "pitch_hz" in clip.known]
    yield from share("prosody", "pitch within 20 % of the given", [abs(a / b - 1) < 0.2 for a, b in found if b])
    for column, truth, name in (
        ("syllables_per_s", "words_per_s", "prosody"),
        ("words_per_s", "words_per_s", "transcript"),
    ):
        both = [(c.known[column], float(r[truth])) for r, c in of_domain(heard, "speech", truth) if column in c.known]
        if len(both) > 2:
            yield (
                name,
                f"correlation of {column} with the given {truth}",
                len(both),
                float(np.corrcoef(np.array(both).T)[0, 1]),
            )


def noise(heard: Heard) -> Iterator[Figure]:
    """The same clips with white noise 10 dB below their speech: scored worse, and measured at 10 dB?"""
    rng = np.random.default_rng(0)
    clips = [clip for _, clip in of_domain(heard, "speech") if len(clip.analysis) > ANALYSIS_RATE]
    judges = {one.name: one for one in annotators() if one.name in ("mos", "signal_to_noise")}
    worse, errors = [], []
    for clip in clips:
        speech = np.repeat(clip.speech_probabilities >= 0.5, FRAME)[: len(clip.analysis)]
        if not speech.any():
            continue
        power = float((clip.analysis[speech] ** 2).mean()) / 10
        loud = clip.analysis + np.sqrt(power) * rng.standard_normal(len(clip.analysis)).astype(np.float32)
        said = {
            value.column: value.value for one in judges.values() for value in one.annotate(replace(clip, analysis=loud))
        }
        if "mos" in clip.known and "mos" in said:
            worse.append(bool(said["mos"] < clip.known["mos"]))
        # Of clips that had little noise of their own.
        if "snr_db" in said and clip.known.get("snr_db", 0) > 25:
            errors.append(abs(said["snr_db"] - 10))
    yield from share("mos", "lower with noise at 10 dB", worse)
    if errors:
        yield "signal_to_noise", "dB off with noise at 10 dB (median)", len(errors), float(np.median(errors))


def music(heard: Heard) -> Iterator[Figure]:
    told = [(clip, STATED.search(row["text"])) for row, clip in of_domain(heard, "music", "text")]
    stated = [(clip.known, float(match[1]), f"{match[2]} {match[3]}") for clip, match in told if match]
    ratios = [known["tempo_bpm"] / bpm for known, bpm, _ in stated if "tempo_bpm" in known]
    yield from share("music_structure", "tempo within 4 %", [abs(ratio - 1) < 0.04 for ratio in ratios])
    yield from share("music_structure", "tempo up to the octave", [near(ratio) for ratio in ratios])
    yield from share("music_structure", "key: said at all", ["key" in known for known, _, _ in stated])
    right = [known["key"] == key for known, _, key in stated if "key" in known]
    yield from share("music_structure", "key: right where said", right)
    facts = [(fact.partition("="), bpm, key) for known, bpm, key in stated for fact in known.get("evidence", [])]
    agree = [
        near(float(value) / bpm) if column == "tempo_bpm" else value == key
        for (column, _, value), bpm, key in facts
        if column in ("tempo_bpm", "key")
    ]
    yield from share("caption_by_measures", "tempo up to the octave, key: as given", agree)
    tagged = [
        (row["text"], clip.known["tags"]) for row, clip in of_domain(heard, "music", "text") if "tags" in clip.known
    ]
    for tag in ("electronic", "guitar"):
        for stated_so, what in ((True, "where stated"), (False, "elsewhere")):
            found = [tag in tags for text, tags in tagged if (tag in text and "without" not in text) == stated_so]
            yield from share("music_tags", f"{tag} said {what}", found)


def near(ratio: float) -> bool:
    """The same tempo, or half or twice as fast."""
    return min(abs(ratio / octave - 1) for octave in (0.5, 1, 2)) < 0.04


MEASURES: tuple[Callable[[Heard], Iterator[Figure]], ...] = (
    domains,
    languages,
    transcripts,
    voices,
    prosody,
    noise,
    music,
)


def test_the_annotators_are_right_as_often_as_this(heard: Heard) -> None:
    figures = [figure for measure in MEASURES for figure in measure(heard)]
    print(f"\n\n{'annotator':20} {'figure':50} {'n':>5} {'value':>7}")
    for name, what, number, value in figures:
        print(f"{name:20} {what:50} {number:5d} {value:7.3f}")
    assert figures
