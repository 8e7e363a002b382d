"""`instructions` to `tokens`: every clip an instruction names, rendered and encoded once under one codec.

Reads    instructions.v1, annotated, raw, codec; and every version of tokens, for codes that are there already
Writes   tokens.v1, one shard for each range of hashed clip ids
Runs on  one worker per device
Row in   {"instruction_id": "a3…", "segments": [{"kind": "reasoning", "clip_id": "5f1c…", …}, …], "recipes": [], …}
Row out  {"clip_id": "5f1c…", "num_samples": 69105, "reasoning_codes": [[12, 3, …], …], "reconstruction_codes": [[99, …], …]}

Dropped, each with its reason: silent, too_short, unknown_clip, unreadable.
"""
