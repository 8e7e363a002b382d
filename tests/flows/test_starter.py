"""The starter's readers on containers made here, its splits, its cards, and what its command asks of the road."""

import dataclasses
import io
import json
import struct
import wave
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from uniaudio_flows.demo.layout import Item
from uniaudio_flows.everything import STEPS
from uniaudio_flows.settings import load_settings
from uniaudio_flows.starter import layout, music, phrases, recipe, run, sound, speech, voices
from uniaudio_flows.starter.queen import read_recordings
from uniaudio_flows.starter.splits import shares
from uniaudio_flows.starter.words import words_of_prompt
from uniaudio_pipelines.raw_to_annotated.annotators import table
from uniaudio_pipelines.source_to_raw.survey import survey
from uniaudio_schemas.errors import DataError

from uniaudio.tasks.table import TASKS

NAMES = ("Ian", "note")
DESCRIPTIONS = ("It looks nice*03", "It's sharp*24Very*02")


def container(files: dict[str, bytes]) -> bytes:
    offset, table_, body = 15 + 21 * len(files), b"", b""
    for name, data in files.items():
        table_ += struct.pack(">12sBII", name.encode(), 1, offset + len(body), len(data))
        body += data
    return b"QTBL" + bytes(8) + b"\1" + struct.pack(">H", len(files)) + table_ + body


def objects() -> bytes:
    """Of one room: object 1 is called by the first name, object 2 by the second."""
    counts = struct.pack(">4H", 1, len(NAMES), 2, len(DESCRIPTIONS))
    return bytes(20) + counts + b"".join(struct.pack(">8h", place, *[0] * 7) for place in (1, 2))


def strings() -> bytes:
    lines = [*DESCRIPTIONS, *NAMES, "ROOM", *["verb"] * 12, *["I can't*03"] * 40]
    return "\r\n".join(lines).encode("cp437")


def cutscene(acts: list[tuple[int, bool, str]]) -> bytes:
    """Acts are (object, whether it is animated, what is said)."""
    body, said = b"", b"\0"
    for number, is_animated, _ in acts:
        body += struct.pack(">17h", number, 0, 0, 0, 0, int(is_animated), *[0] * 11) + struct.pack(">2h", 1, 7)
        if is_animated:
            body += struct.pack(">10h", *range(10)) + struct.pack(">h", -2)
    for _, _, text in acts:
        if len(said) % 2 and said != b"\0":
            said += b"\0"
        said += bytes([len(text)]) + text.encode("cp437")
    first = 12 + len(body)
    return bytes(20) + struct.pack(">HhHHHH", 0, -len(acts), 0, 0, first, 0) + body + said


def greeting(talk_key: int, joe: str, person: str, again: str) -> bytes:
    def text(said: str) -> bytes:
        raw = bytes([len(said)]) + said.encode("cp437")
        return raw + bytes(-len(raw) % 4)

    first, second = bytes(4) + text(joe), bytes(4) + text(person)
    start = 32 + 96
    header = struct.pack(
        ">13h", 1, 1, talk_key, 0, 0, 0, 0, 0, 0, 0, 0, start + len(first), start + len(first + second)
    )
    return bytes(20) + header + bytes(start - len(header)) + first + second + bytes(4) + text("c1.CUT") + text(again)


def game(folder: Path) -> Path:
    acts = [(0, True, "*FRHere!*05"), (1, False, "*FLOver*02there.*03"), (-2, False, "Boom")]
    files = {
        "QUEEN.JAS": objects(),
        "QUEEN2.JAS": strings(),
        "C1A.CUT": cutscene(acts),
        "APE.DOG": greeting(3, "Hello ape.*02", "Hello again.*02", "*01Oop oop!"),
    }
    named = (
        "C1A__012",
        "C1A__022",
        "C1A__023",
        "C1A__031",
        "JOE00421",
        "JOE00011",
        "03SSSSJ1",
        "03XXXXP2",
        "7SSSSSSS",
        "TOM",
    )
    files |= {f"{name}.SB": name.encode() for name in named}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "queen.1c"
    path.write_bytes(container(files))
    return path


def bell() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    return buffer.getvalue()


def test_every_recording_has_the_words_and_the_speaker_that_its_script_gives(tmp_path: Path) -> None:
    found = {one.name: (one.kind, one.speaker, one.text) for one in read_recordings(game(tmp_path))}
    assert found == {
        "C1A__012": ("cutscene", "joe", "Here!"),
        "C1A__022": ("cutscene", "Ian", "Over"),
        "C1A__023": ("cutscene", "Ian", "there."),
        "C1A__031": ("cutscene", None, "Boom"),
        "JOE00011": ("remark", "joe", "I can't"),
        "JOE00421": ("remark", "joe", "It's sharp"),
        "03SSSSJ1": ("dialogue", "joe", "Hello ape."),
        "03XXXXP2": ("gibberish", "ape", "Oop oop!"),
        "7SSSSSSS": ("effect", None, None),
        "TOM": ("unused", None, None),
    }


def test_a_container_without_scripts_is_named(tmp_path: Path) -> None:
    path = tmp_path / "queen.1c"
    path.write_bytes(container({"TOM.SB": b""}))
    with pytest.raises(DataError, match="not a queen"):
        list(read_recordings(path))


def test_an_actor_of_the_queen_is_in_one_split_and_gibberish_is_no_transcript(tmp_path: Path) -> None:
    game(tmp_path / "usr/share/scummvm/flight-of-the-amazon-queen")
    said = {item.path: item.metadata for item in speech.queen_items(tmp_path)}
    assert said["C1A__022.mp3"]["speaker"] == "chief"  # Ian and the chief are one actor
    assert said["C1A__022.mp3"]["split"] == "train"
    assert "split" not in said["C1A__031.mp3"] and "speaker" not in said["C1A__031.mp3"]
    assert "given_text" not in said["03XXXXP2.mp3"] and said["03XXXXP2.mp3"]["split"] == "val"
    assert said["7SSSSSSS.mp3"]["domain"] == "sound"
    characters = [name for actor in speech.ACTORS for name in actor]
    assert len(characters) == len(set(characters))


def test_a_line_of_the_fishes_has_both_languages_and_a_level_is_in_one_split(tmp_path: Path) -> None:
    game_folder = tmp_path / "usr/share/games/fillets-ng"
    for level in ("city", "cave", "reef"):
        (game_folder / "script" / level).mkdir(parents=True)
        (game_folder / "sound" / level / "cs").mkdir(parents=True)
        script = 'dialogId("a", "font_small", "A \\"b\\" %1.")\ndialogStr("Á %1.")\n\ndialogId("b", "font_big", "B.")\ndialogStr("Bé.")\n'
        (game_folder / "script" / level / "dialogs_cs.lua").write_text(script, encoding="utf-8")
        for name in ("a", "b", "c"):
            (game_folder / "sound" / level / "cs" / f"{name}.ogg").write_bytes(b"")
    items = list(speech.fillets_items(tmp_path, tmp_path))
    assert [item.path for item in items[:2]] == ["cave/cs/a.ogg", "cave/cs/b.ogg"]  # c has no script
    first = items[0].metadata
    assert (first["given_text"], first["speaker"]) == ("Á.", "small")
    assert first["facts"] == {"level": "cave", "english": 'A "b".'}
    by_level = {(item.path.partition("/")[0], item.metadata["split"]) for item in items}
    assert sorted(split for _, split in by_level) == ["test", "train", "val"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits/0", "zero"),
        ("digits/70", "seventy"),
        ("digits/h-12", "twelfth"),
        ("digits/h-20", "twentieth"),
        ("digits/mon-11", "December"),
        ("digits/day-0", "Sunday"),
        ("letters/h", "h"),
        ("letters/ascii63", "question mark"),
        ("phonetic/q_p", "Quebec"),
        ("vm-savefolder", None),
    ],
)
def test_a_prompt_says_what_its_name_stands_for(name: str, words: str | None) -> None:
    assert words_of_prompt(name) == words


def test_variants_of_a_sound_have_one_title() -> None:
    assert [
        sound.titled(name)
        for name in ("snow2", "default_water_footstep.3", "HatPedal-Soft", "24Ride-1", "bullet-smg-5x")
    ] == [
        "snow",
        "default water footstep",
        "hat pedal soft",
        "ride",
        "bullet smg x",
    ]


def test_sounds_of_an_archive_have_the_title_of_their_file_and_the_tag_of_their_folder(tmp_path: Path) -> None:
    path = tmp_path / "usr/share/games/ufoai/base/0snd.pk3"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("footsteps/snow1.ogg", "footsteps/snow2.ogg", "ui/click.ogg", "ui/drop.ogg", "readme.txt"):
            archive.writestr(f"sound/{name}", name)
    items = list(sound.in_splits("ufoai", sound.ufoai_items)(tmp_path))
    assert [(item.path, item.metadata["given_title"], item.metadata["given_tags"]) for item in items[:2]] == [
        ("footsteps/snow1.ogg", "snow", ["footsteps"]),
        ("footsteps/snow2.ogg", "snow", ["footsteps"]),
    ]
    assert len(items) == 4 and items[0].metadata["split"] == items[1].metadata["split"]


def test_machine_made_music_says_so_with_its_tempo_and_key(tmp_path: Path) -> None:
    said = tmp_path / "x.dist-info/licenses/LICENSE-MUSIC"
    said.parent.mkdir(parents=True)
    said.write_text("calm/\n  calm_a_1.opus                  68 bpm  Bb minor   seed 101  [acoustic]\n")
    track = tmp_path / "immich_memories_music/tracks/calm/calm_a_1.opus"
    track.parent.mkdir(parents=True)
    track.write_bytes(b"")
    (item,) = music.immich_items(tmp_path)
    assert item.metadata["given_tags"] == ["calm", "acoustic", "68 bpm", "Bb minor"]
    assert item.metadata["facts"] == {"synthetic": "yes", "tempo_bpm": "68", "key": "Bb minor"}


def test_splits_are_of_names_alone_and_none_is_empty() -> None:
    names = [f"track{number}" for number in range(40)]
    found = shares("drascula", names)
    assert found == shares("drascula", reversed(names))
    assert sorted(found.values()) == ["test"] * 4 + ["train"] * 32 + ["val"] * 4
    assert set(shares("a", ["x", "y"]).values()) == {"train"}


def corpus_of(name: str) -> layout.Corpus:
    return next(corpus for corpus in layout.CORPORA if corpus.name == name)


def test_a_corpus_that_is_complete_is_left_alone_and_all_have_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(tree: Path) -> Iterator[Item]:
        yield Item(path="a.wav", audio=bell(), metadata={"given_title": "a bell"})

    corpus = replace(corpus_of("opensfx"), name="bells", read=read, domain="sound", licence="CC0-1.0")
    monkeypatch.setattr(layout, "CORPORA", (corpus,))
    monkeypatch.setattr(layout, "fetch", lambda package, cache: tmp_path / "package.deb")
    monkeypatch.setattr(layout, "unpack_deb", lambda file, cache: tmp_path)
    said: list[str] = []
    leftover = tmp_path / "source" / "bells" / "old" / "b.wav"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(bell())
    layout.lay_out_starter(tmp_path / "source", tmp_path / "cache", said.append)
    layout.lay_out_starter(tmp_path / "source", tmp_path / "cache", said.append)
    assert not leftover.exists()
    assert len(said) == 1 and said[0].startswith("bells: 1 files from openttd-opensfx")
    (row,) = (tmp_path / "source/bells/metadata.jsonl").read_text().splitlines()
    assert json.loads(row) == {"path": "a.wav", "given_title": "a bell"}
    (found,) = [one for one in survey(str(tmp_path / "source")) if one.name == "bells"]
    assert found.num_clips == 1 and not found.problems
    assert 'licence = "CC0-1.0"' in (tmp_path / "source/corpora/bells.toml").read_text()


def test_the_starter_asks_for_its_size_its_source_and_no_recognizer() -> None:
    settings = load_settings()
    assert run.of_starter(settings).size == "starter"
    assert run.of_starter(settings).source != settings.source
    asked = recipe.parameters("")["annotate_corpus"]["annotators"]
    assert set(asked) <= set(table.DEFAULT) and "transcript" not in asked


def test_the_starter_tells_each_edge_fields_that_it_has_and_takes_a_codec_where_one_is_named() -> None:
    told = recipe.parameters("models/codec")
    jobs = {step.flow.replace("-", "_"): step.job_class for step in STEPS}
    for name, fields in told.items():
        assert set(fields) <= {field.name for field in dataclasses.fields(jobs[name])}
    assert told["train_codec"] == {"start": "models/codec"} and "train_codec" not in recipe.parameters("")
    groups = {task.mixture for task in TASKS.values()} | {"*"}
    assert all(set(mixture) <= groups for mixture in recipe.MIXTURES.values())


def test_each_voice_says_phrases_of_its_own_which_are_the_same_on_every_machine() -> None:
    assert phrases.phrases_of("af_heart", 3) == ["two six nine", "lock the front door", "three zero"]
    assert phrases.phrases_of("af_heart", 5)[:3] == phrases.phrases_of("af_heart", 3)
    assert phrases.phrases_of("am_adam", 20) != phrases.phrases_of("af_heart", 20)
    said = [phrases.phrases_of(voice, 150) for voice in ("a", "b", "c", "d")]
    assert all(len(set(of_voice)) == 150 for of_voice in said)
    words = {word for of_voice in said for phrase in of_voice for word in phrase.split()}
    assert 70 < len(words) < 90


def a_voice_package(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / "package" / "voices" / f"{name}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return folder


def test_what_a_voice_has_said_is_not_said_again_and_a_voice_is_in_one_split(tmp_path: Path) -> None:
    package = a_voice_package(tmp_path, "af_heart", "bm_fable", "zf_xiaoni")
    said: list[tuple[str, str]] = []

    def speak(phrase: str, voice: str) -> np.ndarray:
        said.append((phrase, voice))
        if len(said) == 50:
            raise KeyboardInterrupt
        return np.concatenate([np.zeros(24_000), np.linspace(0.5, 1.25, 2_400), np.zeros(24_000)]).astype(np.float32)

    def items() -> list[Item]:
        return list(voices.voice_items(tmp_path, tmp_path, tmp_path, package, synthesize=lambda *_: speak))

    with pytest.raises(KeyboardInterrupt):
        items()
    found = items()
    assert len(said) == 80 + 40 + 1  # the one that was cut off is said again
    assert Counter((item.metadata["speaker"], item.metadata["split"]) for item in found) == {
        ("kokoro af_heart", "train"): 80,
        **{(f"kokoro af_heart at {pace}", "train"): 80 for pace in voices.PACES},
        ("kokoro bm_fable", "test"): 40,
    }
    assert found[-1].metadata["facts"] == {"synthetic": "true", "accent": "British", "gender": "male"}
    assert found[-1].metadata["given_text"] == phrases.phrases_of("bm_fable", 40)[-1]
    with wave.open(str(found[0].audio), "rb") as file:
        assert (file.getframerate(), file.getnframes()) == (24_000, 2_400 + 2 * 2_400)  # a tenth of a second around it
        samples = np.frombuffer(file.readframes(7_200), "<i2")
    assert isinstance(found[1].audio, bytes)
    with wave.open(io.BytesIO(found[1].audio), "rb") as file:
        assert (file.getframerate(), file.getnframes()) == (21_000, 7_200)  # the first of the paces, seven eighths
        assert found[1].path == "af_heart-0.875/000.wav" and file.readframes(7_200) == samples.tobytes()
    assert samples.max() == 32_767 and np.count_nonzero(samples == 32_767) == 1, "nothing is cut off at full scale"
    assert not list(tmp_path.rglob("*.part"))
