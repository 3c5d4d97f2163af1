"""The tab *One galaxy*: an image, what the models predict for it, the evidence, another beside it, and downloads."""

from collections.abc import Callable
from functools import lru_cache

import gradio as gr
import page
import studio
import visit
from comparison import Card, comparison, waiting
from figure import sheet
from pictures import heat_url
from plate import plate, small_plate
from uploads import uploads_only, written
from verdict import body, head
from votes import path

from galaxy_vision.images.limits import STRETCHES

OUTPUTS = 6
"""Parts of the page that an image changes: session, strip, stage, result, votes, comparison."""
ARRIVED = "watch('value', () => window.galaxyVision.arrived());"
BRIDGE = """window.galaxyVision.bridge((name, data) => trigger(name, data),
  ['example', 'visited', 'row', 'redraw', 'field', 'campaign', 'compare', 'uncompare', 'figure', 'json']);"""
"""Events that the script of the page triggers. Gradio finds their names here."""
LAYER = "watch('value', () => window.galaxyVision.layer(props.value));"
SAVE = "(file) => window.galaxyVision.save(file)"
IDLE = "() => window.galaxyVision.settled()"


def _show(session: dict, source: visit.Source, field: float | None = None, again: studio.Look | None = None) -> list:
    """Return the outputs of the page for an image, or no change if another image was requested meanwhile.

    Args:
        session: the state of a visitor.
        source: of the image.
        field: times that which was found; None for a new image.
        again: the look that is shown, if its image is shown again with the votes of another campaign.
    """
    number = session["asked"] = next(visit.NUMBERS)
    try:
        look, base = _look(session, source, field, again)
    except ValueError as error:
        shown, message = None, page.note(str(error), source.name)
    else:
        shown, message = {"number": number, "source": source, "look": look}, ""
    if session["asked"] != number:
        return [gr.skip()] * OUTPUTS
    session["shown"] = shown
    if shown is None:
        return [session, _strip(session), page.stage(visit.example_thumbnails(), message, number), "", "", ""]
    if field is None:
        session["base"], session["field"] = base, 1.0
    visit.remember(session, source, look.image)
    return [session, _strip(session), page.stage(visit.example_thumbnails()), *_parts(session, look, number)]


def _look(session: dict, source: visit.Source, field: float | None, again: studio.Look | None) -> tuple:
    """Return the look at an image, and centre and radius of its frame."""
    if again is not None:
        image = again.image
    elif field is None:
        if source.key.startswith("example "):
            look = look_at_example(int(source.key.split()[1]), session["campaign"])
            return look, visit.base_of(look.image)
        image = source.read("auto")
    else:
        x, y, radius = session["base"]
        image = source.read(f"{x},{y},{radius * field}")
    return studio.look(image, source.name, session["campaign"]), visit.base_of(image)


@lru_cache(maxsize=16)
def look_at_example(index: int, campaign: str | None) -> studio.Look:
    """Return the look at an example, which is kept."""
    source = visit.example(index)
    return studio.look(source.read("auto"), source.name, campaign)


def _strip(session: dict) -> str:
    images, current = visit.thumbnails(session)
    if not session["shown"]:  # the examples stand in the stage then
        images = images[: len(session["visited"])]
    if not images:
        return ""
    is_row = bool(session["shown"]) and session["shown"]["source"].key.startswith("row ")
    return page.strip(images, current, is_from_table=is_row)


def _parts(session: dict, look: studio.Look, number: int) -> list[str]:
    """Return result, votes and comparison as HTML."""
    description, source = look.description, session["shown"]["source"]
    tree, is_one_of_several = studio.tree(session["campaign"])
    names, first = studio.campaigns()
    campaign = description["campaign"] or first
    share = f"?example={visit.EXAMPLES[int(source.key.split()[1])].stem}" if source.key.startswith("example ") else ""
    picker = page.campaign_picker(names, campaign, "campaign")
    doubted = " gv-doubted" if description["doubts"] else ""
    result = f"""<div class="gv-result{doubted}" tabindex="-1" data-number="{number}"
data-link="{share}">{plate(look, number, session["field"])}{head(description, picker)}{body(look, tree, share)}</div>"""
    whose = page.NAMES.get(campaign, campaign) if is_one_of_several else ""
    votes = path(description["votes"], tree, whose, is_hidden=bool(description["doubts"]))
    return [result, votes, _comparison(session, look, tree)]


def _comparison(session: dict, look: studio.Look, tree) -> str:
    card, pinned = Card(small_plate(look), look.description), session["pinned"]
    if pinned is None:
        return ""
    if pinned.description["image"] == look.description["image"]:
        return waiting(pinned)
    if pinned.description["campaign"] != look.description["campaign"]:
        pinned = session["pinned"] = Card(pinned.plate, pinned.description | {"votes": {}})
    return comparison(pinned, card, tree)


def show_upload(session: dict, path: str | None, hdu: str, bands: str, stretch: str, frame: str) -> list:
    """Show an uploaded file; ``frame`` is that of the options, in which it is read first."""
    if path is None:
        return [gr.skip()] * OUTPUTS
    source = visit.upload(path, hdu, bands, stretch)
    first = source._replace(read=lambda asked: source.read(frame if asked == "auto" else asked))
    return _show(session, first)


def show_example(session: dict, event: gr.EventData) -> list:
    return _show(session, visit.example(event.index))


def show_visited(session: dict, event: gr.EventData) -> list:
    return _show(session, session["visited"][event.index][0])


def show_row(session: dict, event: gr.EventData) -> list:
    """Show an image of the table of many."""
    return _show(session, visit.row(session["files"], event.index, session["names"][event.index]))


def show_linked(session: dict, request: gr.Request) -> list:
    """Show the example that the address of the page names; else nothing, the page is ready."""
    index = visit.example_index(request.query_params.get("example", ""))
    return [gr.skip()] * OUTPUTS if index is None else _show(session, visit.example(index))


def reframe(session: dict, event: gr.EventData) -> list:
    """Show the same galaxy in a field so many times as wide as that which was first shown."""
    field = float(event.field)
    if session["shown"] is None or field == session["field"]:
        return [gr.skip()] * OUTPUTS
    session["field"] = field
    return _show(session, session["shown"]["source"], field)


def choose_campaign(session: dict, event: gr.EventData) -> list:
    """Show the same image with the votes of another campaign."""
    session["campaign"] = event.campaign
    if session["shown"] is None:
        return [gr.skip()] * OUTPUTS
    return _show(session, session["shown"]["source"], session["field"], session["shown"]["look"])


def compare(session: dict) -> list:
    """Keep the galaxy that is shown, to stand beside the next."""
    look = _shown(session)["look"]
    session["pinned"] = Card(small_plate(look), look.description)
    return [session, waiting(session["pinned"])]


def stop_comparing(session: dict) -> list:
    session["pinned"] = None
    return [session, ""]


def redraw(session: dict, event: gr.EventData):
    """Return another layer of evidence, or no change if another image was requested meanwhile.

    Otherwise the map of one galaxy would appear beside the verdict on another.
    """
    shown = session["shown"]
    if shown is None:
        return gr.skip()
    heat = studio.heat_map(shown["look"].image, event.evidence, event.method)
    words = dict((value, words) for words, value in studio.targets())[event.evidence].split(": ", 1)[1]
    layer = {"number": shown["number"], "layer": heat_url(heat), "target": words, "method": event.method}
    return layer | {"empty": not heat.any()} if session["asked"] == shown["number"] else gr.skip()


def _shown(session: dict) -> dict:
    if session["shown"] is None:
        raise gr.Error(visit.DELETED, print_exception=False)
    return session["shown"]


def write_figure(session: dict, event: gr.EventData) -> str:
    look = _shown(session)["look"]
    heat = studio.heat_map(look.image, event.evidence, event.method)
    tree, _ = studio.tree(look.description["campaign"])
    drawn = sheet(look.image, look.description, tree, heat, event.evidence, event.method, float(event.opacity))
    return written(f"{studio.download_stem(look.description['image'])}.png", drawn)


def write_json(session: dict, event: gr.EventData) -> str:
    shown = _shown(session)
    description = shown["look"].description
    content = description | {
        "claims": shown["look"].claims,
        "heat_map": {"target": event.evidence, "method": event.method},
    }
    return written(f"{studio.download_stem(description['image'])}.json", studio.as_json(content).encode())


def one_galaxy(demo: gr.Blocks, session: gr.State, private: dict) -> None:
    """Add the tab; ``private`` are options that keep its events out of the API."""
    bridge = gr.HTML("<i hidden></i>", js_on_load=BRIDGE, elem_id="gv-bridge", visible="hidden")
    layer = gr.HTML(None, html_template="<i hidden></i>", js_on_load=LAYER, visible="hidden")
    file = gr.DownloadButton(visible="hidden")
    upload = uploads_only(
        gr.UploadButton("Choose an image", file_types=studio.SUFFIXES, elem_id="gv-upload", visible="hidden")
    )
    strip = gr.HTML("", elem_id="gv-strip", apply_default_css=False)
    first = page.stage(visit.example_thumbnails())
    stage = gr.HTML(first, elem_id="gv-stage", apply_default_css=False, js_on_load=ARRIVED)
    waits = gr.HTML("", elem_id="gv-comparison", apply_default_css=False)
    result = gr.HTML("", elem_id="gv-answer", apply_default_css=False, js_on_load=ARRIVED)
    with gr.Accordion("Frame, FITS and deep images", open=False, elem_id="gv-reading"):
        with gr.Row():
            hdu = gr.Textbox("", label="HDU", placeholder="first with an image", info="number or name of the extension")
            about = "one, or red, green, blue: names, or planes of a cube from 0"
            bands = gr.Textbox("", label="Bands", placeholder="i, r, g", info=about)
            about = "auto, as_is, petroR90 in px, or x,y,petroR90 of the galaxy in px"
            frame = gr.Textbox("auto", label="Frame", info=about)
        stretch = gr.Radio(
            STRETCHES, value="auto", label="Stretch", info="auto is asinh for FITS, 16-bit grey and floats"
        )
        again = gr.Button("Read the file again", size="sm")
    votes = gr.HTML("", elem_id="gv-votes", apply_default_css=False)

    outputs = [session, strip, stage, result, votes, waits]
    options = {"show_progress": "hidden", **studio.MODEL_QUEUE, **private}

    def on(event: Callable, function: Callable, inputs: list, outputs: list | None, **more) -> gr.events.Dependency:
        """Listen; whatever fails, the page does not wait for ever."""
        answer = event(function, inputs, outputs, **options | more)
        answer.failure(None, None, None, js=IDLE, **private)
        return answer

    on(demo.load, show_linked, [session], outputs)
    reading = [session, upload, hdu, bands, stretch, frame]
    on(upload.upload, show_upload, reading, outputs)
    on(again.click, show_upload, reading, outputs)
    for event, function in (
        (bridge.example, show_example),
        (bridge.visited, show_visited),
        (bridge.row, show_row),
        (bridge.field, reframe),
        (bridge.campaign, choose_campaign),
    ):
        on(event, function, [session], outputs, trigger_mode="multiple")  # the last choice is shown
    on(bridge.compare, compare, [session], [session, waits])
    on(bridge.uncompare, stop_comparing, [session], [session, waits])
    on(bridge.redraw, redraw, [session], [layer], trigger_mode="always_last")
    # Files are written at the click, from what is shown then; one prepared earlier could be of the previous galaxy.
    for event, write in ((bridge.figure, write_figure), (bridge.json, write_json)):
        on(event, write, [session], [file]).success(None, file, None, js=SAVE, **private)
