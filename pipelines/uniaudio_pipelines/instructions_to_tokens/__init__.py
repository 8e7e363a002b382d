"""Encode every clip that an instruction names, once per codec.

Reads    instructions, codec, and for the audio annotated and raw
Writes   tokens
Runs on  one worker a device
Row in   {"clip_id": "5f1c…", "raw_clip_id": "5f1c…", "first_sample": 0, "num_samples": 31744, "sample_rate": 11025, …}, or a recipe
Row out  {"clip_id": "5f1c…", "num_samples": 69103, "reasoning_codes": [[12, 3, …], …], "reconstruction_codes": [[99, 4, …], …]}

The clip is the unit of reuse: shards of older versions under the same codec and numerics are named again, and only clips that none of them
holds are encoded. Recipes are rendered here and nowhere else.
"""
