"""The pages keep their promises: short README, known languages, how-to pages that end in something that runs."""

import importlib.util
import re
import shutil
import subprocess

import click
import pytest
from doc_blocks import PAGES, ROOT, blocks, name

from experiments.cli import main
from tfmeta.config import GROUPS, fields

TESTS = list((ROOT / "tests").rglob("test_*.py"))
HOW_TO = [page for page in PAGES if page.parent.name == "how-to"]


def test_readme_has_at_most_140_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_in_known_languages(page):
    # a command in a block of another language would be neither run nor planned
    assert {block.language for block in blocks(page)} <= {"sh", "python", "toml", "text", "bibtex"}
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", HOW_TO, ids=name)
def test_how_to_pages_end_in_something_that_runs(page):
    assert blocks(page)[-1].runs


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_fields_that_a_page_names_exist(page):
    field = rf"(?:{'|'.join(GROUPS)})\.[a-z_]+"
    for found in re.finditer(rf"(?<![\w./])({field})=|`({field})`", page.read_text(encoding="utf-8")):
        assert (found[1] or found[2]) in fields(), found[0]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_links_to_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_of_the_project_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tfmeta|experiments|figures|docs)/[\w/.-]+)`", text):
        if path.startswith("figures/out/"):  # made by a run
            continue
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tests_that_a_page_names_exist(page):
    known = {found for path in TESTS for found in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)}
    assert set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))) <= known


def test_site_loads_no_script_from_another_server():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    ours, remote = "<script>alert(1)</script>", '"https://cdnjs.cloudflare.com/ajax/libs/a.js"'
    html = f"{ours}<p>a</p><script src={remote}> </script>{ours}<script>\nimport({remote})\n</script>{ours}"
    assert hooks.on_page_content(html) == f"{ours}<p>a</p>{ours}{ours}"


def test_no_ignored_file_is_tracked():
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a checkout, or no git")
    git = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""


def test_command_page_names_every_command_and_option():
    text = (ROOT / "docs" / "reference" / "command.md").read_text(encoding="utf-8")
    for command in main.commands.values():
        assert f"`tfmeta {command.name}" in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert any(f"`{flag}" in text for flag in option.opts), (command.name, option.opts)
