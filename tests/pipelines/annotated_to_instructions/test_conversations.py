"""Conversations are built from what annotations say, and go all the way from clips to a training step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from uniaudio_pipelines.annotated_to_instructions import conversations
from uniaudio_pipelines.annotated_to_instructions.context import Context
from uniaudio_pipelines.annotated_to_instructions.examples import Built, NotBuilt
from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.instructions_to_tokens.job import InstructionsToTokens
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_pipelines.sequences_to_checkpoint.job import SequencesToCheckpoint
from uniaudio_pipelines.tokens_to_sequences.job import TokensToSequences
from uniaudio_pipelines.tokens_to_sequences.worker import SequenceWorker
from uniaudio_schemas.kinds.annotated import Annotated, Fact
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.store import Store

from tests.pipelines.annotated_to_instructions.corpus import ALL, RATE, SHARES, a_clip, a_rich_corpus, build, rows_of
from tests.pipelines.instructions_to_tokens import token_corpus
from uniaudio.codec.doubles import BatchingCodec
from uniaudio.tasks.conversation import NUM_TURNS
from uniaudio.training.lm.data import MixtureData
from uniaudio.training.lm.doubles import tiny_lm, tiny_vocabulary
from uniaudio.training.lm.train import train_stage
from uniaudio.training.sequences.dataset import SequenceSet

CONTEXT = Context(job=ALL)
ALONE = AnnotatedToInstructions(**{**dict.fromkeys(SHARES, 0.0), "conversation_share": 1.0})


def speakers(count: int = 24) -> list[Annotated]:
    """Of two languages and moods."""
    return [
        a_clip(
            f"s{number:02}",
            "speech",
            speaker=f"v{number % 3}",
            given_text=f"line {number}",
            language=("en", "cs")[number % 2],
            facts=[Fact(name="emotion", value=("happy", "sad")[number // 2 % 2])],
        )
        for number in range(count)
    ]


def talk(clips: Sequence[Annotated], context: Context = CONTEXT) -> list[Instruction]:
    return [one.instruction for one in conversations.conversations(clips, context) if isinstance(one, Built)]


def clips_heard(row: Instruction) -> list[str]:
    return list(dict.fromkeys(part.clip_id for part in row.segments if part.kind == "reconstruction"))


def answers(row: Instruction) -> list[str]:
    """The text or the clip of each turn's answer."""
    return [part.text or part.clip_id for part in row.segments if part.loss and part.kind != "reasoning"]


def test_the_seed_decides_how_many_turns_a_conversation_has() -> None:
    """Of music with four values, each of which may stand anywhere."""
    tune = {"tempo_bpm": 70.0, "key": "C major", "caption": "a tune"}
    clips = [
        a_clip(f"m{number}", "music", tags=[("folk", "rock")[number % 2]], raw_clip_id="album", **tune)
        for number in range(16)
    ]
    counts = [[len(answers(row)) for row in talk(clips, Context(job=replace(ALL, seed=seed)))] for seed in (0, 1)]
    assert [len(found) for found in counts] == [16, 16]
    assert counts[0] != counts[1]


def test_every_clip_that_says_enough_is_talked_about() -> None:
    rows = talk(speakers())
    assert len(rows) == 24
    counts = Counter(len(answers(row)) for row in rows)
    assert set(counts) == set(range(NUM_TURNS[0], NUM_TURNS[1] + 1))
    assert {len(clips_heard(row)) for row in rows} == {1, 2}
    assert all(row.task == row.mixture == "conversation" for row in rows)


def test_what_is_answered_is_true_of_the_clip_that_was_heard_last() -> None:
    clips = {clip.clip_id: clip for clip in speakers()}
    languages = {"en": "English", "cs": "Czech"}
    for row in talk(list(clips.values())):
        clip = None
        for number, part in enumerate(row.segments):
            if part.clip_id:
                clip = clips[part.clip_id]
            elif part.kind == "text" and not part.loss:
                # Words to be spoken: by the clip that comes next.
                assert part.text == clips[row.segments[number + 1].clip_id].given_text
            elif part.loss:
                assert clip is not None
                assert part.text in (clip.given_text, languages[clip.language or ""], clip.facts[0].value)


def test_a_second_clip_is_of_another_recording_and_is_no_copy() -> None:
    one_recording = [replace(clip, raw_clip_id="talk") for clip in speakers()]
    assert {len(clips_heard(row)) for row in talk(one_recording)} == {1}
    copies = [replace(clip, duplicate_cluster="x") for clip in speakers()]
    assert {len(clips_heard(row)) for row in talk(copies)} == {1}


@pytest.mark.parametrize(
    "clip",
    [
        a_clip("x", "speech"),
        a_clip("x", "speech", "val", transcript="heard"),
        a_clip("x", "sound", tags=["bell"]),
        a_clip("x", "music", caption="a tune"),
    ],
    ids=["nothing is known", "no given text is held out", "a tag without others", "a caption alone"],
)
def test_where_annotations_lack_there_is_none_and_it_is_said(clip: Annotated) -> None:
    (outcome,) = conversations.conversations([clip], CONTEXT)
    assert isinstance(outcome, NotBuilt)
    assert (outcome.anchor, outcome.task, outcome.reason) == ("x", "conversation", "too_few_turns")


def test_speech_that_is_no_target_is_never_spoken() -> None:
    noisy = [replace(clip, mos=1.0) for clip in speakers()]
    context = Context(job=replace(ALL, min_mos=3.0))
    spoken = [part for row in talk(noisy, context) for part in row.segments if part.loss and part.clip_id]
    assert spoken == []
    assert any(part.loss and part.clip_id for row in talk(speakers(), context) for part in row.segments)


def test_a_conversation_is_made_shorter_where_it_does_not_fit() -> None:
    """Two clips of 20 s are about 740 positions, and one that is said again as many."""
    long = [replace(clip, num_samples=20 * RATE) for clip in speakers()]
    wide = talk(long, Context(job=replace(ALL, max_sentence_positions=4096)))
    narrow = talk(long, Context(job=replace(ALL, max_sentence_positions=600)))

    def num_clips(row: Instruction) -> int:
        return sum(part.kind == "reconstruction" for part in row.segments)

    assert max(map(num_clips, wide)) > 1
    assert len(narrow) == len(wide)
    assert sum(map(num_clips, narrow)) < sum(map(num_clips, wide))
    assert Counter(map(num_clips, narrow))[1] >= 20


def test_a_clip_has_the_same_conversation_whatever_the_shards_and_another_seed_another(tmp_path: Path) -> None:
    contents = {
        (seed, shards): build(tmp_path / f"{seed}{shards}", speakers(), replace(ALONE, seed=seed), shards)[1].content_id
        for seed, shards in ((0, 1), (0, 3), (1, 1))
    }
    assert contents[0, 1] == contents[0, 3] != contents[1, 1]


def test_a_share_of_none_makes_no_conversation_and_moves_no_other_example(tmp_path: Path) -> None:
    with_it, without = (
        rows_of(*build(tmp_path / str(share), a_rich_corpus(), replace(ALL, conversation_share=share)))
        for share in (1.0, 0.0)
    )
    assert without == [row for row in with_it if row.task != "conversation"]
    assert len(with_it) > len(without)


def test_a_conversation_may_be_as_long_as_an_auditory_sentence(tmp_path: Path) -> None:
    store, manifest = build(tmp_path, speakers(), replace(ALONE, max_positions=20))
    assert {row.task for row in rows_of(store, manifest)} == {"conversation", "sentence_transcribed"}


def test_caps_hold_for_conversations(tmp_path: Path) -> None:
    for cap, allowed in (({"max_examples_per_corpus": 5}, 5), ({"max_examples_per_speaker": 2}, 3 * 2)):
        store, manifest = build(tmp_path / next(iter(cap)), speakers(), replace(ALONE, **cap))
        rows = [row for row in rows_of(store, manifest) if row.task == "conversation"]
        assert len(rows) == allowed
        assert manifest.statistics["not_built/conversation/over_cap"] == 24 - allowed


def test_from_clips_to_a_step_of_the_stage(tmp_path: Path) -> None:
    """Real audio, every edge, a codec that sums frames up."""
    store = Store(tmp_path)
    wanted = speakers(8)
    raw, recordings = token_corpus.put_raw(store, [token_corpus.sound(RATE, seed) for seed in range(8)])
    clips = [
        replace(
            cut,
            split="val" if number == 7 else "train",
            corpus="c",
            given_text=wanted[number].given_text,
            language=wanted[number].language,
            facts=wanted[number].facts,
            speaker=wanted[number].speaker,
            duplicate_cluster=None,
            tags=[],
        )
        for number, cut in enumerate(token_corpus.cuts_of(recordings, 1))
    ]
    token_corpus.write(store, "annotated", {"c-00000": {"rows": clips}}, {"raw": raw.content_id})
    token_corpus.put_codec(store)
    run_edge(store, ALONE, InstructionWorker, num_workers=0, owner="test")
    token_corpus.tokenize(store, InstructionsToTokens(), BatchingCodec())
    manifest = run_edge(store, TokensToSequences(), SequenceWorker, num_workers=0, owner="test")
    assert manifest.dropped == {}

    job = SequencesToCheckpoint(stages=("stage5",), num_steps=1, num_rows=2)
    assert job.learnable(manifest) == ("stage5",)
    stage = replace(job.stage("stage5"), num_threads=1, num_held_out=1)
    data = MixtureData(SequenceSet.open(store, manifest), tiny_vocabulary(), stage, 0)
    model = tiny_lm()
    result = train_stage(model, stage, data)
    assert (result.state.step, result.state.num_skipped) == (1, 0)
    assert {"conversation", "asr"} <= data.groups.keys()
    held_out = result.held_out["conversation"]
    assert held_out.num_sequences == 1 and held_out.after < held_out.before
