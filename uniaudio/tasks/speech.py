"""Tasks on speech: recognition, synthesis, repair, dialogue."""

from dataclasses import replace

from uniaudio.tasks.annotations import is_dysarthric
from uniaudio.tasks.filling import OneClip, is_cantonese, is_plain_speech, spoken, style_of
from uniaudio.tasks.task import Slot, Task, audio, text

_RECOGNIZED = OneClip(domains=("speech",), texts={"transcript": spoken}, only=is_plain_speech)
_RECOGNITION = (*audio("audio"), text("transcript", "transcription", loss=True))
_SYNTHESIS = (text("transcript", "transcription"), *audio("audio", loss=True))
_STYLED_SYNTHESIS = (text("style", "caption"), *_SYNTHESIS)
_VOICE = Slot("audio_prompt", "voice")
_REPAIR = (*audio("source"), *audio("target", loss=True))

SPEECH_TASKS = (
    Task(
        name="asr",
        authors_name="ASR",
        order=_RECOGNITION,
        metrics=("wer", "cer"),
        needs=("words",),
        of_clip=_RECOGNIZED,
    ),
    Task(
        name="cantonese_asr",
        authors_name="Yue_ASR",
        order=_RECOGNITION,
        metrics=("cer",),
        needs=("words", "cantonese"),
        of_clip=replace(_RECOGNIZED, only=is_cantonese),
    ),
    Task(
        name="dysarthric_asr",
        authors_name="D_ASR",
        order=_RECOGNITION,
        metrics=("wer",),
        needs=("words", "dysarthria"),
        of_clip=replace(_RECOGNIZED, only=is_dysarthric),
    ),
    Task(
        name="tts",
        authors_name="TTS",
        order=_SYNTHESIS,
        metrics=("wer", "dnsmos", "length_error"),
        drops_condition=True,
        needs=("words",),
        of_clip=_RECOGNIZED,
    ),
    Task(
        name="cantonese_tts",
        authors_name="Yue_TTS",
        order=_SYNTHESIS,
        metrics=("cer", "dnsmos"),
        drops_condition=True,
        needs=("words", "cantonese"),
        of_clip=replace(_RECOGNIZED, only=is_cantonese),
    ),
    Task(
        name="instruct_tts",
        authors_name="InstructTTS",
        order=_STYLED_SYNTHESIS,
        metrics=("wer", "dnsmos", "instruction_agreement", "pitch_error", "intonation_error", "length_error"),
        drops_condition=True,
        needs=("words", "style"),
        of_clip=OneClip(domains=("speech",), texts={"style": style_of, "transcript": spoken}),
    ),
    Task(
        name="prompt_tts",
        authors_name="PromptTTS",
        order=(_VOICE, *_SYNTHESIS),
        metrics=("wer", "dnsmos", "speaker_similarity"),
        drops_condition=True,
        needs=("words", "voice"),
    ),
    Task(
        name="prompt_instruct_tts",
        authors_name="prompt_instruct_tts",
        order=(_VOICE, *_STYLED_SYNTHESIS),
        metrics=("wer", "dnsmos", "speaker_similarity", "instruction_agreement", "pitch_error", "intonation_error"),
        needs=("words", "voice", "style"),
    ),
    Task(
        name="speech_sound_generation",
        authors_name="speech_sound_generation",
        order=_SYNTHESIS,
        metrics=("wer",),
        drops_condition=True,
        needs=("words", "sound"),
    ),
    Task(
        name="speech_edit",
        authors_name="speech_edit",
        order=(text("request"), *_REPAIR),
        metrics=("wer", "dnsmos"),
        needs=("words",),
    ),
    Task(
        name="speech_denoise",
        authors_name="speech_denoise",
        order=_REPAIR,
        metrics=("si_sdr", "pesq", "stoi", "dnsmos"),
        needs=("audio",),
    ),
    Task(
        name="speech_separation",
        authors_name="speech_ss",
        order=(*audio("mixture"), *audio("first_source", loss=True), *audio("second_source", loss=True)),
        metrics=("si_sdr", "pesq", "stoi"),
        needs=("voice",),
    ),
    Task(
        name="speech_to_text",
        authors_name="speech_s2t",
        order=(*audio("question"), text("answer", loss=True)),
        metrics=("unigram_f1", "rouge_l"),
        needs=("answer",),
    ),
    Task(
        name="speech_to_speech",
        authors_name="speech_s2s",
        order=(*audio("question"), *audio("answer", loss=True)),
        metrics=("dnsmos",),
        needs=("answer",),
    ),
)
