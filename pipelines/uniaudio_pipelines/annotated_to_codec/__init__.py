"""`annotated` to `codec`: train a ReasoningCodec, phase after phase, in one Ray Train run.

Reads    annotated.v1, raw (the audio)
Writes   codec.v1: one row, its weights a blob
Runs on  the workers of one Ray Train run
Row in   {"clip_id": "5f1c…", "split": "train", "transcript": "let's go", "num_samples": 31744, …}
Row out  {"codec_id": "c81f…", "size": "debug", "weights": "77ab…", "reasoning_codebook_size": 64, "metrics": […], …}

Dropped, each with its reason: too_short, silent, unreadable (clips that were not trained on), copy (held out, but
trained on under another name).
"""
