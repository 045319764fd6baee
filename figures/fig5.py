"""Figure 5: benign fine-tuning after the attack, over iterations (experiment 2)."""

from figures import FIGURES, layouts


def draw(folder, out):
    """Draw figure 5 from the results of ``folder``; see ``FigureSpec.draw``."""
    spec = FIGURES["fig5"]
    return layouts.grid(folder, out, name=spec.name, experiment=spec.experiment, datasets=spec.datasets)
