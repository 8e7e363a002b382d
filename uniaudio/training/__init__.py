"""Training of the language model: START HERE in `loop.train_stage`; what a stage is stands in `uniaudio.stages`."""
