"""A checkpoint to `scores`: what it and its codec can do on clips that no training saw, each number beside what costs
nothing.

Reads    checkpoint (and the stages before it), codec, sequences, instructions, annotated, raw; splits `val` and
`test` only
Writes   scores.v1, and blobs: predictions (JSON lines), spectrograms (PNG), audio (FLAC)
Runs on  one worker a benchmark at a time, CPU or GPU
Row in   {"checkpoint_id": "d0…", "stage": "stage4", "weights": "31…", "held_out": [{"task": "asr", "before": 4.1,
…}], …}
Row out  {"score_id": "9c…", "checkpoint_id": "d0…", "benchmark": "asr", "metric": "wer", "domain": "speech", "value":
1.31, "low": 1.1, "high": 1.5, "num_samples": 9, "baseline": "empty answer", "baseline_value": 1.0,
"higher_is_better": False, …}

There is one benchmark a task, and `Task.metrics` says what is measured: `declared` holds a task to what its answers have (START HERE),
`samples` puts an example beside its references, `generation` answers and keeps the answers, `measures` has one function a metric.

Dropped, each with its reason: no_samples (a benchmark or domain that nothing was held out for), no_given_text (a clip
whose words only a recognizer heard), copy (an example of a copy of a training clip), no_choices (a question without any), no_instruction (a style
that names neither pitch nor rate), no_score (a metric that is not defined for the clip, such as PESQ of silence), not_finished (an answer that
the job's limit ended), not_installed (a
metric's package or model), no_weights (an earlier stage whose weights were collected).
"""
