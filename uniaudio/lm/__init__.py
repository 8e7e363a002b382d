"""The language model: one sequence of positions, each a text token or an audio frame of 8 codes.

START HERE: `model.UniAudioLM`. `config` says how large every stack is, `generate` decodes, `score` rates given
answers, `released` and `pretrained` read other people's weights.
"""
