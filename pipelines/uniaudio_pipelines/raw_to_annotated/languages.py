"""Leave open in which language somebody speaks where that was heard and is a guess.

Reads    tables of `cuts`, in which every recognizer says what it takes for the likeliest language
Gives    the columns `language` and `annotations` of `annotated`: without the language, and without the note on it, where a clip has too little
         speech, or the ear is not sure enough; what the source names stays
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from uniaudio_pipelines.raw_to_annotated.annotators.annotator import SPEECH
from uniaudio_pipelines.raw_to_annotated.drafts import SOURCE
from uniaudio_pipelines.raw_to_annotated.job import RawToAnnotated

LANGUAGE = "language"


def without_guesses(table: pa.Table, job: RawToAnnotated) -> tuple[pa.ChunkedArray | pa.Array, Any]:
    """`language` and `annotations` of a table of cuts."""
    language, annotations = table[LANGUAGE], table["annotations"]
    duration_s = pc.divide(pc.cast(table["num_samples"], pa.float64()), pc.cast(table["sample_rate"], pa.float64()))
    # Where nobody listened for speech, all of it may be some.
    speech_s = pc.multiply(duration_s, pc.fill_null(table["speech_fraction"], 1.0))
    is_unsure = pc.or_(
        pc.less(speech_s, job.min_language_speech_s),
        pc.fill_null(pc.less(table["language_probability"], job.min_language_probability), False),
    )
    is_said = pc.and_(pc.is_valid(language), pc.equal(table["domain"], SPEECH))
    doubtful = np.flatnonzero(pc.fill_null(pc.and_(is_said, is_unsure), False).to_numpy())
    if not len(doubtful):
        return language, annotations
    notes = annotations.to_pylist()
    guessed = np.zeros(len(table), bool)
    for place in doubtful:
        guessed[place] = all(note["annotator"] != SOURCE for note in notes[place] if note["value"] == LANGUAGE)
        if guessed[place]:
            notes[place] = [note for note in notes[place] if note["value"] != LANGUAGE]
    known = pc.if_else(pa.array(guessed), pa.scalar(None, language.type), language)
    return known, pa.array(notes, annotations.type)
