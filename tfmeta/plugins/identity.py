"""What decides a number beside the configuration and the data: plug-ins, and the code of the package.

Each stage has the plug-ins and the code of its own and of earlier stages, like its fields. So an edited defence leaves
models as they are, and an edited trigger leaves pre-training.
"""

from typing import Any

from tfmeta import registry
from tfmeta.config import STAGES, Config
from tfmeta.plugins import code, sources
from tfmeta.plugins.base import Plugin
from tfmeta.store.compare import BUILT_IN, OUTSIDE

# The modules from which all code of a stage can be reached by imports; plug-ins are added to them.
_TRAINING = tuple(f"tfmeta.federated.{name}" for name in ("client_data", "clients", "jobs", "rounds", "timeline"))
_BUILDS = "tfmeta.registry"  # it decides which options a plug-in gets
_RUNTIMES = {
    "tff": ("tfmeta.federated.tff.boosted_aggregation", "tfmeta.federated.tff.process"),
    "inprocess": ("tfmeta.federated.in_process",),
}
_EVALUATION = tuple(f"tfmeta.meta_learning.{name}" for name in ("adaptation", "evaluation", "tasks"))
_LATER = {"partition": ("tfmeta.attacks", "tfmeta.defences"), "pretraining": ("tfmeta.attacks", "tfmeta.defences")}


def identity(config: Config, stage: str, dataset: str, partition: str, defence: Plugin | None = None) -> dict[str, Any]:
    """Return what decides a stage's numbers, for manifests: `plugins` by kind, and `code`, digests by module.

    Args:
        config: The configuration.
        stage: One of `STAGES`.
        dataset: The data set's name.
        partition: The digest of who owns which images. It stands for the code that reads and divides them.
        defence: The defence that is measured, if one is.
    """
    plugins, names = {"datasets": _of_dataset(dataset, partition)}, list(core(config, stage))
    for kind, about in registry.KINDS.items():
        if about.selector is None or STAGES.index(about.stage) > STAGES.index(stage):
            continue
        plugin = defence if kind == "defences" else registry.build(kind, config)
        if plugin is not None:
            plugins[kind], imported = described(plugin)
            names += imported
    own = {module for entry in plugins.values() if entry["origin"] == BUILT_IN for module in entry["code"]}
    found = code.modules(*names, without=_LATER.get(stage, ()))
    return {"plugins": plugins, "code": {name: digest for name, digest in found.items() if name not in own}}


def core(config: Config, stage: str) -> tuple[str, ...]:
    """Return the modules of the package from which a stage's code can be reached, without plug-ins."""
    if stage == "partition":
        return ()
    training = (_BUILDS, *_TRAINING, *_RUNTIMES[config.federation.runtime])
    return (*training, *code.ALONE, *_EVALUATION) if stage == "evaluation" else training


def described(plugin: Plugin) -> tuple[dict[str, Any], list[str]]:
    """Return the entry of a bound plug-in in `plugins`, and the names of the package that its code imports."""
    kind, module = plugin.KIND, type(plugin).__module__
    entry = {"name": plugin.NAME, "options": {name: getattr(plugin, name) for name in plugin.OPTIONS}}
    if registry.is_built_in(kind, plugin.NAME):
        return {**entry, "origin": BUILT_IN, "code": {module: code.digest_of(module)}}, [module]
    outside = sources.digest_of(type(plugin))
    return {**entry, "origin": OUTSIDE, "code": outside.digest}, sorted(outside.modules)


def remember() -> None:
    """Take the digests of the package now; what was loaded goes on running when a file is edited later."""
    kinds = [(kind, about) for kind, about in registry.KINDS.items() if kind != "datasets"]
    own = [f"{about.package}.{name}" for kind, about in kinds for name in registry.names(kind)]
    code.modules(*code.ALONE, *_TRAINING, *(name for names in _RUNTIMES.values() for name in names), *_EVALUATION, *own)


def _of_dataset(name: str, partition: str) -> dict[str, Any]:
    """Return a data set's entry: its images have a digest of their own, so the partition is what is left."""
    entry, short = {"name": name, "options": {}}, code.short(partition)
    if registry.is_built_in("datasets", name):
        return {**entry, "origin": BUILT_IN, "code": {f"the partition of {name}": short}}
    return {**entry, "origin": OUTSIDE, "code": short}
