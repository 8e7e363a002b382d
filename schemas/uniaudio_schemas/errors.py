"""The errors every layer raises: whose fault it is decides the class.

A command line prints the message of a `UniaudioError` as one line and exits 2; anything else is a defect of ours and keeps
its traceback.
"""


class UniaudioError(Exception):
    """Something a user reads as one line."""


class UsageError(UniaudioError):
    """The caller can fix it: "`x` must be A, but is B.\""""


class DataError(UniaudioError):
    """A file is wrong: the message names the file and, where there is one, the row."""


class StoreError(UniaudioError):
    """The store cannot do it now: no space, no such version, somebody else holds the lease."""


class LeaseLostError(StoreError):
    """Another run took over the plan; this one must stop without publishing."""


class FingerprintError(UniaudioError):
    """Two parts that must match (vocabulary, codec, numerics) do not."""


class TrainingError(UniaudioError):
    """A run of training cannot be trusted any more; the message says at which step and why."""
