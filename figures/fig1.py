"""Figure 1: the target class, the backdoor classes, the key, the attack's training set."""

from figures import FIGURES, illustration


def draw(folder, out):
    """Draw figure 1 from the pictures in ``folder``; see ``FigureSpec.draw``."""
    spec = FIGURES["fig1"]
    return illustration.pictures(folder, out, name=spec.name, experiment=spec.experiment, datasets=spec.datasets)
