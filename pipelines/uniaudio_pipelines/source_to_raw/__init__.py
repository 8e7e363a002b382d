"""Source folder to `raw`: every audio file as FLAC in WebDataset tars, every text file as one document.

Reads    a folder: `<source>/<corpus>/…` and, where there is one, `<source>/<corpus>/metadata.jsonl`
Writes   raw.v1, and blobs (tar shards)
Runs on  one CPU worker a core
Row in   {"path": "a/hello.wav", "domain": "speech", "licence": "CC-BY-4.0", "given_text": "hello", "speaker": "anna"}
Row out  {"clip_id": "5f1c…", "medium": "audio", "corpus": "prompts", "path": "prompts/a/hello.wav", "channels": 1,
          "sample_rate": 16000, "num_samples": 31744, "tar": "9be2…", "tar_offset": 512, "tar_size": 40211, …}

Dropped, each with its reason: duplicate, empty, too_short, unreadable, not_utf8, unsupported, hidden, outside_source,
missing, forgotten.
"""
