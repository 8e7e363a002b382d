"""`instructions` to `tokens`: every clip an instruction names, rendered and encoded once under one codec.

Reads    instructions.v1, annotated, raw, codec; and every version of tokens, for codes that are there already
Writes   tokens.v1, one shard for each range of hashed clip ids
Runs on  one worker per device
Row in   {"instruction_id": "a3…", "segments": [{"kind": "reasoning", "clip_id": "5f1c…", …}, …], "recipes": [], …}
Row out  {"clip_id": "5f1c…", "num_samples": 69105, "reasoning_codes": [[12, 3, …], …], "reconstruction_codes": [[99, …], …]}

START HERE: `worker.py`. `clips.py` finds a unit's clips and what they are made from, `known.py` the codes that are there, `audio.py` and
`ahead.py` make audio before the encoder needs it, `stream.py` feeds the codec, `finished.py` keeps what a killed worker had done.

Dropped, each with its reason: silent, too_short, unknown_clip, unreadable, kills_its_worker.
"""
