"""The one exception that users are meant to read."""


class EmotionError(Exception):
    """Something the user can mend: a missing file, a wrong value, data of the wrong shape.

    The message is one line that says what was expected, what came and what to do. The command line prints it and
    exits with 2; a node logs it and goes on, or fails its transition.
    """


class BadValue(EmotionError, ValueError):
    """A value that a box, an estimate or a measure cannot take; also the ValueError that Python has for this."""
