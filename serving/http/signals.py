"""What signals ask of a server process; handlers only set these fields, since they run between any two instructions."""

from dataclasses import dataclass


@dataclass(slots=True)
class Signals:
    """Shared by the signal handlers, the listener, its connections and readiness.

    `is_draining` holds from SIGTERM on: the server answers, but wants no more traffic. `is_reload_due` holds from
    SIGHUP until the certificates are loaded again.
    """

    is_draining: bool = False
    is_reload_due: bool = False
