"""Draw the packages by their floors, and the imports between them.

python docs/draw_architecture.py docs/images/architecture.png
"""

import sys
from collections import Counter

import matplotlib.pyplot as plt
from imports import FLOORS, REPOSITORY, imports, package_of
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, LINE, PAPER, ROOM = "#1d2a44", "#7f93b8", "#ffffff", "#eef2fa"


def main(path: str) -> None:
    arrows = Counter(
        (package_of(module), package_of(target))
        for module, targets in imports().items()
        for target in targets
        if package_of(module) != package_of(target)
    )
    figure, axes = plt.subplots(figsize=(9, 7.2), facecolor=PAPER)
    centres = {}
    for height, floor in enumerate(FLOORS):
        shift = 0.5 * (height % 2) * (len(floor) == 1)  # so that arrows do not pass behind a single box
        for column, package in enumerate(floor):
            centres[package] = (3.2 * (column - (len(floor) - 1) / 2) + shift, 1.25 * height)
    for (above, below), count in arrows.items():
        (x0, y0), (x1, y1) = centres[above], centres[below]
        bend = 0.12 if x1 >= x0 else -0.12
        axes.add_patch(
            FancyArrowPatch(
                (x0, y0 - 0.3),
                (x1, y1 + 0.3),
                arrowstyle="-|>",
                mutation_scale=9,
                color=LINE,
                alpha=0.75,
                shrinkA=1,
                linewidth=0.5 + 0.25 * min(count, 8),
                connectionstyle=f"arc3,rad={bend}",
                zorder=1,
            )
        )
    for package, (x, y) in centres.items():
        box = FancyBboxPatch((x - 1.05, y - 0.28), 2.1, 0.56, boxstyle="round,pad=0.02,rounding_size=0.12", zorder=2)
        box.set(facecolor=ROOM, edgecolor=INK, linewidth=1.1)
        axes.add_patch(box)
        folder = REPOSITORY / "galaxy_vision" / package
        files = len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) if folder.is_dir() else 1
        size = f"{files} file{'s' * (files > 1)}"
        axes.text(x, y + 0.07, package, ha="center", va="center", color=INK, fontsize=12, weight="bold", zorder=3)
        axes.text(x, y - 0.15, size, ha="center", va="center", color=INK, fontsize=8, zorder=3)
    axes.set(xlim=(-5, 5), ylim=(-0.6, 1.25 * len(FLOORS) - 0.6))
    axes.axis("off")
    figure.savefig(path, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main(sys.argv[1])
