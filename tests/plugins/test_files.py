"""Plug-ins from files: what they register, and that every mistake ends in one sentence that names it."""

import pytest
from plugin_files import ALL, DEFENCE, TRIGGER, defence, write

from tfmeta import registry
from tfmeta.config import make_config
from tfmeta.errors import PluginError
from tfmeta.plugins.outside import failure_of_plugin, use_file

pytestmark = pytest.mark.usefixtures("forget_plugins")


@pytest.mark.parametrize("kind", registry.KINDS)
def test_a_file_defines_a_plug_in_named_after_it(kind, tmp_path):
    path = write(tmp_path, "my_own", ALL[kind])
    (plugin,) = use_file(path)
    name = "my-own" if kind == "datasets" else "my_own"
    assert name in registry.names(kind) and registry.find(kind, name) is plugin
    assert registry.origin(kind, name) == f"the file {path}"
    assert registry.summary(kind, name) == plugin.__doc__ and not registry.is_built_in(kind, name)


def test_a_file_may_define_a_plug_in_of_each_kind_and_import_others_beside_it(tmp_path):
    write(tmp_path, "beside", "SHARE = 0.25")
    hidden = "\n\nclass _Hidden(Halved):\n    pass\n"
    path = write(tmp_path, "several", f"from beside import SHARE\n{DEFENCE}{TRIGGER}{hidden}")
    assert {plugin.KIND for plugin in use_file(path)} == {"defences", "triggers"}
    assert [plugin.__name__ for plugin in use_file(path)] == ["Halved", "Stripes"]  # the same file again


def test_options_become_fields(tmp_path):
    assert "defence.share" not in registry.options()
    use_file(write(tmp_path, "halved", DEFENCE))
    config = make_config("omniglot", "smoke", defence="halved", share=0.25)
    assert config.options == (("defence.share", 0.25),)
    assert registry.build("defences", config).share == 0.25


def test_annotations_may_be_strings(tmp_path):
    options = "share: float = 0.5\ndelta: float = shared()\nnone: str"
    text = "from __future__ import annotations\n" + defence(options)
    with pytest.raises(PluginError, match=r"Mine\.none: an option needs a default"):
        use_file(write(tmp_path, "bad", text))
    (plugin,) = use_file(write(tmp_path, "good", text.replace("    none: str\n", "")))
    bound = plugin().bind(make_config("omniglot", "smoke", delta=0.7))
    assert (bound.share, bound.delta) == (0.5, 0.7)


MISTAKES = {
    "missing": (None, "there is no such Python file"),
    "1st": ("", "the file's name becomes the plug-in's"),
    "no_package": ("import os\nimport nothing_there", "line 2, 'import nothing_there': ModuleNotFoundError"),
    "not_python": ("def f(:\n    pass", r"line 1, 'def f\(:': SyntaxError"),
    "ends": ("import sys\nsys.exit(0)", r"line 2, 'sys.exit\(0\)': SystemExit"),
    "nothing": ("x = 1", "defines no plug-in: derive a class from one of tfmeta.datasets.base.Dataset"),
    "two": (defence() + "\n\nclass Other(Mine):\n    pass\n", "defines Mine and Other, but the file's name"),
    "no_kind": ("from tfmeta.plugins import Plugin\nclass P(Plugin):\n    pass", "P is a plug-in of no kind"),
    "no_hook": (defence("x: int = 1", adapt=""), r"Mine defines no adapt; the contract asks for adapt\(self, model"),
    "bad_hook": (defence("def adapt(self, model): pass", adapt=""), r"Mine.adapt\(self, model\) does not fit"),
    "no_method": (defence("adapt = 3", adapt=""), "Mine.adapt is no method"),
    "matching": (defence(), "matching.py and the package tfmeta both define the defence matching: rename one"),
    "experiment": (defence(), "'experiment' cannot be the name of a defence"),
    "taken": (defence("delta: float = 0.5"), r"has a field delta already; write `delta: float = shared\(\)`"),
    "no_field": (defence("share: float = shared()"), "Mine.share: the group defence has no such field to share"),
    "no_default": (defence("share: float"), r"Mine.share: an option needs a default, such as `share: float = ...`"),
    "no_type": (defence("share: list = None"), "Mine.share: an option is an int, a float, a str or a bool"),
    "not_typed": (defence('share = number(0.5, "", 0, 1)'), "'share' is a field but has no type annotation"),
    "wrong_type": (defence("share: int = 0.5"), "Mine.share: its default = 0.5 .*give a whole number"),
    "not_finite": (defence("share: float = float('nan')"), "Mine.share: its default = nan .*finite"),
    "range": (defence('share: float = number(5, "", 0, 1)'), "Mine.share: its default = 5.0 .*from 0 to 1"),
    "method": (defence("settings: int = 1"), "cannot be named settings, which is a method"),
    "head": (defence("head = 'prototypes'"), "Mine.head = 'prototypes': give one of softmax, matching"),
    "typed": (defence("head: str = 'softmax'"), "is a class variable of the contract: write it without a type"),
    "escapes": (defence('share: float = number(0.5, "\\x1b[31m", 0, 1)'), "letters that can be printed"),
    "init": (defence("def __init__(self, factor=0.5):\n    pass"), "Mine defines __init__, .*state belongs in options"),
    "new": (defence("def __new__(cls, *args):\n    pass"), "Mine defines __new__, .*state belongs in options"),
    "post_init": (defence("def __post_init__(self):\n    pass"), "Mine defines __post_init__, .*belongs in options"),
    "from_mixin": (
        defence(before="class Mixin:\n    def __post_init__(self):\n        pass\n").replace("(Def", "(Mixin, Def"),
        "Mine defines __post_init__, .*state belongs in options",
    ),
    "list": (defence("share: list = [1]"), "Mine.share: an option is an int, a float, a str or a bool"),
    "decorated": (
        defence(before="import dataclasses\n@dataclasses.dataclass"),
        r"'@dataclasses.dataclass': TypeError.*leave out @dataclass",
    ),
    "inherited": (
        defence("share: float = 0.5", after="\n\nclass _Other(Mine):\n    share = 0.3\n"),
        "_Other.share is an inherited option: write its new default as `share: float = ...`",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_in_one_line(name, tmp_path):
    text, named = MISTAKES[name]
    path = tmp_path / f"{name}.py" if text is None else write(tmp_path, name, text)
    with pytest.raises(PluginError, match=named) as raised:
        use_file(path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)
    assert registry.origin("defences", "matching") == "built in"


def test_a_link_has_its_own_name(tmp_path):
    (tmp_path / "linked.py").symlink_to(write(tmp_path, "halved", DEFENCE))
    (plugin,) = use_file(tmp_path / "linked.py")
    assert plugin.NAME == "linked" and "halved" not in registry.names("defences")


def test_a_class_variable_may_be_a_list(tmp_path):
    (plugin,) = use_file(write(tmp_path, "good", defence("one: ClassVar[list] = [1]", before="from typing import *\n")))
    assert plugin.one == [1] and not plugin.OPTIONS


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    first, second = write(tmp_path, "halved", DEFENCE), write(tmp_path / "other", "halved", DEFENCE)
    use_file(first)
    with pytest.raises(PluginError, match="have one name: rename one"):
        use_file(second)


def test_a_file_that_was_corrected_can_be_used(tmp_path):
    with pytest.raises(PluginError):
        use_file(write(tmp_path, "halved", DEFENCE.replace("0.5", "5")))
    use_file(write(tmp_path, "halved", DEFENCE))
    assert "halved" in registry.names("defences")


def test_an_error_is_a_plug_ins_if_it_or_its_cause_or_its_text_names_a_line_of_the_file(tmp_path):
    path = write(tmp_path, "raises", defence(adapt="return weights.nothing"))
    (plugin,) = use_file(path)
    number = path.read_text().splitlines().index("        return weights.nothing") + 1
    told = f"{path}, line {number}, 'return weights.nothing': "
    with pytest.raises(AttributeError) as direct:
        plugin().adapt(*[None] * 8)
    assert failure_of_plugin(direct.value).startswith(f"{told}AttributeError: ")
    wrapped = RuntimeError("a round failed")
    wrapped.__cause__ = direct.value
    assert failure_of_plugin(wrapped).startswith(f"{told}AttributeError: ")
    translated = TypeError(f'in user code:\n  File "{path}", line {number}, in adapt  *')
    assert failure_of_plugin(translated).startswith(f"{told}TypeError: ")
    assert failure_of_plugin(ValueError("another's")) is None
