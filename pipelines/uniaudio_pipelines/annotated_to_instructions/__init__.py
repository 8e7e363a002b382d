"""Turn annotated clips into training examples of every task that their annotations allow.

Reads    annotated
Writes   instructions
Runs on  a CPU
Row in   {"clip_id": "5f1c…", "domain": "speech", "split": "train", "given_text": "Let's go.", "speaker": "joe", …}
Row out  {"task": "asr", "split": "train", "segments": [{"kind": "prompt", "text": "Transcribe the following speech."},
          {"kind": "reasoning", "clip_id": "5f1c…"}, {"kind": "reconstruction", "clip_id": "5f1c…"},
          {"kind": "text", "wrapper": "transcription", "text": "Let's go.", "loss": True}], …}

A clip that serves several tasks is named by several rows and tokenized once. Mixtures, noisy copies and pieces are
recipes, rendered when they are tokenized. Clips of one example share one corpus and one split. `single`, `several` and
`few_shot` build them.

Dropped, each with its reason: copy (a held-out clip that is trained on too), no_text, no_given_text, no_caption, no_audio,
low_mos, no_partner, unequal_parts, too_long.
"""
