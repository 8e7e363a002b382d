"""What pages say in figures and lists is what the code holds."""

import re
import tomllib

from uniaudio_flows.everything import STEPS
from uniaudio_pipelines.checkpoint_to_service.settings import Limits
from uniaudio_pipelines.evalsets import cards, read_card
from uniaudio_pipelines.raw_to_annotated.annotators import table as annotators
from uniaudio_pipelines.source_to_raw.formats import table as formats

from tests.docs.pages import ROOT
from tests.docs.test_commands import deployments
from uniaudio.lm.config import PRESETS
from uniaudio.stages.codec_phases import PHASES
from uniaudio.stages.table import ALL_STAGES

NUMBERS = {"five": 5, "nine": 9, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15}


def read(name: str) -> str:
    """The text of a page, its lines joined."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def cells(name: str, heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading, without its head."""
    behind = (ROOT / name).read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    lines = [line for line in behind.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_readme_lists_the_flows_and_what_they_make() -> None:
    rows = cells("README.md", "The flow")
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row[0])}
    assert named == {name.partition("/")[0] for name in deployments()}
    made = {name: row[1].strip("`") for row in rows for name in re.findall(r"`([\w-]+)`", row[0])}
    assert {step.flow: step.kind for step in STEPS}.items() <= made.items()


def test_the_readme_names_the_versions_of_python() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11,<3.14"
    assert "Python 3.11 to 3.13" in read("README.md") and "Python 3.11 to 3.13" in read("docs/quickstart.md")


def test_pages_count_formats_annotators_and_sets_as_the_code_does() -> None:
    corpus, evaluation = read("docs/corpus.md").lower(), read("docs/evaluation.md").lower()
    (readers,) = re.findall(r"(\w+) readers know", corpus)
    assert NUMBERS[readers] == len(formats.FORMATS)
    ((always, by_name),) = re.findall(r"(\w+) annotators are always asked, (\w+) more by name", corpus)
    assert NUMBERS[always] == len(annotators.DEFAULT)
    assert NUMBERS[by_name] == len(annotators.ANNOTATORS) - len(annotators.DEFAULT)
    ((built, brought),) = re.findall(r"(\w+) are built from packages of debian and python, (\w+) more", evaluation)
    with_packages = [card for card in cards().values() if card.packages]
    assert (NUMBERS[built], NUMBERS[brought]) == (len(with_packages), len(cards()) - len(with_packages))


def test_the_card_that_the_page_on_evaluation_shows_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/evaluation.md").read_text(), re.DOTALL)
    assert read_card("mine", text).scored_metrics == ("accuracy", "unparsed")


def test_the_page_on_training_lists_sizes_stages_and_phases() -> None:
    assert [row[0].strip("`") for row in cells("docs/training.md", "Sizes")] == list(PRESETS)
    assert [row[0].strip("`") for row in cells("docs/training.md", "The codec")] == list(PHASES)
    assert [row[0].strip("`") for row in cells("docs/training.md", "The stages")] == list(ALL_STAGES)


def test_the_page_on_serving_lists_the_limits_with_their_defaults() -> None:
    page = read("docs/serving.md")
    assert {name for name in re.findall(r"`limits\.(\w+)`", page)} == set(Limits.__slots__)
    limits = Limits()
    said = (
        f"{limits.upload_bytes // 1_000_000} MB a request",
        f"{limits.held_bytes // 1_000_000} MB in all requests being answered",
        f"{limits.input_s:.0f} s of audio given",
        f"{limits.answer_s:.0f} s of audio asked for",
        f"{limits.answer_text:,} text ids, {limits.prompt_text:,} characters",
        f"{limits.waiting} requests that wait",
        f"{limits.request_s:.0f} s |",
    )
    assert [words for words in said if words not in page] == []


def test_the_page_on_the_papers_tables_has_each_of_them() -> None:
    headings = re.findall(r"^## Tables? ([^:\n]+):", (ROOT / "docs/paper-tables.md").read_text(), re.MULTILINE)
    numbers = {int(number) for heading in headings for number in re.findall(r"\d+", heading)}
    assert numbers == {2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 19, 22, 25}
