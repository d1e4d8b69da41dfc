"""The one error a user meets on bad input, or for want of something the machine should have; and how text of strangers is shown in a terminal."""

import errno
import re

_COMMANDS = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Bad input: the message names the file or parameter, the place in it, and the remedy. The CLI prints it and exits 2."""


ROOM = "make room on the disk, or set MMR_CACHE_DIR (and --results) to a folder on another one"
WRITING = "name a folder that may be written to (MMR_CACHE_DIR, --results)"
REMEDIES = {
    errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EROFS: WRITING, errno.EACCES: WRITING, errno.EPERM: WRITING,
    errno.EMFILE: "allow more open files (ulimit -n 4096)", errno.ENFILE: "close other programs: the machine has too many open files",
    errno.ENOMEM: "close other programs, or use a machine with more memory",
}  # fmt: skip


def wanted(error: BaseException) -> InputError | None:
    """What to say of an error that comes of a full disk, want of permission, of open files or of memory; None for any other."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "Cannot allocate memory" in text:
        return InputError(f"out of memory: {REMEDIES[errno.ENOMEM]}")
    if "No space left on device" in text or re.search(r"\d+ requested and \d+ written", text):  # of libraries that raise errors of their own; of NumPy
        place = getattr(error, "filename", None)
        return InputError(f"{f'{place}: ' if place else ''}no space left on the device; {ROOM}")
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return InputError(f"{f'{error.filename}: ' if error.filename else ''}{error.strerror}; {REMEDIES[error.errno]}")
    return None


def shown(text: str) -> str:
    """The text as it may be printed: characters that a terminal obeys (escape sequences, changes of direction) or cannot print stand as Python's escapes."""
    return _COMMANDS.sub(lambda match: ascii(match[0])[1:-1], text)
