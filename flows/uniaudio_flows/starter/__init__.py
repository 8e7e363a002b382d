"""The starter: a corpus of ten hours out of packages, and a codec and a language model trained on it."""
