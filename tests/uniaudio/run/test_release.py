"""An exported folder is one that transformers and a hub read, and a model comes from and goes to a hub by its name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.kinds.scores import Score

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.lm.sampling import Sampling
from uniaudio.run import release
from uniaudio.run.folder import Parts, load_parts, save_parts
from uniaudio.run.model import Options, UniAudio
from uniaudio.run.options import options_of
from uniaudio.tasks import TASKS

SCORE = Score(
    score_id="a" * 32, checkpoint_id="b" * 32, benchmark="asr", metric="wer", domain="speech", value=0.25, low=0.2, high=0.3,
    num_samples=9, baseline="empty answer", baseline_value=1.0, higher_is_better=False,
)  # fmt: skip


def test_transformers_reads_how_answers_are_drawn(model_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    generation = transformers.GenerationConfig.from_pretrained(model_folder)
    assert (generation.temperature, generation.top_k, generation.do_sample) == (0.9, 50, True)
    fields, _ = transformers.PretrainedConfig.get_config_dict(model_folder)
    assert (fields["model_type"], fields["architectures"], fields["dtype"]) == ("uniaudio", ["UniAudioLM"], "float32")


def test_autotokenizer_reads_the_folder_of_a_model_with_a_tokenizer(parts: Parts, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    own = tmp_path / "own"
    own.mkdir()
    Tokenizer(WordLevel({"good": 0, "morning": 1}, unk_token="good")).save(str(own / "tokenizer.json"))
    release.write_release(parts, tmp_path, tokenizer=own, text="")
    found = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert found.convert_ids_to_tokens([1, 0]) == ["morning", "good"]


def test_the_card_tells_data_licences_and_scores(parts: Parts) -> None:
    sources = [{"corpus": "queen", "licence": "CC0-1.0", "files": 29, "seconds": 7200.0}]
    text = release.card(parts, release.Origin(sources=sources, scores=[SCORE], stage="stage3", checkpoint_id="b" * 32))
    assert "| queen | CC0-1.0 | 29 | 2.00 |" in text
    assert "| asr | wer | 0.25 | 0.2 … 0.3 | 1 (empty answer) | lower | 9 |" in text
    assert "up to stage3" in text and "- `asr`: prompt, audio -> transcript" in text
    card = pytest.importorskip("huggingface_hub").ModelCard(text)
    assert card.data.license_name == "of the data: CC0-1.0" and card.data.library_name == "uniaudio"


def test_a_folder_in_sixteen_bits_is_half_as_large_and_its_codec_is_rounded_only_where_that_changes_nothing(
    model_folder: Path, tmp_path: Path
) -> None:
    parts = load_parts(model_folder)
    save_parts(parts, tmp_path / "first", torch.bfloat16)
    first = load_parts(tmp_path / "first")
    weights = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path / "first", model_folder)]
    assert weights[0] < 0.6 * weights[1]
    assert not parts.load_codec().is_exact_in(torch.bfloat16)
    assert first.load_codec().fingerprint == parts.codec_fingerprint
    # A codec that was rounded before, as one that comes with the project.
    parts.load_codec().save(tmp_path / "rounded", torch.bfloat16)
    rounded = ReasoningCodec.load(tmp_path / "rounded")
    of_rounded = replace(parts, codec_fingerprint=rounded.fingerprint, load_codec=lambda: rounded)
    save_parts(of_rounded, tmp_path / "second", torch.bfloat16)
    files = [folder / "codec" / "codec.safetensors" for folder in (tmp_path / "second", tmp_path / "first")]
    assert files[0].stat().st_size < 0.6 * files[1].stat().st_size
    assert load_parts(tmp_path / "second").load_codec().fingerprint == rounded.fingerprint


def test_a_folder_that_is_saved_again_keeps_its_card_and_its_weights(model_folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    shutil.copytree(model_folder, first)
    (first / release.CARD_FILE).write_text("known to nobody else")
    save_parts(load_parts(first), tmp_path / "second")
    for name in (release.CARD_FILE, "config.json", "model.safetensors"):
        assert (tmp_path / "second" / name).read_bytes() == (first / name).read_bytes()


def test_what_transformers_adds_to_a_config_is_no_part_of_the_model(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "old")
    fields = json.loads((tmp_path / "old" / "config.json").read_text())
    for name in ("model_type", "architectures", "dtype"):
        del fields[name]
    (tmp_path / "old" / "config.json").write_text(json.dumps(fields))
    assert load_parts(tmp_path / "old").model.config == load_parts(model_folder).model.config


def test_a_model_goes_to_a_hub_and_comes_back(model: UniAudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.chdir(tmp_path)
    kept: dict[str, Path] = {}

    def upload_folder(self: object, *, repo_id: str, folder_path: Path, **_: object) -> str:
        kept[repo_id] = Path(shutil.copytree(folder_path, tmp_path / "hub"))
        return f"https://hub.example/{repo_id}"

    monkeypatch.setattr(
        hub.HfApi, "create_repo", lambda self, repo_id, **options: kept.setdefault(f"{options}", tmp_path)
    )
    monkeypatch.setattr(hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(hub, "snapshot_download", lambda repo_id, revision=None: str(kept[repo_id]))
    assert model.push_to_hub("me/mine") == "https://hub.example/me/mine"
    assert "{'private': True, 'exist_ok': True}" in kept
    found = UniAudio.from_pretrained("me/mine")
    assert found.tasks == model.tasks
    sampling = Sampling(temperature=0.9, top_k=50, seed=3)
    ours = found.run("tts", text="Hi.", max_seconds=0.3, seed=3).audio
    theirs = model.run("tts", text="Hi.", options=Options(max_seconds=0.3, sampling=sampling)).audio
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("me/mine", True), ("me/.mine", False), ("./mine", False), ("/me/mine", False), ("mine", False), ("a/b/c", False)],
)
def test_a_hub_names_owner_and_model(path: str, expected: bool) -> None:
    assert release.is_hub_id(path) is expected
    assert not release.is_hub_id(Path(path))


def test_arguments_count_more_than_options_and_the_tasks_defaults() -> None:
    made = options_of(TASKS["tts"], Options(max_seconds=9, max_text=7), {"max_seconds": 3, "top_k": 5, "seed": 2})
    assert made == Options(max_seconds=3, max_text=7, sampling=Sampling(temperature=0.9, top_k=5, seed=2))
    assert options_of(TASKS["asr"], None, {"seed": 2}).sampling == Sampling(seed=2)
    assert options_of(TASKS["asr"], None, {}) == Options()
    with pytest.raises(UsageError, match=r"hold `temprature`"):
        options_of(TASKS["asr"], None, {"temprature": 1.0})  # type: ignore[typeddict-unknown-key]
