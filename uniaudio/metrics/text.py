"""The text of metrics: that of `uniaudio.text.normalization`, under the name every metric uses."""

from uniaudio.text.normalization import normalize_text

__all__ = ["normalize_text"]
