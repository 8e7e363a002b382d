"""The page in a real browser: by keyboard alone, with a real (tiny) model behind it. Needs Chromium."""

import base64
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uniaudio.run.clips import write_clip
from uniaudio.testing import a_waveform

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("multipart")
soundfile = pytest.importorskip("soundfile")
from tests.pipelines.checkpoint_to_service.double import Double, served  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.xdist_group("page"),
    pytest.mark.timeout(600),
]
PATIENCE_MS = 120_000
MOST_TABS = 80
FOCUSED = """() => { const at = document.activeElement;
  return [at.getAttribute("aria-label"), ...[...(at.labels ?? [])].map(label => label.textContent), at.textContent].filter(Boolean)[0]; }"""
BYTES = """async sound => { const bytes = new Uint8Array(await (await fetch(sound.src)).arrayBuffer());
  return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join("")); }"""
DROP = """([list, files]) => { const held = new DataTransfer();
  for (const [name, bytes] of files) held.items.add(new File([Uint8Array.from(atob(bytes), one => one.charCodeAt(0))], name));
  document.querySelector(list).dispatchEvent(new DragEvent("drop", { dataTransfer: held, bubbles: true, cancelable: true })); }"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "bell.wav"
    write_clip(path, a_waveform(0.8, frequency=440.0))
    return path


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with served() as double:
        yield double


@pytest.fixture(scope="module")
def browser(clip: Path) -> Iterator[Any]:
    """With a microphone that hears the clip again and again."""
    heard = [
        f"--use-file-for-fake-audio-capture={clip}",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
    ]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *heard])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """A function that opens an address in a window of its own; whatever the page complains about fails the test."""
    contexts, complaints = [], []

    def open_page(address: str, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(address)
        page.wait_for_selector("#about:not(:empty), #problem:not([hidden])")
        return page

    yield open_page
    for context in contexts:
        context.close()
    # A refused request is told by the browser, too; the page tells it in words.
    assert not [line for line in complaints if "Failed to load resource" not in line]


def tab_to(page: Any, name: str) -> None:
    """Goes on by Tab until the focus is on what is called `name` at its beginning."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if (page.evaluate(FOCUSED) or "").strip().startswith(name):
            return
    pytest.fail(f"no Tab leads to {name!r}")


def choose_task(page: Any, name: str) -> None:
    """A select takes the option whose letters are typed."""
    page.evaluate("document.activeElement.blur()")
    tab_to(page, "What should be done?")
    page.keyboard.type(name)


def choose_file(page: Any, label: str, path: Path) -> None:
    tab_to(page, f"Choose a file: {label}")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(path)


def press(page: Any, name: str) -> None:
    tab_to(page, name)
    page.keyboard.press("Enter")


def test_by_keyboard_alone_the_sound_of_the_answer_is_what_the_service_sent(
    opened: Any, double: Double, clip: Path
) -> None:
    page = opened(double.url, bypass_csp=True)  # for BYTES alone; all other tests keep the policy
    choose_task(page, "speech denoise")
    choose_file(page, "Your sound", clip)
    page.wait_for_selector("#audio .plot")
    press(page, "Answer")
    page.wait_for_selector("#answer-list .plot")
    sent = double.answers[-1]
    assert page.eval_on_selector("#answer-list audio", BYTES) == sent["audio"]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sent["audio"])))
    assert page.eval_on_selector("#answer-list audio", "sound => sound.duration") == pytest.approx(
        len(samples) / rate, abs=1e-3
    )
    page.locator("#send").focus()
    with page.expect_download() as saved:
        press(page, "Save sound")
    assert base64.b64encode(Path(saved.value.path()).read_bytes()).decode() == sent["audio"]


def test_tokens_are_shown_as_strips_and_as_the_numbers_that_were_sent(opened: Any, double: Double) -> None:
    page = opened(double.url)
    choose_task(page, "tts")
    tab_to(page, "Text")
    page.keyboard.type("good morning")
    press(page, "Answer")
    page.wait_for_selector("#answer-list .plot")
    press(page, "Tokens as numbers")
    tables = page.locator("#answer-list table")
    tables.nth(1).wait_for()
    for number, kind in enumerate(("reasoning", "reconstruction")):
        cells = [int(cell) for cell in tables.nth(number).locator("td").all_inner_texts()]
        assert cells == np.ravel(double.answers[-1]["tokens"][kind]).tolist()
    strips = page.locator("#answer-list canvas.strip")
    assert [strips.nth(number).get_attribute("aria-label").split(" tokens at ")[1] for number in (0, 1)] == [
        "5 Hz, 8 rows",
        "12.5 Hz, 8 rows",
    ]
    colours = "canvas => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"
    assert strips.nth(1).evaluate(colours) > 8
    assert page.locator("#answer-list canvas.spectrum").evaluate(colours) > 8


def test_a_recording_arrives_as_the_microphone_heard_it(opened: Any, double: Double) -> None:
    page = opened(double.url, permissions=["microphone"])
    choose_task(page, "asr")
    press(page, "Record: Your sound")
    page.get_by_text(re.compile(r"^1\.\d s$")).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_selector("#audio .plot")
    press(page, "Answer")
    page.wait_for_selector("#answer-list .text")
    assert page.inner_text("#answer-list .text") == double.answers[-1]["text"]
    heard = double.heard[-1]
    assert 1.0 < len(heard) / 24_000 < 60
    power = np.abs(np.fft.rfft(heard)) ** 2
    assert np.argmax(power) * 24_000 / len(heard) == pytest.approx(440, abs=5)


def test_a_link_gives_the_same_two_answers_again(opened: Any, double: Double, clip: Path) -> None:
    page = opened(double.url)
    choose_task(page, "speech denoise")
    choose_file(page, "Your sound", clip)
    press(page, "Model and settings")
    tab_to(page, "Compare two")
    page.keyboard.press("Space")
    for _ in range(2):
        tab_to(page, "Temperature")
    page.keyboard.type("1.4")
    press(page, "Answer")
    for number in (1, 2):
        page.wait_for_selector(f"#answer-list article:nth-child({number}) .plot")
    first = sorted(double.answers[-2:], key=lambda answer: answer["audio"])
    assert first[0]["tokens"] != first[1]["tokens"]
    assert first[0]["seed"] == first[1]["seed"]
    assert "temperature 1.4" not in page.inner_text("[data-setting=A]")
    assert "temperature 1.4" in page.inner_text("[data-setting=B]")

    again = opened(page.url)
    assert "add it to get the same answer" in again.inner_text("#link-note")
    again.locator("#task").focus()
    again.set_input_files("#audio input", clip)
    again.wait_for_selector("#link-note", state="hidden")
    press(again, "Answer")
    for number in (1, 2):
        again.wait_for_selector(f"#answer-list article:nth-child({number}) .plot")
    assert again.url == page.url
    second = sorted(double.answers[-2:], key=lambda answer: answer["audio"])
    assert [answer["tokens"] for answer in second] == [answer["tokens"] for answer in first]


def test_another_sound_than_the_links_is_told(opened: Any, double: Double, clip: Path) -> None:
    page = opened(f"{double.url}/#task=asr&audio=other.wav~000000000000&A.seed=5")
    page.set_input_files("#audio input", clip)
    page.wait_for_selector("#link-note:has-text('is not the sound')")
    assert page.input_value("#settings input[id^=seed]") == "5"


def test_a_request_can_be_cancelled(opened: Any, double: Double, clip: Path) -> None:
    page = opened(double.url)
    page.set_input_files("#audio input", clip)
    before = double.cancelled
    double.pause()
    try:
        page.locator("#task").focus()
        press(page, "Answer")
        page.wait_for_selector("#progress-part:not([hidden])")
        press(page, "Cancel")
        page.wait_for_selector("#answer-list :text('Cancelled.')")
        for _ in range(100):
            if double.cancelled > before:
                break
            page.wait_for_timeout(50)
        assert double.cancelled == before + 1
    finally:
        double.go_on()
    assert page.evaluate(FOCUSED) == "Answer"
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer-list .text")


def test_dropped_sounds_become_examples(opened: Any, double: Double, clip: Path) -> None:
    page = opened(double.url)
    choose_task(page, "sound classification")
    sound = base64.b64encode(clip.read_bytes()).decode()
    label = base64.b64encode(b"a ship's horn").decode()
    page.evaluate(DROP, ["#examples", [["church_bell.wav", sound], ["horn.wav", sound], ["horn.txt", label]]])
    page.wait_for_selector("#examples li:nth-child(2) .plot")
    page.set_input_files("#audio input", clip)
    page.locator("#examples-part summary").focus()
    press(page, "Answer")
    page.wait_for_selector("#answer-list .answer .actions")
    assert [example[1] for example in double.asked[-1].examples] == ["church bell", "a ship's horn"]
    assert all(len(example[0]) == len(double.heard[-1]) for example in double.asked[-1].examples)


def test_pairs_of_sounds_are_taken_in_order_of_name(opened: Any, double: Double, clip: Path) -> None:
    page = opened(double.url)
    choose_task(page, "voice conversion")
    sound = base64.b64encode(clip.read_bytes()).decode()
    page.evaluate(DROP, ["#examples", [[f"{name}.wav", sound] for name in ("2_to", "10_from", "1_from", "20_to")]])
    page.wait_for_selector("#examples li:nth-child(2) .part:nth-child(2) .plot")
    assert [note.split(".wav")[0] for note in page.locator("#examples .choice").all_inner_texts() if ".wav" in note]
    names = page.locator("#examples .choice > span.soft").all_inner_texts()
    assert names == ["1_from.wav", "2_to.wav", "10_from.wav", "20_to.wav"]


def test_what_is_wrong_is_said_in_a_sentence(opened: Any, double: Double, tmp_path: Path) -> None:
    page = opened(double.url)
    press(page, "Answer")
    assert page.inner_text("#problem") == "This task needs a sound: record, choose or drop one."
    assert page.evaluate(FOCUSED) == "Record: Your sound"
    (tmp_path / "notes.wav").write_bytes(b"no sound at all")
    choose_file(page, "Your sound", tmp_path / "notes.wav")
    page.wait_for_selector("#audio :text('cannot draw')")
    press(page, "Answer")
    page.wait_for_selector("#answer-list .problem")
    assert "notes.wav" in page.inner_text("#answer-list .problem")


def test_a_service_with_a_key_asks_for_it_and_one_that_is_gone_is_missed(opened: Any) -> None:
    with served(key="sesame") as locked:
        page = opened(locked.url)
        assert "wants a key" in page.inner_text("#problem")
        page.keyboard.type("sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector("#about:not(:empty)")
        page.wait_for_selector("#key-part", state="hidden")
        assert "sesame" not in page.url
    choose_task(page, "tts")
    tab_to(page, "Text")
    page.keyboard.type("hello")
    press(page, "Answer")
    page.wait_for_selector("#answer-list .problem")
    assert page.inner_text("#answer-list .problem") == "The service does not answer. Is it still running?"


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(opened: Any, double: Double, clip: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(
        double.url, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )  # axe is put into the page
    page.set_input_files("#audio input", clip)
    page.select_option("#task", "speech_denoise")
    page.locator("#settings-part summary").click()
    page.check("#compare")
    page.click("#send")
    for number in (1, 2):
        page.wait_for_selector(f"#answer-list article:nth-child({number}) .actions")
    violations = axe.run(page).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
