"""Calls an attack's hooks in the graph, and checks what they return.

Shapes and dtypes are checked when the graph is traced. Values are checked when it runs, by assertions that later
operations depend on, since TFF drops the others.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfmeta.attacks.base import Attack, AttackContext, AttackerData
from tfmeta.errors import PluginError
from tfmeta.meta_learning.adam import adam_step
from tfmeta.models.base import PureModel
from tfmeta.models.flat import layout_of


def episode(
    attack: Attack, data: AttackerData, context: AttackContext, refused: Callable[[str], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return an attack's episode: images uint8 [n, H, W, C] and labels int32 [n].

    Args:
        attack: The attack.
        data: The attacker's images.
        context: What the attack is told.
        refused: Function that returns the message of a failed assertion, a string scalar.

    Raises:
        PluginError: the hook returns other shapes or dtypes; raised when the graph is traced.
        tf.errors.InvalidArgumentError: a label is out of range.
    """
    asked = "sample_episode must return images uint8 [n, H, W, C] and labels int32 [n], with n known in advance"
    images, labels = _tensors(attack, "sample_episode", attack.sample_episode(data, context), 2, asked)
    wanted, found = data.target.shape[1:], f"{_words(images)} and {_words(labels)}"
    dtypes = (images.dtype, labels.dtype) == (tf.uint8, tf.int32)
    ranks = images.shape.rank == 4 and labels.shape.rank == 1 and images.shape[1:].is_compatible_with(wanted)
    if not (dtypes and ranks):
        raise PluginError(f"the attack {attack.NAME} returned {found}; {asked}, where [H, W, C] is {wanted.as_list()}")
    number, labelled = images.shape[0], labels.shape[0]
    if not number or labelled not in (None, number):
        raise PluginError(f"the attack {attack.NAME} returned {found}; {asked}, and as many labels as images")
    inside = tf.reduce_all((labels >= 0) & (labels < context.ways))
    message = refused(
        f" drew a label out of range: sample_episode of the attack {attack.NAME} must return labels from 0 to "
        f"{context.ways - 1}"
    )
    with tf.control_dependencies([tf.debugging.Assert(inside, [message])]):
        return tf.ensure_shape(images, [number, *wanted]), tf.ensure_shape(tf.identity(labels), [number])


def inner_step(attack: Attack, model: PureModel, context: AttackContext) -> Callable:
    """Return an inner step with the attack's loss and gradient, as `reptile.local_training` takes it."""
    layout, name = layout_of(model), attack.NAME

    def step(vector, adam, images, labels, learning_rate, number, seed):
        told = context._replace(seed=seed, step=number)
        with tf.GradientTape() as tape:
            tape.watch(vector)
            asked = "loss must return a float32 scalar"
            found = attack.loss(model, layout.unpack(vector), images, labels, told)
            (loss,) = _tensors(attack, "loss", [found], 1, asked)
            if loss.dtype != tf.float32 or loss.shape.rank != 0:
                raise PluginError(f"the attack {name}: {asked}, not {_words(loss)}")
        plain = tape.gradient(loss, vector)
        if plain is None:
            raise PluginError(f"the attack {name}: its loss does not depend on the weights; compute it from `weights`")
        asked = f"gradient must return float32 [{layout.size}], as long as the one it was given"
        (gradient,) = _tensors(attack, "gradient", [attack.gradient(plain, told)], 1, asked)
        if gradient.dtype != tf.float32 or not gradient.shape.is_compatible_with([layout.size]):
            raise PluginError(f"the attack {name}: {asked}, not {_words(gradient)}")
        return *adam_step(vector, gradient, adam, learning_rate), loss

    return step


def update(
    attack: Attack, theta: Sequence[tf.Tensor], trained: Sequence[tf.Tensor], reference: Sequence[tf.Tensor] | None,
    context: AttackContext,
) -> list[tf.Tensor]:  # fmt: skip
    """Return the update that an attack makes; arguments as in `Attack.craft_update`.

    Raises:
        PluginError: it is no list of float32 tensors like `theta`; raised when the graph is traced.
    """
    asked = "craft_update must return a list of float32 tensors in the shapes of theta"
    made = _tensors(attack, "craft_update", attack.craft_update(theta, trained, reference, context), len(theta), asked)
    for number, (part, like) in enumerate(zip(made, theta, strict=True)):
        if part.dtype != tf.float32 or not part.shape.is_compatible_with(like.shape):
            wrong = f"number {number} is {_words(part)}, not {_words(like)}"
            raise PluginError(f"the attack {attack.NAME}: {asked}; {wrong}")
    return [tf.ensure_shape(part, like.shape) for part, like in zip(made, theta, strict=True)]


def _tensors(attack, hook, found, number, asked):
    """Return what a hook returned as a list of `number` tensors."""
    if not isinstance(found, (list, tuple)) or len(found) != number:
        many = f"{len(found)} values" if isinstance(found, (list, tuple)) else type(found).__name__
        raise PluginError(f"the attack {attack.NAME}: {asked}; {hook} returned {many}")
    try:
        return [tf.convert_to_tensor(part) for part in found]
    except (TypeError, ValueError) as error:
        raise PluginError(f"the attack {attack.NAME}: {asked}; {hook} returned what is no tensor: {error}") from error


def _words(tensor):
    shape = "of any shape" if tensor.shape.rank is None else tensor.shape.as_list()
    return f"{tensor.dtype.name} {shape}"
