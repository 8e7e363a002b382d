"""Annotators by models of `transformers`, for who has their weights: each is asked only by name and reads `<models>/<folder>`.

    wavlm_speaker     WavLMForXVector                        speaker_embedding
    ast_tags          AutoModelForAudioClassification        tags, of sound and music
    emotion           AutoModelForAudioClassification        tags, of speech
    clap_tags         ClapModel, with the words to choose    tags, of sound and music
    qwen_caption      Qwen2AudioForConditionalGeneration     caption

A folder is what `save_pretrained` of the model and of its processor writes. Weights are never fetched: a folder that is not
there is a `UsageError`. The version names all files of the folder by their bytes (`weights`).
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from uniaudio_schemas.errors import DataError, UsageError

from uniaudio_pipelines.raw_to_annotated.annotators import packages
from uniaudio_pipelines.raw_to_annotated.annotators.annotator import ANALYSIS_RATE, MUSIC, SOUND, SPEECH, Clip, Value
from uniaudio_pipelines.raw_to_annotated.annotators.caption import given_tags

_MIN_SAMPLES = ANALYSIS_RATE // 2
_LABELS_FILE = "labels.txt"


class Pretrained:
    """A model and its processor from `<models>/<folder>`."""

    name: ClassVar[str]
    folder: ClassVar[str]

    def __init__(self, models: Path, device: str) -> None:
        from uniaudio.codec.encoders.frozen import import_transformers

        packages.require_package("transformers", self.name)
        self._path, self._device = Path(models) / self.folder, device
        if not (self._path / "config.json").is_file():
            raise UsageError(
                f"{self._path} is missing: save a pretrained model and its processor there, or leave `{self.name}` "
                "out of `annotators`."
            )
        self._transformers = import_transformers()
        try:
            self._model, self._processor = self._load()
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{self._path}: is no model for `{self.name}`: {error}") from error
        self._model = self._model.to(device).eval()

    @classmethod
    def version(cls) -> str:
        return f"{cls.folder}-1"

    def _load(self) -> tuple[Any, Any]:
        raise NotImplementedError

    def _inputs(self, samples: np.ndarray, rate: int) -> Any:
        inputs = self._processor(samples, sampling_rate=rate, return_tensors="pt")
        return {name: value.to(self._device) for name, value in inputs.items()}


class WavLMSpeaker(Pretrained):
    """Who speaks, as the x-vector of WavLM (`microsoft/wavlm-base-plus-sv`), in place of the GE2E embedding."""

    name: ClassVar[str] = "wavlm_speaker"
    folder: ClassVar[str] = "wavlm-sv"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"speaker_embedding"})

    def _load(self) -> tuple[Any, Any]:
        model = self._transformers.WavLMForXVector.from_pretrained(self._path, local_files_only=True)
        return model, self._transformers.AutoFeatureExtractor.from_pretrained(self._path, local_files_only=True)

    def annotate(self, clip: Clip) -> list[Value]:
        import torch

        if len(clip.analysis) < _MIN_SAMPLES or not clip.analysis.any():
            return []
        with torch.inference_mode():
            vector = self._model(**self._inputs(clip.analysis, ANALYSIS_RATE)).embeddings[0].float().cpu()
        unit = (vector / vector.norm().clamp(min=1e-12)).tolist()
        return [Value(column="speaker_embedding", value=[round(value, 6) for value in unit])]


class AudioClassifier(Pretrained):
    """The labels of a classifier that are probable enough, as tags after those of the source.

    A classifier of one label a clip gives a distribution; one of several (`problem_type` in its configuration) a probability each.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"tags"})
    writes: ClassVar[frozenset[str]] = frozenset({"tags"})
    min_probability: ClassVar[float]
    prefix: ClassVar[str] = ""
    """Text before each tag, where the label alone does not say what it is a label of."""

    def _load(self) -> tuple[Any, Any]:
        model = self._transformers.AutoModelForAudioClassification.from_pretrained(self._path, local_files_only=True)
        return model, self._transformers.AutoFeatureExtractor.from_pretrained(self._path, local_files_only=True)

    def annotate(self, clip: Clip) -> list[Value]:
        import torch

        if len(clip.analysis) < _MIN_SAMPLES or not clip.analysis.any():
            return []
        with torch.inference_mode():
            logits = self._model(**self._inputs(clip.analysis, ANALYSIS_RATE)).logits[0].float().cpu()
        several = self._model.config.problem_type == "multi_label_classification"
        probability = logits.sigmoid() if several else logits.softmax(dim=0)
        labels = [self._model.config.id2label[number] for number in range(len(probability))]
        return _tags(clip, dict(zip(labels, probability.tolist(), strict=True)), self.min_probability, self.prefix)


class AudioSetTags(AudioClassifier):
    """`MIT/ast-finetuned-audioset-10-10-0.4593`, or another classifier of AudioSet's 527 classes."""

    name: ClassVar[str] = "ast_tags"
    folder: ClassVar[str] = "ast-audioset"
    domains: ClassVar[frozenset[str]] = frozenset({SOUND, MUSIC})
    min_probability: ClassVar[float] = 0.2


class Emotion(AudioClassifier):
    """An emotion classifier, such as `superb/wav2vec2-base-superb-er`; its label becomes the tag `emotion: angry`."""

    name: ClassVar[str] = "emotion"
    folder: ClassVar[str] = "emotion"
    domains: ClassVar[frozenset[str]] = frozenset({SPEECH})
    min_probability: ClassVar[float] = 0.6
    prefix: ClassVar[str] = "emotion: "


class ZeroShotTagger(Pretrained):
    """Tags of `labels.txt` (one a line, in the model's folder) that CLAP (`laion/clap-htsat-unfused`) finds most like the clip."""

    name: ClassVar[str] = "clap_tags"
    folder: ClassVar[str] = "clap"
    domains: ClassVar[frozenset[str]] = frozenset({SOUND, MUSIC})
    reads: ClassVar[frozenset[str]] = frozenset({"tags"})
    writes: ClassVar[frozenset[str]] = frozenset({"tags"})
    min_probability: ClassVar[float] = 0.3

    def _load(self) -> tuple[Any, Any]:
        file = self._path / _LABELS_FILE
        if not file.is_file():
            raise UsageError(f"{file} is missing: write the words to choose from there, one a line.")
        self._labels = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        model = self._transformers.ClapModel.from_pretrained(self._path, local_files_only=True)
        return model, self._transformers.ClapProcessor.from_pretrained(self._path, local_files_only=True)

    def annotate(self, clip: Clip) -> list[Value]:
        import torch

        from uniaudio.audio.resample import resample

        if len(clip.analysis) < _MIN_SAMPLES or not clip.analysis.any():
            return []
        extractor = self._processor.feature_extractor
        samples = np.asarray(resample(clip.samples.mean(axis=0), clip.sample_rate, extractor.sampling_rate))
        features = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
        words = self._processor.tokenizer(self._labels, padding=True, return_tensors="pt")
        inputs = {name: value.to(self._device) for name, value in {**features, **words}.items()}
        with torch.inference_mode():
            likely = self._model(**inputs).logits_per_audio[0].float().softmax(dim=0).cpu().tolist()
        return _tags(clip, dict(zip(self._labels, likely, strict=True)), self.min_probability, "")


class Captioner(Pretrained):
    """What is heard, in the words of an audio language model (`Qwen/Qwen2-Audio-7B-Instruct`); where people did not say it."""

    name: ClassVar[str] = "qwen_caption"
    folder: ClassVar[str] = "qwen-audio"
    domains: ClassVar[frozenset[str]] = frozenset({SOUND, MUSIC})
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"caption"})
    prompt: ClassVar[str] = "<|audio_bos|><|AUDIO|><|audio_eos|>Describe in one sentence what is heard:"
    max_tokens: ClassVar[int] = 64

    def _load(self) -> tuple[Any, Any]:
        model = self._transformers.Qwen2AudioForConditionalGeneration.from_pretrained(self._path, local_files_only=True)
        return model, self._transformers.AutoProcessor.from_pretrained(self._path, local_files_only=True)

    def annotate(self, clip: Clip) -> list[Value]:
        import torch

        if clip.raw.given_captions or len(clip.analysis) < _MIN_SAMPLES or not clip.analysis.any():
            return []
        inputs = self._processor(
            text=self.prompt, audio=clip.analysis, sampling_rate=ANALYSIS_RATE, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        text = " ".join(self._processor.batch_decode(new, skip_special_tokens=True)[0].split())
        return [Value(column="caption", value=text)] if text else []


MODELS = (WavLMSpeaker, AudioSetTags, Emotion, ZeroShotTagger, Captioner)


def _tags(clip: Clip, likely: dict[str, float], min_probability: float, prefix: str) -> list[Value]:
    """The probable labels, the most probable first, after the tags that are there."""
    there = list(clip.known.get("tags") or given_tags(clip))
    lower_tags = {tag.lower() for tag in there}
    order = sorted(likely, key=lambda label: (-likely[label], label))
    labels = [label for label in order if likely[label] >= min_probability]
    new = [f"{prefix}{label}" for label in labels if f"{prefix}{label}".lower() not in lower_tags]
    if not new:
        return []
    return [Value(column="tags", value=[*there, *new], confidence=round(min(likely[label] for label in labels), 4))]
