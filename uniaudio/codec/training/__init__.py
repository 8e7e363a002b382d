"""Training of the codec, a module a phase. START HERE: `train.train_codec`."""
