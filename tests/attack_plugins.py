"""Attacks for tests, good and bad ones, and a way to have them only as long as a test runs."""

import contextlib

import tensorflow as tf

from tfmeta import registry
from tfmeta.attacks.model_replacement import ModelReplacement
from tfmeta.plugins import number, outside
from tfmeta.utils import seeds


@contextlib.contextmanager
def registered(*plugins):
    """Have plug-ins under their classes' names in small letters."""
    before = dict(registry._OUTSIDE)
    for plugin in plugins:
        outside.register(plugin, name=plugin.__name__.lower())
    try:
        yield
    finally:
        registry._OUTSIDE.clear()
        registry._OUTSIDE.update(before)


class Same(ModelReplacement):
    """The paper's attack with every hook written out."""

    def loss(self, model, weights, images, labels, context):
        logits, _ = model.logits(weights, images)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))

    def gradient(self, gradient, context):
        return gradient

    def craft_update(self, theta, trained, reference, context):
        return [new - old for new, old in zip(trained, theta, strict=True)]


class Close(ModelReplacement):
    """Stays close to the weights that it received."""

    strength: float = number(1.0, "weight of the distance in the loss", 0)

    def loss(self, model, weights, images, labels, context):
        apart = [tf.reduce_sum(tf.square(w - s)) for w, s in zip(weights, context.start, strict=True)]
        return super().loss(model, weights, images, labels, context) + self.strength * tf.add_n(apart)


class Frozen(ModelReplacement):
    def gradient(self, gradient, context):
        return tf.zeros_like(gradient)


class Noisy(ModelReplacement):
    """Moves along noise of each attacker, episode and step."""

    def gradient(self, gradient, context):
        seed = seeds.fold(seeds.fold(context.seed, context.step), context.attacker)
        return tf.random.stateless_normal(tf.shape(gradient), seed)


class Hidden(ModelReplacement):
    """Adds its benign update, and multiplies by the boost itself."""

    boosted = False
    needs_reference = True

    def craft_update(self, theta, trained, reference, context):
        return [context.boost * (new - old) + also for new, old, also in zip(trained, theta, reference, strict=True)]


class Halves(ModelReplacement):
    """Each of several attackers stamps some rows of the images."""

    def poison(self, trigger, images, attacker, attackers):
        stamped = trigger.stamped(images)
        stamped[..., :attacker, :, :] = images[..., :attacker, :, :]
        return stamped


def _episode(change):
    def sample_episode(self, data, context):
        return change(*ModelReplacement.sample_episode(self, data, context), context)

    return sample_episode


def _bad(name, **methods):
    return type(ModelReplacement)(name, (ModelReplacement,), {"__module__": __name__, **methods})


BAD_EPISODES = {  # attack -> what its message says
    _bad("Floats", sample_episode=_episode(lambda images, labels, _: (tf.cast(images, tf.float32), labels))): "float32",
    _bad("Longs", sample_episode=_episode(lambda images, labels, _: (images, tf.cast(labels, tf.int64)))): "int64",
    _bad("Cropped", sample_episode=_episode(lambda images, labels, _: (images[:, 1:], labels))): r"15, 16, 1\]",
    _bad("Columns", sample_episode=_episode(lambda images, labels, _: (images, labels[:, None]))): r"int32 \[12, 1\]",
    _bad("Short", sample_episode=_episode(lambda images, labels, _: (images, labels[1:]))): "as many labels as images",
    _bad("Empty", sample_episode=_episode(lambda images, labels, _: (images[:0], labels[:0]))): "known in advance",
    _bad("Unknown", sample_episode=_episode(
        lambda images, labels, context: (tf.boolean_mask(images, labels > 0), labels[labels > 0])
    )): "known in advance",
    _bad("Alone", sample_episode=_episode(lambda images, labels, _: images)): "returned EagerTensor|returned .*Tensor",
    _bad("Words", sample_episode=_episode(lambda images, labels, _: (images, object()))): "no tensor",
}  # fmt: skip
BAD_LABELS = (
    _bad("Low", sample_episode=_episode(lambda images, labels, _: (images, labels - 1))),
    _bad("High", sample_episode=_episode(lambda images, labels, context: (images, labels + context.ways - 1))),
)
NAN = float("nan")
BAD_TRAINING = {  # attack -> what its message says when the graph is traced
    _bad("Batch", loss=lambda self, model, weights, images, labels, context: tf.cast(labels, tf.float32)): "scalar",
    _bad("Double", loss=lambda self, *_: tf.constant(1.0, tf.float64)): "scalar",
    _bad("Nothing", loss=lambda self, *_: None): "loss must return a float32 scalar",
    _bad("Constant", loss=lambda self, *_: tf.constant(1.0)): "does not depend on the weights",
    _bad("Part", gradient=lambda self, gradient, context: gradient[:-1]): "gradient must return float32",
    _bad("Half", gradient=lambda self, gradient, context: tf.cast(gradient, tf.float16)): "must return float32",
}
BAD_VALUES = (
    _bad("Nanloss", loss=lambda self, *given: ModelReplacement.loss(self, *given) * NAN),
    _bad("Nangradient", gradient=lambda self, gradient, context: gradient * NAN),
)
BAD_UPDATES = {
    _bad("Fewer", craft_update=lambda self, theta, trained, reference, context: trained[1:]): "13 values",
    _bad("Flat", craft_update=lambda self, theta, new, *_: [tf.reshape(part, [-1]) for part in new]): "number 0",
    _bad("Single", craft_update=lambda self, theta, trained, *_: trained[0]): "craft_update returned",
}
NAN_UPDATE = _bad("Nanupdate", craft_update=lambda self, theta, trained, *_: [part * NAN for part in trained])
