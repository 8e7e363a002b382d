"""Serve a trained model over HTTP: the tasks of `uniaudio run`, an API that OpenAI's clients speak, and a page for people.

Reads    a model: a folder that `uniaudio lm export` wrote, or a store with a checkpoint
Writes   nothing; answers over HTTP, and metrics of Ray
Runs on  Ray Serve: a gateway (`gateway`, without torch) and replicas of the model (`replica`), each with one running batch
Request  POST /v1/tasks/asr   audio=@clip.wav, seed=7
Answer   {"text": "let's go", "audio": null, "tokens": {"reasoning": [], "reconstruction": []}, "seconds": 0.41, "seed": 7, "model": "mine"}

START HERE: `service.serve`, which `uniaudio serve MODEL` calls; `gateway` says what is answered where, `engine` how answers share a batch.
"""
