"""What services and programs that recognize speech write as JSON, brought to one shape: a row a stretch, or one of the whole sound.

Reads    Deepgram, Amazon Transcribe, Google Speech-to-Text, Azure Speech, Vosk, whisper.cpp; others name start, end and text themselves
Row in   {"results": {"channels": […], "utterances": [{"start": 0.5, "end": 1.5, "transcript": "Hello you.", "speaker": 0, "words": […]}]}}
Row out  {"start": 0.5, "end": 1.5, "text": "Hello you.", "speaker": 0, "words": [{"word": "hello", "start": 0.5, "end": 1.0}, …]}

Of alternatives the first is taken, which is the likeliest.
Sources: https://developers.deepgram.com, https://docs.aws.amazon.com/transcribe, https://cloud.google.com/speech-to-text/docs,
https://learn.microsoft.com/azure/ai-services/speech-service, https://github.com/ggml-org/whisper.cpp
"""

from collections.abc import Iterator
from typing import Any

from uniaudio_pipelines.source_to_raw.formats.lines import finite

Row = dict[str, Any]
_TICKS = 1e7
"""Azure's units of time a second."""


def recognized(values: Row) -> list[Row]:
    """Rows of the shape above; empty where `values` is of none of these programs."""
    results = values.get("results")
    if isinstance(results, dict) and _objects(results, "channels"):
        return list(_deepgram(results))
    if isinstance(results, dict) and _objects(results, "transcripts"):
        return list(_amazon(results))
    if isinstance(results, list) and any(_objects(one, "alternatives") for one in results if isinstance(one, dict)):
        return [_google(results)]
    if phrases := _objects(values, "recognizedPhrases"):
        return list(_azure(phrases))
    if isinstance(values.get("text"), str) and (words := _objects(values, "result")):
        return [{"text": values["text"], "words": words}]
    parts = _objects(values, "transcription")
    if parts and isinstance(parts[0].get("offsets"), dict):
        return list(_whisper_cpp(parts, _object(values, "result").get("language")))
    return []


def _deepgram(results: Row) -> Iterator[Row]:
    channels = _objects(results, "channels")
    several = len(channels) > 1
    if utterances := _objects(results, "utterances"):
        for one in utterances:
            row = {name: one.get(name) for name in ("start", "end", "speaker", "words")}
            yield {**row, "text": one.get("transcript"), "channel": one.get("channel") if several else None}
        return
    for number, channel in enumerate(channels):
        best = _best(channel)
        row = {"text": best.get("transcript"), "words": best.get("words"), "language": channel.get("detected_language")}
        yield {**row, "channel": number if several else None}


def _amazon(results: Row) -> Iterator[Row]:
    items = _objects(results, "items")
    if segments := _objects(results, "audio_segments"):
        for one in segments:
            yield {
                "start": one.get("start_time"),
                "end": one.get("end_time"),
                "text": one.get("transcript"),
                "speaker": one.get("speaker_label"),
            }
    elif turns := _objects(_object(results, "speaker_labels"), "segments"):
        for turn in turns:
            start_s, end_s = finite(turn.get("start_time")), finite(turn.get("end_time"))
            if start_s is not None and end_s is not None:
                text, words = _amazon_words(items, start_s, end_s)
                yield {
                    "start": start_s,
                    "end": end_s,
                    "text": text,
                    "words": words,
                    "speaker": turn.get("speaker_label"),
                }
    else:
        whole = _objects(results, "transcripts")[0].get("transcript")
        words = _amazon_words(items, 0.0, float("inf"))[1]
        yield {"text": whole, "words": words, "language": results.get("language_code")}


def _amazon_words(items: list[Row], start_s: float, end_s: float) -> tuple[str, list[Row]]:
    """The words that begin inside, and the marks behind them, which have no times."""
    text, words, is_inside = "", list[Row](), False
    for item in items:
        content, begins_s = _best(item).get("content"), finite(item.get("start_time"))
        if not isinstance(content, str):
            continue
        if begins_s is None:
            text += content if is_inside else ""
            continue
        is_inside = start_s <= begins_s < end_s
        if is_inside:
            text += f" {content}"
            words.append({"word": content, "start": begins_s, "end": finite(item.get("end_time"))})
    return text.strip(), words


def _google(results: list[Any]) -> Row:
    parts = [one for one in results if isinstance(one, dict)]
    texts = [text.strip() for one in parts if isinstance(text := _best(one).get("transcript"), str)]
    language = next((one["languageCode"] for one in parts if "languageCode" in one), None)
    words = [
        {"word": word.get("word"), "start": _google_s(word.get("startTime")), "end": _google_s(word.get("endTime"))}
        for one in parts
        for word in _objects(_best(one), "words")
    ]
    return {"text": " ".join(texts), "language": language, "words": words}


def _google_s(said: Any) -> float | None:
    """Seconds of `1.500s`."""
    return finite(said.removesuffix("s")) if isinstance(said, str) else None


def _azure(phrases: list[Row]) -> Iterator[Row]:
    several = len({one.get("channel") for one in phrases}) > 1
    for one in phrases:
        start, duration = finite(one.get("offsetInTicks")), finite(one.get("durationInTicks"))
        alternatives = _objects(one, "nBest")
        if start is not None and duration is not None and alternatives:
            row = {"start": start / _TICKS, "end": (start + duration) / _TICKS, "text": alternatives[0].get("display")}
            yield {**row, "speaker": one.get("speaker"), "channel": one.get("channel") if several else None}


def _whisper_cpp(parts: list[Row], language: Any) -> Iterator[Row]:
    for one in parts:
        start, end = (finite(_object(one, "offsets").get(name)) for name in ("from", "to"))
        if start is not None and end is not None:
            yield {"start": start / 1000, "end": end / 1000, "text": one.get("text"), "language": language}


def _best(values: Row) -> Row:
    return next(iter(_objects(values, "alternatives")), {})


def _object(values: Row, name: str) -> Row:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _objects(values: Row, name: str) -> list[Row]:
    value = values.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
