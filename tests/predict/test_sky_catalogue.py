"""Positions instead of images: a run over a stand-in of the services, killed and resumed; the story of docs/sky.md."""

import json
import re
import shlex
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from conftest import REPOSITORY
from cutout_stand_in import Sky
from test_predict_runs import run, small_model

from galaxy_vision.cli import main
from galaxy_vision.predict.parts import PartWriter
from galaxy_vision.sky import fetching

ROWS = 20
FAULTS = {3: "404!", 4: "429", 7: "html!", 9: "empty", 11: "truncated", 12: "blank!"}
STATUS = {3: "not_found", 5: "no_position", 7: "not_an_image", 12: "outside_footprint"}


@pytest.fixture
def sky(monkeypatch, tmp_path):
    monkeypatch.setenv("GALAXY_VISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching.Fetcher.__init__, "__defaults__", (4, 0.0, 0.0))
    with Sky() as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_killed_run_over_positions_has_each_row_once_and_fetches_nothing_twice(sky, tmp_path, monkeypatch, capsys):
    model = small_model(tmp_path / "model")
    ra, dec = np.linspace(10, 350, ROWS).round(2), np.linspace(-60, 60, ROWS).round(2)
    ids = [str(1237648720693755918 + row) for row in range(ROWS)]
    table = pd.DataFrame({"specobjid": ids, "RA": ra, "DEC": dec, "petroR90_r": 6.0})
    table.loc[5, "RA"] = np.nan
    table.loc[::2, "petroR90_r"] = np.nan
    table.to_csv(tmp_path / "positions.csv", index=False)
    sky.faults = {(ra[row], dec[row]): [fault] for row, fault in FAULTS.items()}
    finish, parts = PartWriter.finish, []

    def killed_at_the_second(self, part):
        parts.append(part)
        if len(parts) == 2:
            raise KeyboardInterrupt
        finish(self, part)

    monkeypatch.setattr(PartWriter, "finish", killed_at_the_second)
    arguments = (model, tmp_path / "positions.csv", tmp_path / "out", "--survey", "sdss", "--id_column", "specobjid")
    with pytest.raises(KeyboardInterrupt):
        run(*arguments, rows_per_part=5)
    assert len(list((tmp_path / "out").glob("part-*"))) == 1
    frame = run(*arguments, rows_per_part=5)
    assert frame["id"].tolist() == ids and list(frame.columns[:4]) == ["specobjid", "RA", "DEC", "petroR90_r"]
    assert frame["status"].tolist() == [STATUS.get(row, "ok") for row in range(ROWS)]
    assert frame["error"][5] == "the row has no position" and "give another --survey" in frame["error"][12]
    assert set(Counter(sky.answered).values()) == {1} and sky.most_at_once <= 4
    of_known = [request for request in sky.answered if f"ra={ra[1]:.6f}" in request]
    assert len(of_known) == 1 and "scale=0.12" in of_known[0]  # 0.02 petroR90
    assert len([request for request in sky.answered if f"ra={ra[0]:.6f}" in request]) == 2  # measured first


def test_columns_that_are_missing_or_misused_are_named(sky, tmp_path, capsys):
    model = small_model(tmp_path / "model")
    (tmp_path / "positions.csv").write_text("name,x,y\nM51,1,2\n")
    run(model, tmp_path / "positions.csv", tmp_path / "out", "--survey", "sdss", code=2)
    assert "has no columns of positions, or several that could be meant; name them by" in capsys.readouterr().err
    run(model, tmp_path / "positions.csv", tmp_path / "out", code=2)
    assert "or fetch cut-outs at positions by --survey" in capsys.readouterr().err
    (tmp_path / "images.csv").write_text("id,path\n1,a.jpg\n")
    run(model, tmp_path / "images.csv", tmp_path / "out", "--survey", "CDS/P/DSS2/color", code=2)
    assert "has images; leave it out" in capsys.readouterr().err
    assert not sky.requests


def test_a_run_without_a_network_ends_in_one_sentence_and_goes_on_later(sky, tmp_path, monkeypatch, capsys):
    model = small_model(tmp_path / "model")
    (tmp_path / "positions.csv").write_text("ra,dec,petror90\n" + "".join(f"{row},1,5\n" for row in range(10)))
    arguments = (model, tmp_path / "positions.csv", tmp_path / "out", "--survey", "legacy")
    with monkeypatch.context() as offline:
        offline.setenv("GALAXY_VISION_LEGACY_URL", "http://127.0.0.1:9/")  # nobody listens there
        run(*arguments, code=2)
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "127.0.0.1:9 cannot be reached" in sentence and not list((tmp_path / "out").glob("part-*"))
    assert run(*arguments)["status"].eq("ok").all()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", (REPOSITORY / "docs" / "sky.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_story_of_the_page_is_true(sky, tmp_path, monkeypatch, capsys):
    """A CSV of ten positions to a VOTable with classes, votes, captions, opened again by astropy with units."""
    monkeypatch.chdir(tmp_path)
    (table,), (command,), (python,) = blocks("text"), blocks("sh"), blocks("python")
    (tmp_path / "galaxies.csv").write_text(table)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "galaxy-vision" and main([*words[1:], "--mixed_precision", "no"]) == 0
    scope = {}
    exec(python, scope)
    read, given = scope["table"], Table.read("galaxies.csv")
    assert read.colnames[:4] == given.colnames and len(read) == 10 and (read["status"] == "ok").all()
    assert [str(value) for value in read["objid"]] == [str(value) for value in given["objid"]]
    assert (read["ra"].unit, read["dec"].unit) == (u.deg, u.deg)
    found = SkyCoord.guess_from_table(read)
    nearest, distance, _ = found.match_to_catalog_sky(SkyCoord(given["ra"], given["dec"], unit="deg"))
    assert nearest.tolist() == list(range(10)) and distance.max() == 0 * u.deg
    assert all(read["class"]) and all("galaxy" in caption for caption in read["caption"])
    capsys.readouterr()
    assert main(["convert", "morphology", "--output", "galaxies.fits"]) == 0
    assert Table.read("galaxies.fits")["ra"].unit == u.deg


def test_a_galaxy_is_described_at_its_position_and_by_its_name(sky, tmp_path, capsys):
    from astropy.config import set_temp_cache

    with set_temp_cache(tmp_path):
        for words in (["--ra", "13:29:52.698", "--dec=+47:11:42.93"], ["--name", "NGC 5457", "--survey", "legacy"]):
            assert main(["describe", *words, "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["ra"], first["dec"]) == pytest.approx((202.469575, 47.195258)) and first["survey"] == "sdss"
    assert second["image"].startswith("NGC 5457 210.80242 +54.34875 in legacy, ") and second["caption"]
    sky.faults[202.47, 47.2] = ["blank!"]
    assert main(["describe", "--ra", "202.469", "--dec", "47.195", "--frame", "10arcsec"]) == 1
    assert "error: the survey has no image at 202.46900 +47.19500; give another --survey" in capsys.readouterr().out
    assert main(["describe", "--ra", "202.469"]) == 2
    assert "a position has two coordinates" in capsys.readouterr().err
