"""What a flow may be told, from the dataclass of its job: type, default, choices and help of every field, as Prefect shows them.

field      min_s: float = 0.1, with the docstring "Shorter audio is dropped as `too_short`."
parameter  {"title": "min_s", "type": "number", "default": 0.1, "description": "Shorter audio is dropped as `too_short`."}

The fields of the flow's own job are parameters; those of a step before it are fields of one parameter with that flow's name.
"""

import ast
import dataclasses
import inspect
import textwrap
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, create_model
from pydantic.fields import FieldInfo
from uniaudio_pipelines.annotated_to_instructions.job import POLICIES
from uniaudio_pipelines.checkpoint_to_scores.job import BENCHMARKS
from uniaudio_pipelines.codec_to_scores.job import PARTS, QUESTIONS, VIEWS
from uniaudio_pipelines.instructions_to_tokens.job import DTYPES
from uniaudio_pipelines.raw_to_annotated.annotators.table import ANNOTATORS
from uniaudio_pipelines.source_to_raw.cards import CHANNELS

from uniaudio.codec.config.presets import PRESETS as CODECS
from uniaudio.codec.evaluation.programs import CODERS
from uniaudio.lm.config import PRESETS as MODELS
from uniaudio.stages.codec_phases import PHASES
from uniaudio.stages.table import ALL_STAGES
from uniaudio_flows.settings import DEFAULT, RUN_SETTINGS
from uniaudio_flows.steps import Step

CHOICES: dict[str, tuple[str, ...]] = {
    "annotators": tuple(ANNOTATORS),
    "channels": CHANNELS,
    "phases": tuple(PHASES),
    "stages": tuple(ALL_STAGES),
    "benchmarks": BENCHMARKS,
    "coders": tuple(CODERS),
    "lm_size": tuple(MODELS),
    "parts": PARTS,
    "questions": QUESTIONS,
    "views": VIEWS,
    "device": ("cpu", "cuda"),
    "dtype": DTYPES,
    **POLICIES,
}
"""Field of a job -> its values, where they are named."""
SIZES = {"checkpoint": tuple(MODELS), "codec": tuple({**CODECS, **MODELS})}
"""Kind -> presets of a run that makes it: a codec that is taken as it is goes with any size of model."""
HELP = {
    "seed": "Seed of everything that is drawn at random.",
    "ref": "Pointer to the finished version.",
    "num_gpus": "GPUs that one worker reserves.",
}
"""Help for fields that mean the same in every job."""
BY_DEFAULT = {
    **{name: "By default the run's." for name in RUN_SETTINGS if name != "start"},
    "num_gpus": "By default 1 on cuda and none on cpu.",
}
"""Fields of any job that the settings decide where a run does not."""
PARENTS = "Bring what it reads up to date first; without, refuse where that is not up to date."


def parameters_of(step: Step[Any], *, own: bool = True) -> dict[str, FieldInfo]:
    """Name -> what the flow of `step` may be told. Not `own`: the step's fields are in one parameter, like those of the steps before it."""
    steps = [*step.ancestors(), step]
    parameters = {name: _run_setting(name, steps) for name in run_settings(steps)}
    if own:
        parameters |= {name: info for name, info in _fields(step).items() if name not in parameters}
        if step.after:
            parameters["parents"] = _info(bool, True, PARENTS)
    for each in steps[:-1] if own else steps:
        # Folders are one for the whole run; a device or a size may differ from step to step.
        fields = {name: info for name, info in _fields(each).items() if name not in ("source", "models")}
        model = create_model(each.name, __config__=ConfigDict(extra="forbid"), **_defined(fields))
        parameters[each.name] = _info(model, model(), f"What `{each.flow}` is told.")
    return parameters


def signature(parameters: dict[str, FieldInfo]) -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter(name, keyword, default=info.default, annotation=info.annotation)
            for name, info in parameters.items()
        ]
    )


def docstring(about: str, parameters: dict[str, FieldInfo]) -> str:
    """Docstring of a flow in the form from which Prefect takes the help of each parameter."""
    return "\n    ".join([f"{about}\n\nArgs:", *(f"{name}: {info.description}" for name, info in parameters.items())])


def run_settings(steps: list[Step[Any]]) -> list[str]:
    """Which of `RUN_SETTINGS` decide something for the jobs of `steps`."""
    setting_names = {"store", *(name for step in steps for name in step.fields)} - {"start"}
    if any(step.kind == "sequences" for step in steps):
        setting_names.add("start")
    return [name for name in RUN_SETTINGS if name in setting_names]


def _run_setting(name: str, steps: list[Step[Any]]) -> FieldInfo:
    kinds = {step.kind for step in steps}
    sizes = next((names for kind, names in SIZES.items() if kind in kinds), ())
    return _left_to_settings(_named(str, sizes if name == "size" else CHOICES.get(name, ())), RUN_SETTINGS[name])


def _fields(step: Step[Any]) -> dict[str, FieldInfo]:
    """Fields of the step's job, and the step's extra parameters."""
    parameters = {}
    for name, info in _fields_of(step.job_class).items():
        if name in step.internal:
            continue
        by = step.optional.get(name) or BY_DEFAULT.get(name)
        if by:
            info = _left_to_settings(info.annotation, f"{info.description} {by}")
        parameters[name] = info
    return parameters | {name: _info(extra.type, extra.default, extra.help) for name, extra in step.extras.items()}


def _fields_of(cls: type[Any]) -> dict[str, FieldInfo]:
    """Fields of a dataclass; a dataclass inside it becomes a model."""
    helps, hints = _docstrings(cls), get_type_hints(cls)  # type: ignore[arg-type]  # a class has a hash
    sizes = SIZES.get(getattr(cls, "WRITES", ""), ())
    infos = {}
    for field in dataclasses.fields(cls):
        hint, default = hints[field.name], field.default
        if default is dataclasses.MISSING:
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else ...
        if dataclasses.is_dataclass(hint):
            hint = create_model(
                cast(type, hint).__name__,
                __config__=ConfigDict(extra="forbid"),
                **_defined(_fields_of(cast(type, hint))),
            )
            default = hint()
        elif get_origin(hint) is tuple:
            hint, default = list[_named(get_args(hint)[0], CHOICES.get(field.name, ()))], list(cast(Any, default))  # type: ignore[misc]
        else:
            hint = _named(hint, sizes if field.name == "size" else CHOICES.get(field.name, ()))
        infos[field.name] = _info(hint, default, helps.get(field.name, ""))
    return infos


@cache
def _docstrings(cls: type[Any]) -> dict[str, str]:
    """Field -> the string behind it in the source, on one line. Read when the flow is declared and not again in its runs: Python 3.11
    parses in one thread at a time, and says `AST constructor recursion depth mismatch` where two do."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    body = cast(ast.ClassDef, tree).body
    docstrings = dict(HELP)
    for field, after in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docstrings[cast(ast.Name, field.target).id] = " ".join(str(after.value.value).split())
    for name in (field.name for field in dataclasses.fields(cls)):
        if name.endswith("_ref"):
            docstrings.setdefault(name, f"Ref of the version of `{name.removesuffix('_ref')}` that is read.")
    return docstrings


def _left_to_settings(type_: Any, help_: str) -> FieldInfo:
    """Information on a field whose value is not known before the run: Prefect's page shows an empty line or the choice `default`, and no `None`."""
    if get_origin(type_) is Literal:
        return _info(_named(str, (DEFAULT, *get_args(type_))), DEFAULT, help_)
    return _info(str, "", help_) if type_ is str else _info(type_ | None, None, help_)


def _named(type_: Any, choices: tuple[str, ...]) -> Any:
    return cast(Any, Literal)[choices] if choices else type_


def _info(type_: Any, default: Any, help_: str) -> FieldInfo:
    info = FieldInfo(default=default, description=help_)
    info.annotation = type_
    return info


def _defined(fields: dict[str, FieldInfo]) -> dict[str, Any]:
    return {
        name: (info.annotation, Field(info.default, title=name, description=info.description))
        for name, info in fields.items()
    }
