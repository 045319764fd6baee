"""Text for a terminal or a log that may repeat what a stranger wrote: names of files, members, classes, fields."""

import re

# Control characters, of which some start commands to the terminal (C0, C1); characters that start a line or reverse
# what follows them; and surrogates, by which Python stands for bytes that are no text and which cannot be printed.
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text with what a terminal would act on escaped as in Python, such as `\x1b`; newlines stay."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: str) -> str:
    r"""Return `printable` of a text with its newlines escaped, too, as `\n`."""
    return printable(text).replace("\n", r"\n")


def message(text: str) -> str:
    """Return `printable` of a text with two blanks before every line but the first.

    So a name with a newline in it cannot make what looks like another message.
    """
    return printable(text).replace("\n", "\n  ")
