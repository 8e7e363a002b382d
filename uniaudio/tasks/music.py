"""Tasks on music: captions, lyrics, songs, stems."""

from uniaudio.tasks.filling import OneClip, described, lyrics_of
from uniaudio.tasks.task import Slot, Task, audio, text

_DESCRIBED = OneClip(domains=("music",), texts={"caption": described})
_SUNG = OneClip(domains=("music",), texts={"lyrics": lyrics_of})

MUSIC_TASKS = (
    Task(
        name="music_caption",
        authors_name="music_caption",
        order=(*audio("audio"), text("caption", "caption", loss=True)),
        metrics=("unigram_f1", "rouge_l", "caption_similarity"),
        needs=("music_caption",),
        of_clip=_DESCRIBED,
    ),
    Task(
        name="text_to_music",
        authors_name="TTM",
        order=(text("caption", "caption"), *audio("audio", loss=True)),
        metrics=("frechet",),
        drops_condition=True,
        needs=("music_caption",),
        of_clip=_DESCRIBED,
    ),
    Task(
        name="lyric_recognition",
        authors_name="lyric_recognition",
        order=(*audio("audio"), text("lyrics", "lyric", loss=True)),
        metrics=("wer",),
        needs=("lyrics",),
        of_clip=_SUNG,
    ),
    Task(
        name="lyrics_to_song",
        authors_name="LTS",
        order=(text("lyrics", "lyric"), *audio("audio", loss=True)),
        metrics=("wer", "frechet"),
        drops_condition=True,
        needs=("lyrics",),
        of_clip=_SUNG,
    ),
    Task(
        name="prompt_lyrics_to_song",
        authors_name="pretraining_prompt_song_generation",
        order=(Slot("audio_prompt", "voice"), text("lyrics", "lyric"), *audio("audio", loss=True)),
        metrics=("wer", "speaker_similarity"),
        needs=("lyrics",),
    ),
    Task(
        name="music_separation",
        authors_name="music_ss",
        order=(*audio("mixture"), *audio("first_source", loss=True), *audio("second_source", loss=True)),
        metrics=("si_sdr", "log_mel"),
        needs=("parts",),
    ),
)
