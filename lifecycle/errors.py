"""Errors that a person can act on."""


class LifecycleError(Exception):
    """Something the user can mend: the message says what was expected, what came, where, and the remedy.

    The command line prints it without a traceback and exits with 1.
    """
