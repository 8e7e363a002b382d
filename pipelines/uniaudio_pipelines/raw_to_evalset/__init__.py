"""Register a version of raw as an evaluation set: what of it nothing may be trained on.

Reads    raw
Writes   evalset, behind the ref of the set's name
Runs on  a CPU
Row in   {"clip_id": "5f1c…", "path": "esc50/1-100032-A-0.wav", "sha256": "5f1c…", "given_text": null, "landmarks": [81274…, …], …}
Row out  {"clip_id": "5f1c…", "name": "esc50", "path": "esc50/1-100032-A-0.wav", "sha256": "5f1c…", "text": null, "landmarks": […], …}

Nothing is dropped: a clip without text has its sound, a document its text.
"""
