"""What the service answers, through OpenAI's own client and through plain requests: the same as the model itself."""

import asyncio
import base64
import io
import json
from typing import Any

import numpy as np
import openai
import pytest
from uniaudio_pipelines.checkpoint_to_service.asked import Asked, Reply, Upload
from uniaudio_pipelines.checkpoint_to_service.replica import Replica
from uniaudio_pipelines.checkpoint_to_service.settings import Service
from uniaudio_pipelines.checkpoint_to_service.sound_formats import pcm
from uniaudio_pipelines.checkpoint_to_service.uploads import read_upload

from tests.pipelines.checkpoint_to_service.conftest import samples_of
from tests.pipelines.checkpoint_to_service.local import client_of, openai_of
from uniaudio.lm.sampling import Sampling
from uniaudio.run.model import Options, UniAudio

WARM = {"temperature": 0.9, "top_k": 50}


@pytest.fixture(scope="module")
def model(service: Service) -> UniAudio:
    return UniAudio.from_pretrained(service.model)


def ask(service: Service, replica: Replica, task: str, **form: Any) -> Any:
    """Status and JSON of one request to a task."""
    files = {name: form.pop(name) for name in ("audio", "voice") if name in form}
    files = [(name, (f"{name}.wav", data)) for name, data in files.items()]
    files += [("example_audio", (f"{n}.wav", data)) for n, data in enumerate(form.pop("shown", []))]

    async def post() -> Any:
        async with client_of(service, replica) as client:
            data = {name: str(value) for name, value in form.items()}
            response = await client.post(f"/v1/tasks/{task}", data=data, files=files or {"none": b""})
            return response.status_code, response.json()

    return asyncio.run(post())


def test_a_task_answers_as_the_model_itself(service: Service, replica: Replica, model: UniAudio, clip: bytes) -> None:
    status, told = ask(service, replica, "tts", text="hello", seed=5, max_seconds=0.4)
    assert status == 200, told
    result = model.run("tts", text="hello", options=Options(sampling=Sampling(**WARM, seed=5), max_seconds=0.4))
    assert told["tokens"]["reconstruction"] == result.generated.reconstruction_codes.tolist()
    assert told["tokens"]["reasoning"] == result.generated.reasoning_codes.tolist()
    assert samples_of(base64.b64decode(told["audio"])).tobytes() == pcm(result.audio)
    assert (told["seed"], told["model"], told["text"]) == (5, "tiny", "")
    status, told = ask(service, replica, "transcribe", audio=clip, max_text=12)
    heard = read_upload(clip, "clip.wav", most_s=4)
    assert told["text"] == model.run("asr", heard, options=Options(max_text=12)).text != ""
    assert told["audio"] is None


def test_examples_are_shown_before_the_question(
    service: Service, replica: Replica, model: UniAudio, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard_by_replica: list[Asked] = []
    answer = replica.ask

    async def ask_recorded(asked: Asked) -> Reply:
        heard_by_replica.append(asked)
        return await answer(asked)

    monkeypatch.setattr(replica, "ask", ask_recorded)
    heard = read_upload(clip, "clip.wav", most_s=4)
    example = json.dumps([[{"file": 0}, {"text": "dog"}]])
    asked = {"audio": clip, "max_text": 24, "temperature": 1.0, "seed": 2, "shown": [clip], "examples": example}
    options = Options(max_text=24, sampling=Sampling(temperature=1.0, seed=2))
    status, told = ask(service, replica, "audio_caption", **asked)
    assert status == 200, told
    shown = model.run("audio_caption", heard, examples=((heard, "dog"),), options=options)
    assert told["text"] == shown.text
    # An untrained model answers alike whatever it is shown, so what reaches it is looked at.
    assert heard_by_replica[0].examples == ((Upload(clip, "0.wav"), "dog"),)
    for broken in ("[[1]]", "{", json.dumps([[{"file": 3}, {"text": "dog"}]]), json.dumps([[{"file": -1}]])):
        status, told = ask(service, replica, "audio_caption", **{**asked, "examples": broken})
        assert status == 400 and "`examples` must be JSON" in told["error"]["message"]


def test_every_task_is_told_with_its_inputs_and_what_it_writes(service: Service, replica: Replica) -> None:
    async def get() -> list[Any]:
        async with client_of(service, replica) as client:
            return [(await client.get(f"/v1/{name}")).json() for name in ("tasks", "info", "models")]

    tasks, info, models = asyncio.run(get())
    forms = {form["name"]: form for form in tasks["data"]}
    assert (forms["asr"]["inputs"], forms["asr"]["output"]) == (["audio"], "text")
    assert forms["prompt_tts"]["inputs"] == ["text", "voice"]
    assert forms["instruct_tts"]["inputs"] == ["text", "style"]
    assert forms["asr"]["examples"]["parts"] == ["audio", "text"]
    assert {form["output"] for form in forms.values()} <= {"text", "audio", "text, audio"}
    assert info["codec"]["frame_rates"] == {"reasoning": 5.0, "reconstruction": 12.5}
    assert info["sample_rate"] == 24_000 and info["limits"]["input_s"] == 4.0
    assert [one["id"] for one in models["data"]] == ["tiny"]


def test_openai_transcribes_and_streams_what_it_transcribes(service: Service, replica: Replica, clip: bytes) -> None:
    async def run() -> None:
        async with openai_of(service, replica) as client:
            made = await client.audio.transcriptions.create(model="tiny", file=("clip.wav", clip))
            text = await client.audio.transcriptions.create(
                model="tiny", file=("clip.wav", clip), response_format="text"
            )
            events = await client.audio.transcriptions.create(model="tiny", file=("clip.wav", clip), stream=True)
            told = [event async for event in events]
            assert made.text and text.strip() == made.text
            assert "".join(event.delta for event in told[:-1]).strip() == told[-1].text == made.text
            with pytest.raises(openai.NotFoundError, match="`model` must be tiny, but is 'whisper-1'"):
                await client.audio.transcriptions.create(model="whisper-1", file=("clip.wav", clip))
            with pytest.raises(openai.BadRequestError, match=r"clip\.wav"):
                await client.audio.transcriptions.create(model="tiny", file=("clip.wav", b"no audio"))

    asyncio.run(run())


def test_openai_speaks_at_once_and_whole_in_every_format(service: Service, replica: Replica) -> None:
    import soundfile

    more = {"seed": 3, "max_seconds": 0.4}

    async def speech(client: openai.AsyncOpenAI, form: Any, voice: str = "default", **given: Any) -> bytes:
        asked = {"model": "tiny", "input": "hello", "voice": voice, "response_format": form, "extra_body": more}
        async with client.audio.speech.with_streaming_response.create(**asked, **given) as response:
            return b"".join([piece async for piece in response.iter_bytes()])

    async def run() -> None:
        async with openai_of(service, replica) as client:
            raw = await speech(client, "pcm")
            waved = await speech(client, "wav")
            assert waved.startswith(b"RIFF") and waved.endswith(raw) and len(raw) == 2 * 1920 * 5
            whole, _ = soundfile.read(io.BytesIO(await speech(client, "flac")), dtype="int16")
            assert whole.shape == (1920 * 5,)
            for form, magic in (("mp3", (b"ID3", b"\xff")), ("opus", (b"OggS",)), ("aac", (b"\xff\xf1",))):
                assert (await speech(client, form)).startswith(magic)
            assert await speech(client, "pcm", voice="anna") != raw
            assert await speech(client, "pcm", instructions="slowly") != raw
            with pytest.raises(openai.BadRequestError, match="`voice` must be one of default, anna, but is 'alloy'"):
                await speech(client, "pcm", voice="alloy")
            with pytest.raises(openai.BadRequestError, match="`speed` must be 1"):
                await speech(client, "pcm", speed=2.0)

    asyncio.run(run())


def test_openai_chats_about_sound_and_is_answered_in_sound(service: Service, replica: Replica, clip: bytes) -> None:
    heard = {"type": "input_audio", "input_audio": {"data": base64.b64encode(clip).decode(), "format": "wav"}}

    async def run() -> None:
        async with openai_of(service, replica) as client:
            messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "What is said?"}, heard]}]
            asked = {"model": "tiny", "max_tokens": 8, "seed": 1}
            first = await client.chat.completions.create(messages=messages, **asked)
            text = first.choices[0].message.content
            assert text and first.usage is not None and first.usage.completion_tokens <= 8
            chunks = [
                chunk async for chunk in await client.chat.completions.create(messages=messages, stream=True, **asked)
            ]
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip() == text
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And now?"}]
            second = await client.chat.completions.create(
                messages=messages,
                modalities=["text", "audio"],
                audio={"voice": "default", "format": "wav"},
                temperature=1.0,
                **asked,
            )
            sound = second.choices[0].message.audio
            assert sound is not None and sound.transcript
            assert len(samples_of(base64.b64decode(sound.data))) % 1920 == 0
            with pytest.raises(openai.BadRequestError, match="must be base64"):
                broken = {"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}}
                await client.chat.completions.create(messages=[{"role": "user", "content": [broken]}], **asked)

    asyncio.run(run())


def test_answers_asked_at_once_are_those_asked_alone(service: Service, replica: Replica, clip: bytes) -> None:
    forms = [("tts", {"text": f"word {n}", "seed": n, "max_seconds": 0.8}, None) for n in range(6)]
    forms += [("asr", {"max_text": 20, "temperature": 1.0, "seed": n}, clip) for n in range(4)]

    async def run() -> None:
        async with client_of(service, replica) as client:

            async def post(task: str, data: dict[str, Any], audio: bytes | None) -> Any:
                files = {"audio": ("a.wav", audio)} if audio else {"none": b""}
                told = (await client.post(f"/v1/tasks/{task}", data=data, files=files)).json()
                return told["text"], told["tokens"], told["audio"]

            alone = [await post(*form) for form in forms]
            together = await asyncio.gather(*(post(*form) for form in forms))
            assert together == alone
            assert len({json.dumps(answer) for answer in alone}) == len(forms)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("task", "form", "status", "sentence"),
    [
        ("tts", {"text": "x" * 201}, 400, "must hold 200 characters at most"),
        ("tts", {"text": "hi", "max_seconds": 3}, 400, "`max_seconds` must be 2 at most"),
        ("tts", {"text": "hi", "max_text": 0}, 400, "`max_text`"),
        ("tts", {"text": "hi", "temperature": -1}, 400, "`temperature` must be 0 or lie in"),
        ("tts", {"text": "hi", "seed": "many"}, 400, "`seed`"),
        ("tts", {}, 400, "needs words in `text`"),
        ("tts", {"text": "hi", "audio": b"RIFF"}, 400, "audio"),
        ("sing", {"text": "hi"}, 400, "sing"),
        ("asr", {}, 400, "audio"),
        ("asr", {"audio": b""}, 400, "empty"),
        ("conversation", {"text": "hi"}, 400, "turn by turn"),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(
    service: Service, replica: Replica, task: str, form: dict[str, Any], status: int, sentence: str
) -> None:
    answered, told = ask(service, replica, task, **form)
    assert answered == status, told
    assert sentence in told["error"]["message"] and "Traceback" not in told["error"]["message"]


def test_what_is_too_large_is_refused_before_it_is_read(service: Service, replica: Replica) -> None:
    silence = io.BytesIO()
    import soundfile

    soundfile.write(silence, np.zeros(24_000 * 600), 24_000, format="FLAC")
    assert len(silence.getvalue()) < service.limits.upload_bytes
    status, told = ask(service, replica, "asr", audio=silence.getvalue())
    assert (status, "4 seconds at most" in told["error"]["message"]) == (413, True)
    status, told = ask(service, replica, "asr", audio=b"x" * (service.limits.upload_bytes + 1))
    assert (status, "400000 bytes at most" in told["error"]["message"]) == (413, True)

    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 40_000

    async def send_without_length() -> int:
        async with client_of(service, replica) as client:
            kind = {"Content-Type": "application/json"}
            return (await client.post("/v1/audio/speech", content=chunks(), headers=kind)).status_code

    assert asyncio.run(send_without_length()) == 413


def test_a_key_is_asked_for_below_v1_alone(service: Service, replica: Replica, tmp_path: Any) -> None:
    from dataclasses import replace

    (tmp_path / "key").write_text("secret\n")
    locked = replace(service, key_file=str(tmp_path / "key"))

    async def statuses(key: str) -> list[int]:
        async with client_of(locked, replica, key) as client:
            return [(await client.get(path)).status_code for path in ("/v1/tasks", "/v1/info", "/health", "/")]

    assert asyncio.run(statuses(""))[:3] == [401, 401, 200]
    assert asyncio.run(statuses("wrong"))[:3] == [401, 401, 200]
    assert asyncio.run(statuses("secret")) == [200, 200, 200, 200]


def test_the_page_may_load_nothing_from_elsewhere(service: Service, replica: Replica) -> None:
    async def get() -> Any:
        async with client_of(service, replica) as client:
            return await client.get("/")

    policy = asyncio.run(get()).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
