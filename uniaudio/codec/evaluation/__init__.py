"""How good a codec is: its own scores, and other coders beside it."""
