"""Figure 3: benign meta-training after the attack, over rounds (experiment 1)."""

from figures import FIGURES, layouts


def draw(folder, out):
    """Draw figure 3 from the results of ``folder``; see ``FigureSpec.draw``."""
    spec = FIGURES["fig3"]
    return layouts.panels(folder, out, name=spec.name, experiment=spec.experiment, datasets=spec.datasets)
