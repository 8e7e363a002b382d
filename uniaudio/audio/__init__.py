"""Audio as numbers: read, cut, resample, mix, loudness, mel spectrograms, and the one place for sample and frame
arithmetic.
"""
