"""How flows and their tasks end where something is wrong that a user can mend: as Failed, with one line and no stack trace."""

import errno
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from prefect import get_run_logger
from prefect.exceptions import FailedRun
from prefect.logging.handlers import APILogHandler
from prefect.states import Failed
from uniaudio_schemas.errors import UniaudioError

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)


class _WithoutFailedRuns(logging.Filter):
    """Prefect logs every run that a worker started and that ended as Failed once more, with the stack trace of its own engine."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


logging.getLogger("prefect.flow_runs").addFilter(_WithoutFailedRuns())


def failing_in_one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of what a flow or a task runs. A `UniaudioError`, or a task that failed by one, gives a Failed state with its message."""

    @wraps(function)
    def run(*arguments: Any, **parameters: Any) -> Any:
        try:
            return function(*arguments, **parameters)
        except UniaudioError as error:
            message = str(error)
        except OSError as error:
            if error.errno not in OF_THE_DISK:
                raise
            message = f"{error.filename or 'the disk'}: {error.strerror}"
        except FailedRun as error:  # a task's, which has logged it
            return Failed(message=str(error))
        get_run_logger().error("%s", message)
        # Lines go to the server in batches: whoever watches the run stops at its last state, and would not see this one.
        APILogHandler().flush()
        return Failed(message=message)

    return run
