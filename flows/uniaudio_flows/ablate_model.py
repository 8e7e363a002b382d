"""`ablate-model`: train the paper's ablations at a size, score them as the whole model is scored, and compare each with it.

prefect deployment run ablate-model/local --param size=debug --param variants='["without_experts"]' --watch

    without_stage4     (Table 22) the stages but stage 4
    without_experts    (Table 8) audio goes straight into the backbone and out of it
    without_reasoning  (Table 8) sequences without reasoning tokens

Everything else is as in the whole model: the same fields, seed and clips, and the same samples at the same shots. Versions are behind refs called like
the variant; what is there is not made again. Each comparison is `uniaudio compare latest VARIANT`, in the log and as an artifact.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from uniaudio_schemas.store import Store

from uniaudio_flows import build_sequences, evaluate_checkpoint, train_stage
from uniaudio_flows.comparison import compare
from uniaudio_flows.comparison_forms import markdown
from uniaudio_flows.flow import Planned, chosen, make_all, plan, settings_of, told
from uniaudio_flows.parameters import parameters_of
from uniaudio_flows.steps import Extra

Change = Callable[[Any], dict[str, Any]]
SEQUENCES, TRAIN = build_sequences.STEP.flow, train_stage.STEP.flow
VARIANTS: dict[str, Mapping[str, Change]] = {
    "without_stage4": {TRAIN: lambda job: {"stages": tuple(name for name in job.stages if name != "stage4")}},
    "without_experts": {TRAIN: lambda job: {"experts": False}},
    "without_reasoning": {
        SEQUENCES: lambda job: {"reasoning": False, "ref": "without_reasoning"},
        TRAIN: lambda job: {"sequences": "without_reasoning"},
    },
}
"""Name -> flow of a step -> fields of its job that differ from the whole model's."""
ALONE = replace(
    evaluate_checkpoint.STEP,
    flow="ablate-model",
    extra={
        "variants": Extra(
            type=list[Literal[tuple(VARIANTS)]],  # type: ignore[misc]
            default=list(VARIANTS),
            help="Which are trained, scored and compared with the whole model.",
        )
    },
)


def variant_of(name: str, whole: list[Planned[Any]]) -> list[Planned[Any]]:
    """The steps of a variant: those of the whole model from the first that differs on, behind refs of their own."""
    changes = VARIANTS[name]
    jobs = []
    for step, job, num_workers in whole:
        fields = changes[step.flow](job) if step.flow in changes else {}
        if step.flow == TRAIN:
            fields |= {"stage_prefix": f"{name}-", "ref": name}
        elif step.kind == "scores":
            fields |= {"checkpoint": name, "ref": name}
        if fields:
            jobs.append(Planned(step, replace(job, **fields), num_workers))
    return jobs


def _run(**parameters: Any) -> str:
    """The content id of the last scores."""
    settings = settings_of(ALONE, parameters)
    fields = dict(chosen(ALONE, parameters, own=True))
    variants = fields.pop("variants")
    before = [plan(each, settings, chosen(each, parameters, own=False)) for each in ALONE.ancestors()]
    whole = [*before, plan(ALONE, settings, fields)]
    # All jobs before any work: what is wrong with a variant is said now.
    ablated = {name: variant_of(name, whole) for name in variants}
    checkpoint = make_all("ablate-model", settings, whole)
    for name, planned in ablated.items():
        checkpoint = make_all(f"ablate-model-{name.replace('_', '-')}", settings, planned)
        _tell(Store.from_uri(settings.store), whole[-1].job.ref, name)
    return checkpoint


def _tell(store: Store, whole: str, name: str) -> None:
    report = markdown(compare(store, whole, name))
    get_run_logger().info("%s against the whole model:\n%s", name, report)
    create_markdown_artifact(report, key=f"ablation-{name.replace('_', '-')}", description=f"{name} against {whole}")


ablate_model = told(
    _run,
    "ablate-model",
    "Train the paper's ablations at a size, score them and compare each with the whole model.",
    parameters_of(ALONE),
    called="ablations",
)
