"""Takes `docs/page.png`: the page of `uniaudio serve` as Chromium shows it, with a tiny untrained model behind it.

python -m docs.page_picture
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.pipelines.checkpoint_to_service.double import served
from uniaudio.run.clips import write_clip
from uniaudio.testing import a_waveform

FILE = Path(__file__).with_name("page.png")
WIDTH, HEIGHT = 1200, 860


def main() -> None:
    clip = Path(tempfile.mkdtemp()) / "bell.wav"
    write_clip(clip, a_waveform(2.0, frequency=330.0))
    with served() as service, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(120_000)
        page.goto(service.url)
        page.wait_for_selector("#about:not(:empty)")
        page.select_option("#task", "speech_denoise")
        page.set_input_files("#audio input[type=file]", clip)
        page.wait_for_selector("#audio .plot")
        page.click("#send")
        page.wait_for_selector("#answer-list .plot")
        page.screenshot(path=FILE, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
