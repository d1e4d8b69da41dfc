"""The one error a user meets on bad input."""


class InputError(ValueError):
    """Bad input: the message names the file or parameter, the place in it, and the remedy. The CLI prints it and exits 2."""
