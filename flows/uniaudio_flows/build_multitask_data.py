"""`build-multitask-data`: the annotated clips become training examples of every task."""

from uniaudio_pipelines.annotated_to_instructions.job import AnnotatedToInstructions

from uniaudio_flows import annotate_corpus
from uniaudio_flows.flow import flow
from uniaudio_flows.settings import Settings
from uniaudio_flows.steps import Fields, Step, build


def job(settings: Settings, fields: Fields) -> AnnotatedToInstructions:
    return build(AnnotatedToInstructions, settings, fields)


STEP = Step(flow="build-multitask-data", job_class=AnnotatedToInstructions, job=job, after=(annotate_corpus.STEP,))
build_multitask_data = flow(STEP, "Build the training examples of every task from the annotated clips.")
