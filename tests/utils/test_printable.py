"""Names that a stranger chose are shown; a terminal does not act on them, and they make no message of their own."""

import pickle

import pytest
from processes import python

from tfmeta.errors import DataError
from tfmeta.utils.printable import message, one_line, printable

TITLE, CLEAR, C1, REVERSED = "\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "\u202egnp.exe\u2069"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TITLE, r"\x1b]0;owned\x07"),
        (CLEAR, r"\x1b[2J"),
        (C1, r"\x9b2J"),
        (REVERSED, r"\u202egnp.exe\u2069"),
        ("a\r\tb\x7f\x85", r"a\r\tb\x7f\x85"),
        ("\udcff\u2028", r"\udcff\u2028"),
        ("a\nb", "a\nb"),
        ("Ελληνικά 日本語 العربية é – …", "Ελληνικά 日本語 العربية é – …"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text, shown):
    assert printable(text) == shown == printable(shown)
    assert str(DataError(text)) == shown
    assert all(letter == "\n" or letter.isprintable() for letter in printable(text))


def test_an_error_from_another_process_reads_the_same():
    error = pickle.loads(pickle.dumps(DataError(f"a{CLEAR}b", 7)))
    assert error.args == (f"a{CLEAR}b", 7) and str(error).isprintable()


def test_a_newline_makes_no_line_of_its_own():
    assert one_line(f"a\nb{CLEAR}") == r"a\nb\x1b[2J"
    assert message("a\nwarning: b\nc") == "a\n  warning: b\n  c"


def test_log_lines_and_bars_are_printable():
    code = """
    import logging, sys
    from tfmeta.utils import progress
    progress.setup_logging()
    log = logging.getLogger("tfmeta.anything")
    log.warning("%s: is damaged", sys.argv[1])
    logging.getLogger("another.library").warning(sys.argv[1])
    with progress.bar(2, f"reading {sys.argv[1]}", "image") as bar:
        log.info("%s", sys.argv[1])
        bar.update(2)
    """
    name = f"a{TITLE}{CLEAR}\nwarning: all is well"
    first, second = r"a\x1b]0;owned\x07\x1b[2J", "  warning: all is well"
    lines = python(code, name).stderr.splitlines()
    assert lines[:4] == [f"warning: {first}", f"{second}: is damaged", f"warning: {first}", second]
    bar = rf"reading {first}\nwarning: all is well: 0/2"
    assert lines[4].startswith(bar) and lines[5:7] == [first, second] and lines[7].startswith(bar[:-3])
