"""Prefect's `flow`, in which an error that the user can mend ends the run with one line and no stack trace."""

import errno
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import prefect
from prefect import get_run_logger
from prefect.exceptions import FailedRun
from prefect.states import Failed
from uniaudio_schemas.errors import UniaudioError

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


class _WithoutFailedRuns(logging.Filter):
    """Prefect logs every run that a worker started and that ended as Failed once more, with the stack trace of its own engine."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


logging.getLogger("prefect.flow_runs").addFilter(_WithoutFailedRuns())


def flow(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorator. A `UniaudioError` of the flow's own, or of a subflow that failed by one, ends the run as Failed with its message."""

    def decorate(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def run(*arguments: Any, **parameters: Any) -> Any:
            try:
                return function(*arguments, **parameters)
            except UniaudioError as error:
                get_run_logger().error("%s", error)
                return Failed(message=str(error))
            except OSError as error:
                if error.errno not in OF_THE_DISK:
                    raise
                message = f"{error.filename or 'the disk'}: {error.strerror}"
                get_run_logger().error("%s", message)
                return Failed(message=message)
            except FailedRun as error:  # a subflow's, which has logged it
                return Failed(message=str(error))

        return prefect.flow(name=name)(run)

    return decorate
