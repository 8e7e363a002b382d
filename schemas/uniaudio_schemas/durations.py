"""Durations of audio as a reader takes them in: seconds below a minute, then minutes, then hours."""


def spoken(seconds: float) -> str:
    """Such as `0.4 s`, `12.5 s`, `4.2 min` or `1,034.0 h`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if round(seconds / 60, 1) < 60 else f"{seconds / 3600:,.1f} h"
