"""Train a ReasoningCodec on the annotated clips.

Reads    annotated, and for the audio raw
Writes   codec
Runs on  one Ray Train run over all phases; workers declare a GPU where the job says so
Row in   {"clip_id": "5f1c…", "split": "train", "given_text": "Let's go.", …} and its samples at 24 kHz
Row out  {"codec_id": "c81f…", "size": "debug", "weights": "77ab…", "config": "{…}", "metrics": [{"phase": "scalar", "step": 40, …}], …}
"""
