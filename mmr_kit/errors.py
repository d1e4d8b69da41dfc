"""The one error a user meets on bad input, and how text of strangers is shown in a terminal."""

import re

_COMMANDS = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Bad input: the message names the file or parameter, the place in it, and the remedy. The CLI prints it and exits 2."""


def shown(text: str) -> str:
    """The text as it may be printed: characters that a terminal obeys (escape sequences, changes of direction) or cannot print stand as Python's escapes."""
    return _COMMANDS.sub(lambda match: ascii(match[0])[1:-1], text)
