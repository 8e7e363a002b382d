"""`raw` to `annotated`: clips cut to a usable length, each with what models and measurements say of it, and a split.

Reads    raw.v2, evalset; and every version of cuts, for values that are there already
Writes   cuts.v2 on the way, annotated.v3
Runs on  workers on a CPU or a GPU, each with its own copy of the models (`cuts_worker`); the driver (`corpus_worker`)
Row in   {"clip_id": "5f1c…", "medium": "audio", "domain": "speech", "sample_rate": 16000, "num_samples": 31744, …}
Row out  {"clip_id": "5f1c…", "raw_clip_id": "5f1c…", "domain": "speech", "split": "train", "language": "en",
          "transcript": "Agent logged in.", "words": [{"word": "Agent", "first_sample": 1280, …}, …], "mos": 3.2, "rejections": [],
          "annotations": [{"value": "transcript", "annotator": "transcript", "version": "whisper-base-…", "confidence": 0.81}, …]}

START HERE: `run.run` for the two steps, `segmentation.segment` for what a recording is made of.

Dropped, each with its reason: over_limit (the job's limits), no_speech, silent, too_short, unaligned_text (a given text that is not what
is heard); and of a recording whose other parts are used: pause, rest (a last piece of sound or music that is too short), too_short.
"""
