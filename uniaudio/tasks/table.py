"""The table of all tasks: the formats of the released system, those it defines but never registers, and few-shot tasks of the paper.

Adding a task means a line here and a file of prompts.
"""

from uniaudio.tasks.task import AUDIO_PROMPT, Part, Task, audio, text

_SPEAKER = Part(kind=AUDIO_PROMPT, role="speaker")


def _recognition(
    name: str, released: str, wrapper: str = "transcription", metrics: tuple[str, ...] = ("wer", "cer")
) -> Task:
    return Task(
        name=name,
        released_name=released,
        parts=(*audio("clip"), text("transcript", wrapper, loss=True)),
        metrics=metrics,
    )


def _captioning(name: str, released: str) -> Task:
    return Task(
        name=name,
        released_name=released,
        parts=(*audio("clip"), text("caption", "caption", loss=True)),
        metrics=("caption_overlap",),
    )


def _generation(
    name: str, released: str | None, *condition: Part, metrics: tuple[str, ...], dropout: bool = True
) -> Task:
    return Task(
        name=name,
        released_name=released,
        parts=(*condition, *audio("clip", loss=True)),
        metrics=metrics,
        condition_dropout=dropout,
    )


def _to_audio(
    name: str, released: str | None, *, metrics: tuple[str, ...], sources: tuple[str, ...] = ("target",)
) -> Task:
    answers = tuple(part for role in sources for part in audio(role, loss=True))
    return Task(name=name, released_name=released, parts=(*audio("clip"), *answers), metrics=metrics)


def _few_shot(name: str, *, metrics: tuple[str, ...]) -> Task:
    """One example in the context, then the clip to do alike."""
    example = (*audio("example_source"), *audio("example_target"))
    return Task(name=name, parts=(*example, *audio("clip"), *audio("target", loss=True)), metrics=metrics)


_DECLARED = (
    Task(
        name="text_only",
        released_name="text_only",
        parts=(text("text", loss=True),),
        has_prompt=False,
        metrics=("perplexity",),
    ),
    Task(
        name="audio_only",
        released_name="audio_only",
        parts=audio("clip", loss=True),
        has_prompt=False,
        metrics=("perplexity",),
    ),
    _recognition("asr", "ASR"),
    _recognition("cantonese_asr", "Yue_ASR"),
    _recognition("dysarthric_asr", "D_ASR"),
    _recognition("lyric_recognition", "lyric_recognition", "lyric"),
    _captioning("audio_caption", "audio_caption"),
    _captioning("music_caption", "music_caption"),
    _generation("tts", "TTS", text("transcript", "transcription"), metrics=("wer", "mos")),
    _generation("cantonese_tts", "Yue_TTS", text("transcript", "transcription"), metrics=("wer", "mos")),
    _generation("text_to_sound", "TTA", text("caption", "caption"), metrics=("frechet_distance",)),
    _generation("text_to_music", "TTM", text("caption", "caption"), metrics=("frechet_distance",)),
    _generation("lyrics_to_song", "LTS", text("lyrics", "lyric"), metrics=("wer",)),
    _generation(
        "instruct_tts", "InstructTTS", text("caption", "caption"), text("transcript", "transcription"), metrics=("wer",)
    ),
    _generation(
        "prompt_instruct_tts",
        "prompt_instruct_tts",
        _SPEAKER,
        text("caption", "caption"),
        text("transcript", "transcription"),
        metrics=("wer", "speaker_similarity"),
        dropout=False,
    ),
    Task(
        name="reasoning_to_reconstruction",
        released_name="reason_to_semantic",
        parts=(Part(kind="reasoning", role="clip"), Part(kind="reconstruction", role="clip", loss=True)),
        metrics=("perplexity",),
    ),
    Task(
        name="reconstruction_to_reasoning",
        released_name="semantic_to_reason",
        parts=(Part(kind="reconstruction", role="clip"), Part(kind="reasoning", role="clip", loss=True)),
        metrics=("perplexity",),
    ),
    Task(
        name="reconstruction_copy",
        released_name="semantic_copy",
        parts=(*audio("clip"), Part(kind="reconstruction", role="target", loss=True)),
        metrics=("perplexity",),
    ),
    Task(
        name="reasoning_copy",
        released_name="reason_copy",
        parts=(*audio("clip"), Part(kind="reasoning", role="target", loss=True)),
        metrics=("perplexity",),
    ),
    Task(
        name="speech_edit",
        released_name="speech_edit",
        parts=(text("instruction"), *audio("clip"), *audio("target", loss=True)),
        metrics=("wer",),
    ),
    _to_audio("speech_denoise", "speech_denoise", metrics=("pesq", "stoi")),
    _to_audio("speech_separation", "speech_ss", metrics=("log_mel_distance",), sources=("source1", "source2")),
    _to_audio("music_separation", "music_ss", metrics=("log_mel_distance",), sources=("source1", "source2")),
    Task(
        name="speech_to_text",
        released_name="speech_s2t",
        parts=(*audio("clip"), text("answer", loss=True)),
        metrics=("wer",),
    ),
    _to_audio("speech_to_speech", "speech_s2s", metrics=("wer",)),
    Task(
        name="audio_understanding",
        released_name="audio_understanding",
        parts=(text("question"), *audio("clip"), text("answer", loss=True)),
        metrics=("accuracy",),
    ),
    # Defined by the released code, never registered there.
    _generation(
        "speech_sound_generation",
        "speech_sound_generation",
        text("transcript", "transcription"),
        metrics=("wer",),
        dropout=False,
    ),
    _generation(
        "prompt_lyrics_to_song",
        "pretraining_prompt_song_generation",
        _SPEAKER,
        text("lyrics", "lyric"),
        metrics=("wer",),
        dropout=False,
    ),
    # Few-shot tasks of the paper.
    _few_shot("voice_conversion", metrics=("speaker_similarity", "wer")),
    _few_shot("speech_enhancement", metrics=("pesq", "stoi")),
)

TASKS: dict[str, Task] = {task.name: task for task in _DECLARED}
