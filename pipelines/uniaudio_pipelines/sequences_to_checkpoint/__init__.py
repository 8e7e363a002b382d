"""Train the language model on sequences, stage after stage, each under Ray Train.

Reads    sequences, checkpoint (the stage before), codec to distil,
         the folder of a text model in place of `text_warmup`, or of a whole model in place of a checkpoint
Writes   checkpoint: one version a stage, behind the ref of the stage's name and behind `latest`
Runs on  `num_workers` workers of Ray Train, with a GPU each where the job asks for it
Row in   {"sequence_id": "a3…", "mixture": "asr", "segments": […], "audio_ids": […], "text_ids": […]}
Row out  {"checkpoint_id": "d0…", "stage": "stage1", "step": 60, "parent": "b7…", "weights": "31…", "held_out": […], …}

A worker that dies is replaced and goes on from the last training checkpoint, as does the next run of the same plan;
both end at the same bits. Training checkpoints lie in `<store>/train/<plan id>` and go when the version is published.
"""
