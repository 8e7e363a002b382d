"""Mutants of what scores: each is a change to one line that would give a wrong number and no error, and a test that must fail with it."""

import importlib
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.pipelines.checkpoint_to_scores import test_scores, test_sets
from tests.uniaudio.metrics import test_references, test_statistics, test_text_metrics

pytest.importorskip("soundfile")
SCORES = "uniaudio_pipelines.checkpoint_to_scores"
METRICS = "uniaudio.metrics"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    module: str
    line: str
    """Of its source."""
    mutated: str
    test: Callable[..., Any]
    names: tuple[str, ...]
    """Of the mutated module, which the test then finds in its own."""
    needs_store: bool = False


MUTANTS = {
    "recognition scored against the recognizer's own transcript": Mutant(
        module=f"{SCORES}.samples",
        line="given = [clips[clip].given_text for",
        mutated="given = [clips[clip].given_text or clips[clip].transcript for",
        test=test_scores.test_what_a_recognizer_heard_is_never_a_reference,
        names=("reference_of",),
        needs_store=True,
    ),
    "held-out copies of training clips scored": Mutant(
        module=f"{SCORES}.evaluation",
        line="if clip.duplicate_cluster in self._trained_cluster_names}",
        mutated="if not clip.duplicate_cluster}",
        test=test_scores.test_copies_are_found_among_held_out_clips,
        names=("Evaluation",),
        needs_store=True,
    ),
    "an example of the query's own recording": Mutant(
        module=f"{SCORES}.sets",
        line="and not same_speaker and example.recording != query.recording",
        mutated="and not same_speaker",
        test=test_sets.test_an_example_is_of_another_speaker_and_recording,
        names=("may_show",),
    ),
    "an example of the query's own speaker": Mutant(
        module=f"{SCORES}.sets",
        line="and not same_speaker and example.recording",
        mutated="and example.recording",
        test=test_sets.test_an_example_is_of_another_speaker_and_recording,
        names=("may_show",),
    ),
    "a classical system asked of what it was fitted on": Mutant(
        module=f"{SCORES}.classical",
        line="asked, known = folds_N == fold, folds_N != fold",
        mutated="asked, known = folds_N == fold, folds_N >= 0",
        test=test_sets.test_logistic_regression_hears_a_pitch_and_is_never_asked_what_it_knows,
        names=("logistic_regression",),
    ),
    "a unigram that is worse than chance as the baseline": Mutant(
        module=f"{SCORES}.likelihood",
        line="return min(unigram, uniform)",
        mutated="return max(unigram, uniform)",
        test=test_scores.test_a_unigram_that_is_worse_than_knowing_nothing_is_no_baseline,
        names=("better_of_chance",),
    ),
    "errors over the words of the answer": Mutant(
        module=f"{METRICS}.wer",
        line="return edit_distance(words, words_of_text(hypothesis, language)), len(words)",
        mutated="return edit_distance(words, words_of_text(hypothesis, language)), len(hypothesis.split()) or 1",
        test=test_text_metrics.test_error_rates_are_jiwers,
        names=("word_errors",),
    ),
    "the overlap over the answer's words alone": Mutant(
        module=f"{METRICS}.caption",
        line="return 2 * common / (num_ours + num_theirs)",
        mutated="return common / max(num_ours, 1)",
        test=test_text_metrics.test_rouge_l_is_the_longest_common_subsequences,
        names=("rouge_l",),
    ),
    "a likely guess for an answer that is none of the choices": Mutant(
        module=f"{METRICS}.accuracy",
        line="return matches.pop() if len(matches) == 1 else None",
        mutated="return matches.pop() if len(matches) == 1 else choices[0]",
        test=test_text_metrics.test_an_answer_that_is_no_choice_is_unparsed_and_never_guessed,
        names=("is_right", "is_unparsed"),
    ),
    "a full point where several choices are equally likely": Mutant(
        module=f"{METRICS}.accuracy",
        line="return (reference in best) / len(best)",
        mutated="return float(reference in best)",
        test=test_text_metrics.test_choices_that_are_equally_likely_share_the_point,
        names=("is_likeliest",),
    ),
    "a ratio that a gain changes": Mutant(
        module=f"{METRICS}.si_sdr",
        line="projected = (float(output @ target) / power) * target",
        mutated="projected = target",
        test=test_references.test_si_sdr_is_what_least_squares_leave,
        names=("si_sdr",),
    ),
    "a perplexity of the mean of clips": Mutant(
        module=f"{METRICS}.perplexity",
        line="mean = sum(loss for loss, _ in pairs) / num_tokens",
        mutated="mean = sum(loss / count for loss, count in pairs) / len(pairs)",
        test=test_references.test_a_perplexity_is_torchs_cross_entropy,
        names=("perplexity",),
    ),
    "a Frechet distance without the means": Mutant(
        module=f"{METRICS}.frechet",
        line="float(between @ between + np.trace",
        mutated="float(np.trace",
        test=test_statistics.test_the_frechet_distance_of_gaussians_is_the_formulas,
        names=("frechet_distance",),
    ),
    "clips of one recording drawn as if they were independent": Mutant(
        module=f"{METRICS}.bootstrap",
        line="numerators, denominators = (_sums(part, groups) for part in (numerators, denominators))",
        mutated="pass",
        test=test_statistics.test_samples_of_one_group_are_drawn_together,
        names=("bootstrap_interval",),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_dies(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    given = {"built": request.getfixturevalue("built")} if mutant.needs_store else {}
    mutant.test(**given)
    changed = mutated(mutant)
    for name in mutant.names:
        monkeypatch.setitem(globals_of(mutant.test), name, getattr(changed, name))
    with pytest.raises(AssertionError):
        mutant.test(**given)


def mutated(mutant: Mutant) -> types.ModuleType:
    """Another module of the same source with one line changed."""
    module = importlib.import_module(mutant.module)
    source = inspect.getsource(module)
    assert source.count(mutant.line) == 1, f"{mutant.module} must hold the line once: {mutant.line}"
    changed = types.ModuleType(module.__name__)
    changed.__file__, changed.__package__ = module.__file__, module.__package__
    # Dataclasses look their module up by its name, which is the real one.
    exec(compile(source.replace(mutant.line, mutant.mutated), str(module.__file__), "exec"), changed.__dict__)  # noqa: S102
    return changed


def globals_of(test: Callable[..., Any]) -> dict[str, Any]:
    """Of the module of a test; what hypothesis makes of one has it inside."""
    inner = getattr(getattr(test, "hypothesis", None), "inner_test", test)
    found: dict[str, Any] = inner.__globals__
    return found
