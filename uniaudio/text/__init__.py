"""Text: tokenizers, and special tokens by name."""
