"""Files with plug-ins, as a reader writes them."""

_IMPORTS = """\
import tensorflow as tf
from tfmeta.defences.base import Defence
from tfmeta.plugins import number, shared
"""
_ADAPT = "def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):"

DEFENCE = f'''
from tfmeta.defences.base import Defence
from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.plugins import number


class Halved(Defence):
    """Shrinks the weights, then fine-tunes them."""

    share: float = number(0.5, "share of the weights that stays", 0, 1)

    {_ADAPT}
        weights = [self.share * weight for weight in weights]
        return FineTuning().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)
'''
TRIGGER = '''
import numpy as np
from tfmeta.attacks.triggers.base import PatternTrigger


class Stripes(PatternTrigger):
    """Vertical stripes."""

    def pattern(self, size):
        return np.indices([size, size])[1] % 2 == 0
'''
ATTACK = '''
from tfmeta.attacks.model_replacement import ModelReplacement


class Shrunk(ModelReplacement):
    """The paper's attack with a part of the update."""

    share: float = 0.5

    def craft_update(self, theta, trained, reference, context):
        return [self.share * (new - old) for new, old in zip(trained, theta)]
'''
AGGREGATION = '''
import numpy as np
from tfmeta.aggregations.base import Aggregation, total


class Plain(Aggregation):
    """The sum of all updates."""

    def tff_factory(self):
        import tensorflow_federated as tff
        return tff.aggregators.SumFactory()

    def numpy_rule(self, updates):
        return total(updates)
'''
MODEL = '''
import tensorflow as tf
from tfmeta.models.base import Model


class Small(Model):
    """One convolution."""

    width: int = 4

    def keras_model(self, image_shape, ways, seed):
        layers = tf.keras.layers
        first = [tf.keras.Input(image_shape), layers.Conv2D(self.width, 3, strides=3, activation="relu")]
        return tf.keras.Sequential([*first, layers.Flatten(), layers.Dense(ways, name="logits")])
'''
DATASET = '''
import numpy as np
from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank


class Dots(Dataset):
    """Random dots."""

    display_name = "dots"

    def open(self, data_dir, cache_dir, download=True):
        random = np.random.default_rng(0)
        clean = random.integers(0, 2, (60, 1, 20, 20, 1)).repeat(40, 1)
        images = np.where(random.random(clean.shape) < 0.1, 1 - clean, clean) * 255
        return ImageBank(self.NAME, images.astype(np.uint8), tuple(f"dots {number}" for number in range(60)))
'''
ALL = {
    "datasets": DATASET, "models": MODEL, "aggregations": AGGREGATION, "triggers": TRIGGER, "attacks": ATTACK,
    "defences": DEFENCE,
}  # fmt: skip


def defence(body="", adapt="return None", before="", after=""):
    """Return a file with the defence `Mine`: lines of the class's body, of `adapt`, and before and after the class."""
    hook = [_ADAPT, *(f"    {line}" for line in adapt.splitlines())] if adapt else []
    lines = [*body.splitlines(), *hook] or ["pass"]
    return "\n".join([_IMPORTS + before, "class Mine(Defence):", *(f"    {line}" for line in lines), after])


def write(folder, name, text):
    """Write a file; return its path."""
    path = folder / f"{name}.py"
    path.write_text(text)
    return path
