"""What is sent is bounded before it costs anything: bodies before they are parsed, files before and while they are decoded."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from uniaudio_pipelines.checkpoint_to_service import query, uploads
from uniaudio_pipelines.checkpoint_to_service.asked import Asked, TooLargeError, Upload
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_pipelines.checkpoint_to_service.settings import Limits, Service
from uniaudio_pipelines.checkpoint_to_service.sound_formats import encode, wav
from uniaudio_pipelines.checkpoint_to_service.uploads import DecodingTime, read_upload
from uniaudio_schemas.errors import DataError, UsageError

from tests.pipelines.checkpoint_to_service.test_hostile import SPEECH, USER, post, told
from uniaudio.testing import a_waveform

JSON = {"Content-Type": "application/json"}
CHAT = {"model": "tiny", "messages": [USER]}


def speech_with(more: str) -> bytes:
    return f"{json.dumps(SPEECH)[:-1]}, {more}}}".encode()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/audio/speech", speech_with(f'"other": "{"x" * 100_000}"'), 413),
        ("/v1/audio/speech", speech_with(f'"other": [{"[]," * 10_000} 0]'), 400),
        ("/v1/chat/completions", json.dumps(CHAT | {"other": [[]] * 90_000}).encode(), 400),
        ("/v1/chat/completions", json.dumps(CHAT | {"modalities": [0] * 90_000}).encode(), 400),
        ("/v1/chat/completions", json.dumps(CHAT | {"modalities": [0] * 100}).encode(), 400),
    ],
    ids=["long", "many lists", "many lists of a chat", "many errors", "some errors"],
)
def test_a_body_of_json_holds_what_its_route_needs(
    service: Service, replica: Replica, path: str, body: bytes, status: int
) -> None:
    assert len(body) < service.limits.upload_bytes
    response = post(service, replica, path, content=body, headers=JSON)
    assert told(response, status)
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_the_longest_text_in_its_longest_form_is_no_body_too_large(service: Service, replica: Replica) -> None:
    for character in ('"', "\\", "[", "é", "\N{GRINNING FACE}"):
        body = json.dumps({**SPEECH, "input": character * (service.limits.prompt_text + 1)}).encode()
        assert "characters at most" in told(post(service, replica, "/v1/audio/speech", content=body, headers=JSON))


def test_a_wrong_name_of_half_a_character_is_told_as_what_it_is(service: Service, replica: Replica) -> None:
    sound = '{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "\\ud800"}}'
    body = f'{{"model": "tiny", "messages": [{{"role": "user", "content": [{sound}]}}]}}'.encode()
    assert "\\ud800" in told(post(service, replica, "/v1/chat/completions", content=body, headers=JSON))


def test_a_length_of_thousands_of_digits_is_too_large(service: Service, replica: Replica) -> None:
    headers = {**JSON, "Content-Length": "9" * 5_000}
    assert "bytes at most" in told(post(service, replica, "/v1/audio/speech", content=b"{}", headers=headers), 413)


def test_a_chain_of_streams_is_too_large_before_one_is_decoded() -> None:
    one = encode(a_waveform(0.02), "opus")
    for number in (11, 40):
        with pytest.raises(TooLargeError, match="10 streams at most, one behind the other, but holds more"):
            read_upload(one * number, "chain.ogg", most_s=4)
    assert len(read_upload(one * 3, "chain.ogg", most_s=4))


def test_a_file_that_takes_long_to_decode_is_given_up_and_the_next_one_is_read() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000 * 110)
    file = io.BytesIO()
    soundfile.write(file, noise, 24_000, format="FLAC")
    with pytest.raises(TooLargeError, match=r"decoded sooner, but noise\.flac takes long"):
        read_upload(file.getvalue(), "noise.flac", most_s=120, time=DecodingTime(0.001))
    assert len(read_upload(wav(a_waveform(0.8)), "clip.wav", most_s=4)) == 24_000 * 0.8


def test_a_high_rate_that_nobody_uses_is_refused() -> None:
    files = {rate: io.BytesIO() for rate in (191_999, 192_000, 11_127)}
    for rate, file in files.items():
        soundfile.write(file, np.zeros(rate), rate, format="WAV")
    with pytest.raises(DataError, match="must be a multiple of 100, but is 191999"):
        read_upload(files[191_999].getvalue(), "odd.wav", most_s=4)
    for rate in (192_000, 11_127):
        assert len(read_upload(files[rate].getvalue(), "even.wav", most_s=4)) == 24_000


def test_a_decoder_that_was_killed_is_started_again(clip: bytes) -> None:
    before = read_upload(clip, "clip.wav", most_s=4)
    process = uploads._DECODER._process
    assert process is not None
    process.kill()
    process.wait()
    assert read_upload(clip, "clip.wav", most_s=4).tolist() == before.tolist()


def test_a_file_that_is_named_often_is_decoded_once(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def read(data: bytes, name: str, **given: Any) -> np.ndarray:
        names.append(name)
        return read_upload(data, name, **given)

    monkeypatch.setattr(query, "read_upload", read)
    shown = Upload(clip, "shown.wav")
    asked = Asked(task="speech_denoise", audio=Upload(clip, "clip.wav"), examples=((shown, shown),) * 2)
    query.read_asked(asked, Limits(), {})
    assert sorted(names) == ["clip.wav", "shown.wav"]


def test_a_voice_that_cannot_be_read_is_told_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "eve.wav").write_bytes(b"no sound")
    asked = Asked(task="prompt_tts", text="hello", voice_name="eve")
    with pytest.raises(UsageError, match="'eve' is not") as refused:
        query.read_asked(asked, Limits(), {"eve": tmp_path / "eve.wav"})
    assert str(tmp_path) not in str(refused.value)


def test_a_file_that_takes_more_memory_than_a_decoder_has_is_told_so_and_the_next_one_is_read() -> None:
    long, short = io.BytesIO(), wav(a_waveform(0.8))
    soundfile.write(long, np.zeros((48_000 * 100, 2)), 48_000, format="WAV")
    asked = b"".join(
        json.dumps({"name": name, "most_s": 120.0, "cpu_s": 30.0, "num_bytes": len(data)}).encode() + b"\n" + data
        for name, data in (("long.wav", long.getvalue()), ("short.wav", short))
    )
    # The file itself is held too, and numbers of four bytes twice.
    bounded = (
        "from uniaudio_pipelines.checkpoint_to_service import decoder; decoder.MOST_BYTES = 1 << 26; decoder.main()"
    )
    answers = subprocess.run([sys.executable, "-c", bounded], input=asked, capture_output=True, check=True).stdout
    first, _, rest = answers.partition(b"\n")
    assert json.loads(first)["error"] == "TooLargeError"
    assert "long.wav takes more than 64 MiB of memory to decode" in json.loads(first)["sentence"]
    assert json.loads(rest.partition(b"\n")[0])["num_samples"] == 24_000 * 0.8
