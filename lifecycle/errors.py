"""Errors with a remedy."""


class LifecycleError(Exception):
    """An error that the user can correct: the message says what was expected, what was received, where, and the remedy.

    The command line prints it without a traceback and exits with 1.
    """
