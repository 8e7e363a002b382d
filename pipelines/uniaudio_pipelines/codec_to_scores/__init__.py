"""A codec to `codec_scores`: what its tokens are worth on clips that it was not trained on, beside other codecs and beside its own parts.

Reads    codec, and the annotated and raw that it was trained on; splits `val` and `test`, for what is trained here `train`
Writes   codec_scores.v1, and blobs: one line a clip (JSON lines), audio (FLAC)
Runs on  one unit a system, variant or question, CPU or GPU
Row in   {"codec_id": "c81f…", "size": "debug", "weights": "77ab…", …}
Row out  {"score_id": "9c…", "codec_id": "c81f…", "system": "Codec2 700C", "benchmark": "reconstruction", "metric": "pesq", "domain": "speech",
"value": 1.21, "low": 1.15, "high": 1.3, "num_samples": 20, "bits_per_s": 700.0, "baseline": "white noise of the same level", …}

Three parts, of the paper's tables:
    reconstruction   (Table 4, without listeners) each clip through the codec, its autoencoder and Opus, Codec2 and Speex
    perplexity       (Table 2) a language model of one shape, trained on the same clips: reasoning tokens, reconstruction tokens alone, and
                     reconstruction tokens behind the reasoning tokens of their clip
    understanding    (Table 3) a small transformer trained on each kind of token, beside the continuous states that they are made of: words,
                     and labels that the source gives

Dropped, each with its reason: not_installed (a coder's programs, a metric's package or model), no_samples (a domain without a held-out
clip), silent, no_labels (a question with fewer than two answers in training), unknown_label (a held-out answer that no training clip has),
no_score (a metric that is not defined for a clip).
"""
