"""A contact sheet of what was found: an HTML page without other files, or a PNG."""

import base64
import io
import textwrap
from collections.abc import Mapping
from pathlib import Path

import jinja2
import pandas as pd
from PIL import Image

from ..runtime.files import written_whole
from .find import Found
from .query import Query

SIDE = 192
"""Pixels of a thumbnail. Ours: 24 of them are 300 kB."""
COLUMNS = 6

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { margin: 2rem; background: #14161a; color: #e8e6e1; font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.25rem; font-weight: 600; margin: 0 0 .4rem }
p { margin: .2rem 0; color: #b9b6ae }
ol { display: grid;
  grid-template-columns: repeat(auto-fill, minmax(208px, 1fr)); gap: 1rem; padding: 0; margin: 1.5rem 0;
  list-style: none }
li { background: #1d2026; border-radius: 8px; overflow: hidden }
li img, li .none { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; background: #000 }
li .none { display: grid; place-items: center; color: #8d8a83 }
li div.text { padding: .6rem .75rem .75rem }
li h2 { display: flex; justify-content: space-between; gap: .5rem; font-size: .9rem; margin: 0 0 .3rem }
li h2 b { overflow: hidden; text-overflow: ellipsis; font-weight: 600 }
li h2 span { font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: 1fr auto; gap: .1rem .6rem; margin: .4rem 0 0; font-size: .82rem }
dd { margin: 0; font-variant-numeric: tabular-nums }
dl div { grid-column: 1 / -1; height: 4px; border-radius: 2px; background: #343840; overflow: hidden }
dl div i { display: block; height: 100%; background: #7fc8a9 }
</style></head><body>
<h1>{{ title }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}<ol>
{% for tile in tiles %}<li>
{% if tile.image %}<img src="data:image/jpeg;base64,{{ tile.image }}" alt="{{ tile.caption }}">
{% else %}<div class="none">no image</div>
{% endif %}<div class="text"><h2><b>{{ tile.name }}</b><span title="score">{{ "%.2f" % tile.score }}</span></h2>
<p>{{ tile.caption }}</p>
{% if tile.clauses %}<dl>{% for clause, probability in tile.clauses %}<dt>{{ clause }}</dt>
<dd>{{ "%.0f" % (100 * probability) }} %</dd><div><i style="width: {{ "%.1f" % (100 * probability) }}%"></i></div>
{% endfor %}</dl>{% endif %}</div></li>
{% endfor %}</ol></body></html>
"""


def write_gallery(
    found: Found, query: Query | None, images: Mapping[str, Image.Image], path: Path, title: str, lines: list[str]
) -> None:
    """Write a contact sheet, whole or not at all.

    Args:
        found: rows, at best a few dozen.
        query: whose clauses have the probabilities of the rows; None without a sentence.
        images: by source.
        path: ends with .html or .png.
        title: of the page.
        lines: what is said below the title.
    """
    tiles = [_tile(row, query, images) for _, row in found.rows.iterrows()]
    with written_whole(path) as partial:
        if path.suffix.lower() == ".html":
            for tile in tiles:
                tile["image"] = _embedded(tile["image"])
            template = jinja2.Environment(autoescape=True).from_string(_PAGE)
            partial.write_text(template.render(title=title, lines=lines, tiles=tiles), encoding="utf-8")
        else:
            _draw(tiles, title, partial)


def _tile(row: pd.Series, query: Query | None, images: Mapping[str, Image.Image]) -> dict:
    asked = query.clauses if query else ()
    names = [name for name in row.index if name.startswith("p_")][: len(asked)]
    clauses = [(str(clause), float(row[name])) for clause, name in zip(asked, names, strict=True)]
    image = images.get(row.get("source"))
    return {
        "name": str(row.get("id", "")),
        "score": float(row["score"]),
        "caption": str(row.get("caption") or row.get("class") or ""),
        "clauses": clauses,
        "image": image and _reduced(image),
    }


def _reduced(image: Image.Image) -> Image.Image:
    """Return the middle square of an image at the size of a thumbnail."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    size = min(side, SIDE)
    return image.resize((size, size), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def _embedded(image: Image.Image | None) -> str:
    if image is None:
        return ""
    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=85)
    return base64.b64encode(data.getvalue()).decode()


def _draw(tiles: list[dict], title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no display is needed
    from matplotlib import pyplot as plt

    columns = min(COLUMNS, max(len(tiles), 1))
    rows = max(-(-len(tiles) // columns), 1)
    most = max((len(tile["clauses"]) for tile in tiles), default=0)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.3 * columns, (2.9 + 0.16 * most) * rows + 0.5), layout="constrained", squeeze=False
    )
    for axes, tile in zip(grid.flat, tiles, strict=False):
        if tile["image"] is not None:
            axes.imshow(tile["image"])
        clauses = "\n".join(f"{clause} {probability:.0%}" for clause, probability in tile["clauses"])
        caption = textwrap.fill(tile["caption"], 34, max_lines=3, placeholder=" ...")
        axes.set_title(f"{tile['name']}   {tile['score']:.2f}", fontsize=8)
        axes.set_xlabel("\n".join(filter(None, [clauses, caption])), fontsize=6.5, parse_math=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_frame_on(False)
    figure.suptitle(title, fontsize=11, parse_math=False)
    figure.savefig(path, dpi=120, format="png")
    plt.close(figure)
