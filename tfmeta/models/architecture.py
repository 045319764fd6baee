"""A Keras model given as an object: its architecture as text, the same in every process, and a plug-in made of it."""

import functools
import hashlib
import json
import re
from typing import Any

import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models import base  # not its names: the registry takes a class for a plug-in by the names of its bases
from tfmeta.models.keras_checks import check_form, check_model

_DIGITS = 12  # of the digest in the plug-in's name
_COUNTED = re.compile(r"_(\d+)$")


def plugin_of_keras(keras: tf.keras.Model) -> type[base.Model]:
    """Return the class of a plug-in for a Keras model; the same class for equal architectures.

    Only the architecture is used, with its initializers. The weights that the model has now are not: every run draws
    its initial weights with its own seed. The plug-in is called after the model and a digest of its architecture.

    Args:
        keras: A functional or Sequential model as in `base.Model.keras_model`, of Keras' own layers and functions.

    Raises:
        ModelError: the model does not keep the contract, or has code of its own; the message names the layer.
    """
    check_form(keras)
    check_model(keras, keras.input_shape[1:], keras.output_shape[-1])
    name = re.sub(r"[^a-z0-9]+", "_", _COUNTED.sub("", keras.name).lower()).lstrip("_0123456789")[:20] or "keras"
    return _class_of(architecture_of(keras), name)


def architecture_of(keras: tf.keras.Model) -> str:
    """Return a model's architecture as JSON. Names that Keras counts, such as conv2d_7, are counted from zero."""
    written = json.loads(keras.to_json())
    config = written["config"]
    for layer in config["layers"]:
        _check_own_code(layer, f"the Keras model {keras.name}, layer {layer['config']['name']}")
    config["name"] = _COUNTED.sub("", keras.name)
    new = _counted_from_zero(config["layers"])
    return json.dumps(_renamed({"class_name": written["class_name"], "config": config}, new), sort_keys=True)


@functools.lru_cache(maxsize=32)
def _class_of(architecture, name):
    def keras_model(self, image_shape, ways, seed):
        return tf.keras.models.model_from_json(architecture)

    digest = hashlib.sha256(architecture.encode()).hexdigest()[:_DIGITS]
    # stored models are told apart by what the class is made of, and by its name
    about = {"__module__": "__main__", "__doc__": "A Keras model.", "GIVEN": architecture, "keras_model": keras_model}
    made = type(base.Model)(f"{name}_{digest}", (base.Model,), about)
    made.NAME = made.__name__
    return made


def _check_own_code(part: Any, where: str) -> None:
    """Raise `ModelError` for a layer or function whose code is not Keras' own, so that the JSON does not hold it."""
    if isinstance(part, dict):
        if part.get("registered_name") and not str(part.get("module")).startswith(("keras.", "tensorflow.")):
            raise ModelError(
                f"{where}: {part['registered_name']} is code of your own, which a model given as an object may not "
                "have; write a Model plug-in, whose keras_model builds the model"
            )
        part = list(part.values())
    for inner in part if isinstance(part, list) else []:
        _check_own_code(inner, where)


def _counted_from_zero(layers):
    """Return the new names of layers that Keras named: conv2d_3 and conv2d_7 become conv2d and conv2d_1."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for layer in layers:
        name, kind = layer["config"]["name"], layer["class_name"].lower().removesuffix("layer")
        start, found = _COUNTED.sub("", name), _COUNTED.search(name)
        if start.replace("_", "") == kind or start.startswith("tf."):
            groups.setdefault(start, []).append((int(found[1]) if found else 0, name))
    numbered = ((start, enumerate(sorted(group))) for start, group in groups.items())
    return {old: f"{start}_{n}" if n else start for start, group in numbered for n, (_, old) in group}


def _renamed(part, new):
    """Return JSON with other names of layers."""
    if isinstance(part, dict):
        return {key: _renamed(value, new) for key, value in part.items()}
    if isinstance(part, list):
        return [_renamed(value, new) for value in part]
    return new.get(part, part) if isinstance(part, str) else part
