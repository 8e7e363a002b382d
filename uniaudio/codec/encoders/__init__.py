"""The frozen encoders that the codec listens with."""
