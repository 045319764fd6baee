"""Nothing that the command prints makes a terminal act, whatever files and words are called."""

import numpy as np
import pytest
from command_line import command, invoked, refused
from PIL import Image

OWNED = "\x1b]0;owned\x07\x1b[2J\u202e\n"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\u202e"


def harmless(text):
    return all(letter == "\n" or letter.isprintable() for letter in text)


@pytest.mark.parametrize(
    "words",
    [
        (OWNED,),
        (f"--{OWNED}",),
        ("run", OWNED),
        ("run", "fine_tuning", OWNED),
        ("run", "fine_tuning", f"--{OWNED}"),
        ("run", "fine_tuning", "--workers", OWNED),
        ("run", "fine_tuning", "--case", OWNED),
        ("run", "fine_tuning", "--plugin", OWNED),
        ("config", "--set", f"{OWNED}=1"),
        ("config", "--set", f"delta={OWNED}"),
        ("figure", OWNED),
        ("check-plugin", OWNED),
        ("plugins", OWNED),
    ],
    ids=str,
)
def test_a_word_of_the_command_line_is_shown(words):
    printed = refused(*words)
    assert harmless(printed) and SHOWN in printed
    assert all(line[:1] in ("", " ") for line in printed.partition("Error: ")[2].splitlines()[1:])


def test_names_of_files_and_classes_are_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("TFMETA_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    for row in "ab":
        (folder / f"{row}{OWNED}").mkdir(parents=True)
        Image.fromarray(np.zeros((6, 6), np.uint8)).save(folder / f"{row}{OWNED}" / "1.png")
    words = ("data", "--dataset", "image-folder", "--set", f"folder={folder}")
    assert "2 classes" in invoked(*words)
    (folder / f"a{OWNED}" / f"2{OWNED}.png").write_bytes(b"no image")
    printed = refused(*words)
    assert harmless(printed) and printed.count(SHOWN) == 2
    (tmp_path / f"file{OWNED}").touch()
    done = command("data", "--dataset", "glyphs", env={"TFMETA_CACHE": str(tmp_path / f"file{OWNED}")})
    assert done.returncode == 1 and harmless(done.stderr) and SHOWN in done.stderr
