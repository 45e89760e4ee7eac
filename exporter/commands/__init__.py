"""What each command of the command line does."""


class WrongUse(Exception):
    """A command line that cannot be followed, and why."""
