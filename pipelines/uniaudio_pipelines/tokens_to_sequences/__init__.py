"""Join instructions with the codes of their clips and with text ids: training-ready sequences.

Reads    instructions, tokens, codec
Writes   sequences
Runs on  CPUs, one worker each; in the driver alone where there are few rows
Row in   {"task": "asr", "segments": [{"kind": "prompt", "text": "Write it."}, {"kind": "reasoning", …}, …]} and
         {"clip_id": "5f1c…", "reasoning_codes": [[12, 3, …], …], "reconstruction_codes": [[99, 4, …], …]}
Row out  {"task": "asr", "segments": [{"kind": "text", "start": 0, "length": 31, "loss": False}, …],
          "audio_ids": [[64, …], …], "text_ids": [256, …]}

The vocabulary and its fingerprint, the codec's, and the numerics stand in each shard's schema metadata.

Dropped, each with its reason: missing_tokens, too_long, no_loss (`reasoning` off, and nothing else to write).
"""
