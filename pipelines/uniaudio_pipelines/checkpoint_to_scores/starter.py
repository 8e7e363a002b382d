"""Benchmark `starter`: what the model that comes with the project answers to held-out examples, beside the checkpoint's own answers to the same.

A few seconds of training give a model that says nothing; a model that comes with the project was trained for longer on the same road. Its rows are
of the benchmarks `starter_asr`, `starter_tts` and `starter_audio_caption`, with the metrics that the tasks declare. Dropped where none comes with it.
"""

from collections.abc import Sequence

import numpy as np

from uniaudio.audio.frames import RECONSTRUCTION_HOP, SAMPLE_RATE
from uniaudio.audio.loudness import limit_peak
from uniaudio.run.model import Options, UniAudio
from uniaudio.run.request import Request
from uniaudio.shipped import shipped_model
from uniaudio.tasks import TASKS, Task
from uniaudio_pipelines.checkpoint_to_scores.evaluation import Evaluation
from uniaudio_pipelines.checkpoint_to_scores.judging import judge
from uniaudio_pipelines.checkpoint_to_scores.outcome import Outcome
from uniaudio_pipelines.checkpoint_to_scores.samples import Sample, sample_blocks
from uniaudio_pipelines.checkpoint_to_scores.tools import Models, Tools

SHOWN = ("asr", "tts", "audio_caption")
_NUM_ANSWERS = 4
"""Most answers a task: they are shown, not compared."""


def starter_scores(evaluation: Evaluation, outcome: Outcome, models: Models) -> None:
    """Nothing where no model is there or where it is the one that is scored."""
    folder = shipped_model()
    if folder is None:
        outcome.drop(outcome.benchmark, "not_installed", "no trained model comes with this installation")
        return
    starter = UniAudio.from_pretrained(folder)
    if starter.parts.codec_fingerprint == evaluation.codec.fingerprint:
        outcome.drop(outcome.benchmark, "same_codec", "the checkpoint is of the codec that comes with the project")
        return
    job = evaluation.job
    options = Options(max_seconds=job.max_frames * RECONSTRUCTION_HOP / SAMPLE_RATE, max_text=job.max_text)
    for name in SHOWN:
        part = outcome.part(f"{outcome.benchmark}_{name}")
        task, count = TASKS[name], min(_NUM_ANSWERS, job.num_samples(name))
        samples = [sample for block in sample_blocks(evaluation, part, task, count) for sample in block]
        if not samples:
            part.drop(name, "no_samples", f"no held-out example of {name} that can be judged")
        else:
            _answer(starter, samples, task, options)
            # Its answer has frames of another codec than the sample's.
            metrics = [metric for metric in task.metrics if metric != "length_error"]
            judge(part, samples, metrics, Tools(evaluation, models, task), title=f"{name} by the starter model")
        outcome.take(part)


def _answer(model: UniAudio, samples: Sequence[Sample], task: Task, options: Options) -> None:
    results = model.run_all(task.name, [_request(sample, task) for sample in samples], options)
    for sample, result in zip(samples, results, strict=True):
        sample.answer, sample.finished = result.text, result.finished
        sample.made = [limit_peak(np.nan_to_num(clip)) for clip in result.clips]


def _request(sample: Sample, task: Task) -> Request:
    if any(slot.loss and not slot.is_text for slot in task.order):
        return Request(text=sample.reference)
    return Request(audio=sample.audio(sample.clip_ids[0]))
