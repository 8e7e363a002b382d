"""Annotated clips that give an example of every task, and how the edge is run on them."""

from collections.abc import Iterable
from pathlib import Path

from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions
from uniaudio_pipelines.annotated_to_instructions.worker import InstructionWorker
from uniaudio_pipelines.running.edge import run_edge
from uniaudio_schemas.kinds.annotated import Annotated, Fact, Word
from uniaudio_schemas.kinds.instructions import Instruction
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest, Plan

RATE = 24_000
FEW_SHOT = ("speech_enhancement", "voice_conversion", "emotion_recognition", "sound_classification")
SHARES = tuple(
    name
    for name in AnnotatedToInstructions.__dataclass_fields__
    if name.endswith("_share") and name != "max_synthetic_share"
)
"""Of the job: how much of what can be built is built."""
ALL = AnnotatedToInstructions(**dict.fromkeys(SHARES, 1.0))


def a_clip(name: str, domain: str, split: str = "train", **more: object) -> Annotated:
    common = {"raw_clip_id": name, "path": f"c/{name}", "corpus": "c", "licence": "CC0-1.0"}
    sound = {} if domain == "text" else {"num_samples": 2 * RATE, "sample_rate": RATE, "channels": 1}
    return Annotated(clip_id=name, domain=domain, split=split, **{**common, **sound, **more})


def a_corpus() -> list[Annotated]:
    speech = [
        a_clip(f"s{index}", "speech", split, speaker=speaker, given_text=f"line {index}", transcript="heard")
        for index, (split, speaker) in enumerate(
            [("train", "ann"), ("train", "bob"), ("train", "ann"), ("val", "cy"), ("val", "dee")]
        )
    ]
    same = [
        a_clip(f"w{name}", "speech", speaker=name, given_text=said)
        for name, said in (("ann", "Hello!"), ("bob", "hello"))
    ]
    stems = [
        a_clip(part, "music", part_of="song", part=part, caption="a song", num_samples=10 * RATE)
        for part in ("band", "guitar")
    ]
    cuts = [
        a_clip(
            f"cut{index}", "music", raw_clip_id="long", first_sample=index * 2 * RATE, caption="a tune", tags=["folk"]
        )
        for index in range(3)
    ]
    sounds = [a_clip(f"n{index}", "sound", caption=f"a bell {index}", tags=["Bell"]) for index in range(2)]
    return [*speech, *same, *stems, *cuts, *sounds, a_clip("t", "text", text="A passage.")]


def a_rich_corpus() -> list[Annotated]:
    """Every task has an example."""
    spoken = {
        "speaker": "ann",
        "given_text": "open the old door",
        "transcript": "open the cold door",
        "style": "A calm low voice.",
        "evidence": ["pitch_hz=121.0"],
    }
    said = [
        a_clip(
            f"e{number}",
            "speech",
            **{**spoken, "given_text": text},
            given_words=words_of(text),
            facts=[Fact(name="emotion", value=emotion), Fact(name="answer", value="Yes.")],
        )
        for number, (text, emotion) in enumerate(
            [
                ("open the old door", "happy"),
                ("close that new box", "happy"),
                ("we left very early", "sad"),
                ("never say it again", "sad"),
            ]
        )
    ]
    turns = [
        a_clip(
            f"turn{number}",
            "speech",
            raw_clip_id="talk",
            first_sample=2 * RATE * number,
            speaker=who,
            given_text=f"turn {number}",
        )
        for number, who in enumerate(("ann", "bob"))
    ]
    other = [
        a_clip("yue", "speech", speaker="ng", given_text="你好", language="yue"),
        a_clip(
            "impaired",
            "speech",
            speaker="cy",
            given_text="hello there",
            facts=[Fact(name="dysarthria", value="moderate")],
        ),
    ]
    songs = [
        a_clip(
            f"song{number}",
            "music",
            raw_clip_id="album",
            first_sample=9 * RATE * number,
            lyrics="la la",
            caption="a song",
            tags=[tag],
        )
        for number, tag in enumerate(("folk", "rock"))
    ]
    sounds = [a_clip(f"r{number}", "sound", caption="rain falls", tags=["rain"]) for number in range(2)]
    return [*a_corpus(), *said, *turns, *other, *songs, *sounds]


def words_of(text: str) -> list[Word]:
    """Words of 0.4 s, one after the other."""
    return [
        Word(word=word, first_sample=9_600 * number, num_samples=9_600, confidence=0.9)
        for number, word in enumerate(text.split())
    ]


def write(store: Store, clips: Iterable[Annotated], shards: int = 1) -> Manifest:
    clips = sorted(clips, key=lambda clip: clip.clip_id)
    units = [f"c-{index:05}" for index in range(shards)]
    plan = Plan(
        kind="annotated", schema_version=3, parents={}, parameters={"shards": shards}, code_version="1", units=units
    )
    with store.writer(plan, owner="test") as writer:
        for index, unit in enumerate(units):
            writer.put_shard(unit, clips[index::shards])
        return writer.publish()


def build(
    root: Path, clips: Iterable[Annotated], job: AnnotatedToInstructions = ALL, shards: int = 1
) -> tuple[Store, Manifest]:
    store = Store(root)
    write(store, clips, shards)
    return store, run_edge(store, job, InstructionWorker, num_workers=0, owner="test")


def rows_of(store: Store, manifest: Manifest) -> list[Instruction]:
    return list(store.rows(manifest, Instruction))
