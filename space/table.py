"""The table of many galaxies: facets with counts, rows that open one galaxy, and the drop zone before there are any."""

from collections import Counter
from html import escape

from batches import BATCH_SECONDS, MAX_BATCH, MAX_BATCH_BYTES, Row
from icons import icon
from page import FORMATS
from votes import percent

from galaxy_vision.inference.describe import NO_CAPTION

DOUBTFUL, FAILED = "doubtful", "failed"


def empty(message: str = "") -> str:
    """Return the drop zone; ``message`` is why the last files cannot be described, as HTML."""
    return f"""<div class="gv-stage gv-stage-many"><div class="gv-hero gv-sky">
<div class="gv-drop"><i class="gv-corner"></i><div class="gv-in"><h2>Put many galaxies here</h2>
<p>Images of one galaxy each, or zip files of them.</p>
<button type="button" class="gv-pick gv-choose-many">Choose images</button></div></div>
<p class="gv-foot">{FORMATS}, or zip</p></div>
<div class="gv-side">{message}<h1 class="gv-big">A table of many galaxies</h1>
<p class="gv-lead">Class, sentence and votes of each; filter them, sort them, open one, take the whole table home.</p>
<ul class="gv-limits"><li><b>{MAX_BATCH}</b> images</li><li><b>{MAX_BATCH_BYTES >> 20}&nbsp;MiB</b> in all</li>
<li><b>{BATCH_SECONDS}&nbsp;s</b> of time</li></ul>
<p class="gv-lead">A file that cannot be read becomes a row that says why. For catalogues of any size there is
<code>galaxy-vision predict</code>.</p></div></div>"""


def progress(done: int, total: int, seconds: float) -> str:
    """Return how many images of a batch are described, and how long the others will take."""
    left = seconds / done * (total - done)
    return f"""<div class="gv-progress"><p role="status">{done} of {total} described, about {left:.0f} s left.</p>
<div role="progressbar" aria-label="images described" aria-valuenow="{done}" aria-valuemin="0" aria-valuemax="{total}">
<i style="width:{100 * done / total:.1f}%"></i></div></div>"""


def table(rows: list[Row], picker: str, seconds: float) -> str:
    """Return the table of a batch; the script of the page filters and sorts it.

    Args:
        rows: at least one.
        picker: of whose votes they are, as HTML; may be empty.
        seconds: that they took.
    """
    keys = [name for name in rows[0].summary if name not in ("file", "status", "class", "probability", "caption")]
    described = sum(row.is_described for row in rows)
    plural = "s" if len(rows) != 1 else ""
    head = "".join(
        [
            '<th scope="col"><span class="gv-hidden">picture</span></th>',
            _sortable("class", "class"),
            _sortable("probability", "probability"),
            _sortable("sentence", "sentence"),
            *(_sortable(key, key, " gv-key") for key in keys),
        ]
    )
    body = "".join(_row(index, row, keys) for index, row in enumerate(rows))
    return f"""<div class="gv-bar"><div><h1>{len(rows)} image{plural}</h1>
<p role="status">{described} of {len(rows)} images described in {seconds:.0f} s. Press a row to open it as one
galaxy. {picker}</p></div><div class="gv-acts"><button type="button" class="gv-btn gv-csv">{icon("down")}CSV</button>
<button type="button" class="gv-btn gv-parquet">{icon("down")}Parquet</button>
<button type="button" class="gv-btn gv-main gv-choose-many">{icon("plus")}New images</button></div></div>
<div class="gv-sift">{_facets(rows)}<label class="gv-find">Find in names and sentences
<input type="search" class="gv-search" placeholder="bar, 1066, ..."></label></div>
<table class="gv-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<p class="gv-none" hidden>No row has all of this.
<button type="button" class="gv-btn gv-all-rows">Show all</button></p>"""


def _facets(rows: list[Row]) -> str:
    """Return a button for every class, and for doubtful and failed images, with their numbers."""
    classes = Counter(row.summary["class"] for row in rows if row.is_described)
    counts = [("all", len(rows), ""), *((label, number, "") for label, number in classes.most_common())]
    counts.append((DOUBTFUL, sum(bool(row.doubts) for row in rows), " gv-warn"))
    counts.append((FAILED, sum(not row.is_described for row in rows), " gv-bad"))
    buttons = "".join(
        f'<button type="button" class="gv-facet{kind}" data-facet="{escape(name)}" '
        f'aria-pressed="{"true" if name == "all" else "false"}" style="--n:{number / len(rows):.3f}">'
        f"<b>{number}</b>{escape(name)}<i></i></button>"
        for name, number, kind in counts
        if number
    )
    return f'<div class="gv-facets" role="group" aria-label="Filter by class">{buttons}</div>'


def _sortable(name: str, key: str, kind: str = "") -> str:
    button = f'<button type="button" class="gv-sort" data-key="{key}">{name}</button>'
    return f'<th scope="col" class="gv-col{kind}" aria-sort="none">{button}</th>'


def _row(index: int, row: Row, keys: list[str]) -> str:
    summary, name = row.summary, escape(row.summary["file"])
    if not row.is_described:
        return f"""<tr class="gv-failed" data-facets="{FAILED}">
<td><span class="gv-noimg" aria-hidden="true">?</span></td>
<td class="gv-kl"><b class="gv-why">not read</b><small>{name}</small></td>
<td class="gv-pr"></td>
<td class="gv-cap gv-why" colspan="{1 + len(keys)}">{escape(summary["status"])}</td></tr>"""
    facets = " ".join([escape(summary["class"]).replace(" ", "_"), *([DOUBTFUL] if row.doubts else [])])
    reasons = ", ".join(row.doubts).replace("_", " ")
    doubt = f'<span class="gv-flag">doubtful: {escape(reasons)}</span>' if row.doubts else ""
    caption = summary["caption"] if summary["caption"].strip() else NO_CAPTION
    cells = "".join(_key_cell(summary[key]) for key in keys)
    maybe = " gv-maybe" if row.doubts else ""
    share = 100 * summary["probability"]
    return f"""<tr data-facets="{facets}"><td><img src="{row.thumbnail}" width="56" height="56" alt=""></td>
<td class="gv-kl"><button type="button" class="gv-open-row" data-event="row" data-index="{index}">
{escape(summary["class"])}</button><small>{name}</small></td>
<td class="gv-pr" data-value="{summary["probability"]}"><span class="gv-pbar{maybe}"
style="--v:{share:.0f}%"><i></i>{percent(summary["probability"])}</span></td>
<td class="gv-cap">{escape(caption)} {doubt}</td>{cells}</tr>"""


def _key_cell(value: float | None) -> str:
    if value is None:
        return '<td class="gv-c5"></td>'
    return f'<td class="gv-c5" data-value="{value}"><span style="--v:{100 * value:.0f}%">{percent(value)}</span></td>'
