"""The one exception for what a user can mend."""


class UserError(Exception):
    """Something the user can mend: the message names the file or key, the expectation and the remedy.

    The command line prints it as one line, without a traceback, and exits with code 2.
    """
