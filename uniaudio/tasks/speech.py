"""Tasks on speech: recognition, synthesis, repair, dialogue."""

from uniaudio.tasks.task import Slot, Task, audio, text

_RECOGNITION = (*audio("audio"), text("transcript", "transcription", loss=True))
_SYNTHESIS = (text("transcript", "transcription"), *audio("audio", loss=True))
_STYLED_SYNTHESIS = (text("style", "caption"), *_SYNTHESIS)
_VOICE = Slot("audio_prompt", "voice")
_REPAIR = (*audio("source"), *audio("target", loss=True))

SPEECH_TASKS = (
    Task(name="asr", authors_name="ASR", order=_RECOGNITION, metrics=("wer", "cer")),
    Task(name="cantonese_asr", authors_name="Yue_ASR", order=_RECOGNITION, metrics=("cer",)),
    Task(name="dysarthric_asr", authors_name="D_ASR", order=_RECOGNITION, metrics=("wer",)),
    Task(name="tts", authors_name="TTS", order=_SYNTHESIS, metrics=("wer", "dnsmos"), drops_condition=True),
    Task(
        name="cantonese_tts", authors_name="Yue_TTS", order=_SYNTHESIS, metrics=("cer", "dnsmos"), drops_condition=True
    ),
    Task(
        name="instruct_tts",
        authors_name="InstructTTS",
        order=_STYLED_SYNTHESIS,
        metrics=("wer", "dnsmos"),
        drops_condition=True,
    ),
    Task(
        name="prompt_tts",
        authors_name="PromptTTS",
        order=(_VOICE, *_SYNTHESIS),
        metrics=("wer", "speaker_similarity"),
        drops_condition=True,
    ),
    Task(
        name="prompt_instruct_tts",
        authors_name="prompt_instruct_tts",
        order=(_VOICE, *_STYLED_SYNTHESIS),
        metrics=("wer", "speaker_similarity"),
    ),
    Task(
        name="speech_sound_generation",
        authors_name="speech_sound_generation",
        order=_SYNTHESIS,
        metrics=("wer",),
        drops_condition=True,
    ),
    Task(name="speech_edit", authors_name="speech_edit", order=(text("request"), *_REPAIR), metrics=("wer",)),
    Task(name="speech_denoise", authors_name="speech_denoise", order=_REPAIR, metrics=("pesq", "stoi", "dnsmos")),
    Task(
        name="speech_separation",
        authors_name="speech_ss",
        order=(*audio("mixture"), *audio("first_source", loss=True), *audio("second_source", loss=True)),
        metrics=("pesq", "stoi"),
    ),
    Task(
        name="speech_to_text",
        authors_name="speech_s2t",
        order=(*audio("question"), text("answer", loss=True)),
        metrics=("unigram_f1", "rouge_l"),
    ),
    Task(
        name="speech_to_speech",
        authors_name="speech_s2s",
        order=(*audio("question"), *audio("answer", loss=True)),
        metrics=("dnsmos",),
    ),
)
