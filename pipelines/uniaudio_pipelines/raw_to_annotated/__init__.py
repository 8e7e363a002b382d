"""`raw` to `annotated`: clips cut to a usable length, each with what models and measurements say of it, and a split.

Reads    raw.v1
Writes   annotated.v1
Runs on  CPU workers, each with its own copy of the models
Row in   {"clip_id": "5f1c…", "medium": "audio", "domain": "speech", "sample_rate": 16000, "num_samples": 31744, …}
Row out  {"clip_id": "5f1c…", "raw_clip_id": "5f1c…", "domain": "speech", "split": "train", "language": "en",
          "transcript": "Agent logged in.", "words": [{"word": "Agent", "first_sample": 1280, …}, …], "mos": 3.2,
          "annotations": [{"value": "transcript", "annotator": "whisper", "version": "base-…", "confidence": 0.81}, …]}

Dropped, each with its reason: over_limit (the job's limits), no_speech, silent, too_short.
"""
