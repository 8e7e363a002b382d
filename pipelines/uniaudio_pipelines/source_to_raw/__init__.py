"""Source folder to `raw`: every audio file, or every utterance of one, as FLAC in WebDataset tars, every text as one document.

Reads    a folder: `<source>/<corpus>/…` in the formats of `formats/table.py`, and cards `<source>/corpora/<corpus>.toml`
Writes   raw.v2, and blobs (tar shards)
Runs on  one CPU worker a core
Row in   {"path": "a/hello.wav", "domain": "speech", "licence": "CC-BY-4.0", "given_text": "hello", "speaker": "anna"}
Row out  {"clip_id": "5f1c…", "medium": "audio", "corpus": "prompts", "path": "prompts/a/hello.wav", "channels": 1,
          "sample_rate": 16000, "num_samples": 31744, "tar": "9be2…", "tar_offset": 512, "tar_size": 40211, …}

START HERE: `job.SourceToRaw.plan` lists the source (`scan`, `recognize`, `labels`, `entries`, `units`, kept by `listing`);
`worker.RawWorker.process` makes a unit's rows (`clips`, `cutting`, `rows`, `tars`).

Dropped, each with its reason. Files: duplicate (its metadata are in the row of its copy), empty, too_short, unreadable, beyond_full_scale,
not_utf8, wrong_encoding, unsupported, beside_audio, hidden, outside_source, broken_link, forgotten. Labels: missing (their audio is not there),
text_of_the_whole, outside_source, outside_file, no_such_channel, too_many_overlaps, bad_metadata, bad_line, bad_times, not_json, and more of each format.
"""
