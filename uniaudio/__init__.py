"""The model of an open UniAudio 2.0, alone: audio, codec, sequences, language model, training, metrics.

START HERE: `uniaudio.codec.codec.ReasoningCodec` turns audio into tokens and back, `uniaudio.lm.model.UniAudioLM`
predicts text and audio tokens, `uniaudio.stages` says how both are trained. Needs torch, numpy, pyarrow and
safetensors; audio files, pretrained encoders and metrics are extras, imported inside the functions that use them.
Never imports ray, prefect or polars, and never touches the network.
"""
