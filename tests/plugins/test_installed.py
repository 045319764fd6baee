"""Plug-ins of installed packages: found by entry points, imported when they are used, and refused by name."""

import subprocess
import sys
from pathlib import Path

import pytest
from plugin_files import ALL, DEFENCE

import tfmeta
from tfmeta import registry

ROOT = Path(tfmeta.__file__).parents[1]
POINTS = {kind: ("my-own" if kind == "datasets" else "my_own", f"mine.{kind}") for kind in ALL}


def install(folder, points, files, name="mine"):
    """Install a package as pip does: its files, and metadata with entry points."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    lines = [f"[tfmeta.{kind}]\n{point} = {value}\n" for kind, point, value in points]
    (info / "entry_points.txt").write_text("\n".join(lines))


def python(folder, code):
    """Run Python code that finds the packages in a folder; return what it prints."""
    code = f"from tfmeta import registry\nfrom tfmeta.config import make_config\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{folder}", "TF_CPP_MIN_LOG_LEVEL": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def all_kinds(tmp_path):
    """A folder with a package that has a plug-in of each kind."""
    files = {f"mine/{kind}.py": text for kind, text in ALL.items()} | {"mine/__init__.py": ""}
    classes = {kind: next(line.split()[1].split("(")[0] for line in text.splitlines() if line.startswith("class"))
               for kind, text in ALL.items()}  # fmt: skip
    install(tmp_path, [(kind, name, f"{module}:{classes[kind]}") for kind, (name, module) in POINTS.items()], files)
    return tmp_path


def test_names_options_and_docs_are_known_before_anything_is_imported(all_kinds):
    code = (
        "import sys\n"
        "print([kind for kind in registry.KINDS if any('own' in name for name in registry.names(kind))])\n"
        "print(registry.origin('attacks', 'my_own'), '|', registry.summary('attacks', 'my_own'))\n"
        "print(make_config('omniglot', 'smoke', defence='my_own', **{'defence.share': 0.25}).options)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('mine', 'tensorflow')])"
    )
    lines = python(all_kinds, code).splitlines()
    assert lines[0] == str(list(registry.KINDS))
    assert lines[1] == "the package mine | The paper's attack with a part of the update."
    assert lines[2:] == ["(('defence.share', 0.25),)", "[]"]


@pytest.mark.slow
def test_installed_plugins_are_built(all_kinds):
    code = (
        "config = make_config('glyphs', 'smoke')\n"
        "for kind in registry.KINDS:\n"
        "    name = 'my-own' if kind == 'datasets' else 'my_own'\n"
        "    built = registry.build(kind, config, name)\n"
        "    print(kind, built.NAME, type(built).__module__)"
    )
    expected = [f"{kind} {POINTS[kind][0]} mine.{kind}" for kind in registry.KINDS]
    assert python(all_kinds, code).splitlines() == expected


def test_a_package_that_does_not_import_harms_only_who_names_its_plugin(tmp_path):
    broken = f"import nothing_there\n{DEFENCE}"
    install(tmp_path, [("defences", "broken", "mine:Halved"), ("defences", "lost", "gone:Lost")], {"mine.py": broken})
    code = (
        "print(len(registry.options()), make_config('omniglot', 'smoke').defence.name)\n"
        "for name in ('broken', 'lost'):\n"
        "    try: registry.find('defences', name)\n"
        "    except Exception as error: print(type(error).__name__, error)"
    )
    first, second, third = python(tmp_path, code).splitlines()
    assert first.endswith(" experiment")
    for line, name, module in ((second, "broken", "nothing_there"), (third, "lost", "gone")):
        assert line == (
            f"PluginError the package mine has the defence {name}, but does not import: ModuleNotFoundError: No module "
            f"named '{module}'"
        )


@pytest.mark.parametrize(
    ("points", "named"),
    [
        ([("defences", "matching", "mine:Halved")], "tfmeta and the package mine all define the defence matching"),
        ([("defences", "odd", "mine:number")], "mine:number is not a class derived from Defence"),
        ([("attacks", "odd", "mine:Halved")], "mine:Halved is not a class derived from Attack"),
        ([("defences", "../odd", "mine:Halved")], "unknown defence '../odd'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, points, named):
    install(tmp_path, points, {"mine.py": DEFENCE})
    ((kind, name, _),) = points
    code = f"try: registry.find({kind!r}, {name!r})\nexcept Exception as error: print(type(error).__name__, error)"
    assert named in python(tmp_path, code)


def test_two_plugins_of_one_name_are_refused(tmp_path):
    install(tmp_path, [("defences", "halved", "mine:Halved")], {"mine.py": DEFENCE})
    install(tmp_path, [("defences", "halved", "yours:Halved")], {"yours.py": DEFENCE}, "yours")
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "halved.py").write_text(DEFENCE)
    code = (
        "from tfmeta.plugins.outside import use_file\n"
        f"for function, *given in ((registry.find, 'defences', 'halved'), (use_file, '{tmp_path}/file/halved.py')):\n"
        "    try: function(*given)\n"
        "    except Exception as error: print(error)"
    )
    first, second = python(tmp_path, code).splitlines()
    assert first == "the package mine and the package yours all define the defence halved: uninstall all but one"
    assert second.endswith(
        "halved.py and the package mine and the package yours both define the defence halved: rename one"
    )


def test_an_object_of_an_installed_class_has_its_entry_points_name(tmp_path):
    install(tmp_path, [("defences", "shrunk", "mine:Halved")], {"mine.py": DEFENCE})
    code = (
        "from tfmeta.plugins.given import settings_of\n"
        "from mine import Halved\n"
        "print(settings_of('defences', Halved(share=0.25)), registry.find('defences', 'shrunk') is Halved)"
    )
    assert python(tmp_path, code) == "{'defence.name': 'shrunk', 'defence.share': 0.25} True\n"
