"""The builder of GZ DESI on small files in the published layouts: votes of GZD-8, and predicted fractions."""

import numpy as np
import pandas as pd
import pytest
from builder_files import counts, desi_ids, save, save_images, stored
from conftest import build, refused

from galaxy_vision.data.campaigns import column_names, tree_of
from galaxy_vision.data.vote_tables import plain_names
from galaxy_vision.models.decision_tree import NOMINAL_CLASSIFICATIONS


def test_votes_of_gzd_8_need_no_totals_and_leave_out_anything_odd(tmp_path, galaxies, capsys):
    tree = tree_of("gz_decals_dr8")
    votes = counts(tree, 5, 12)
    table = {"dr8_id": desi_ids(12)}
    for index, name in enumerate(plain_names(tree)):
        table |= {name: votes[:, index], f"{name}_fraction": np.nan_to_num(tree.conditional(votes)[:, index])}
    for name in ("anything-odd_yes", "anything-odd_no"):
        table |= {name: 20, f"{name}_fraction": 0.5}
    labels = save(pd.DataFrame(table), tmp_path / "gz_desi_gzd8_volunteer_core_catalog.parquet")
    images = save_images(tmp_path / "images.zip", table["dr8_id"], galaxies)
    rows = stored(build("galaxy_zoo_desi", tmp_path / "out", images=images, labels=labels))
    printed = capsys.readouterr().out
    assert "has the votes of gz_decals_dr8" in printed
    assert "The table's anything-odd is not in the published tree" in printed
    np.testing.assert_array_equal(rows.loc[table["dr8_id"], list(column_names(tree))], votes)
    assert (rows["num_classifications"] == 40).all()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "predicted" not in card.split("## Made by")[0] and "anything-odd" in card


def friendly_catalogue(rows: int) -> pd.DataFrame:
    """Rows of gz_desi_deep_learning_catalog_friendly: no fractions where fewer than half would be asked."""
    tree = tree_of("gz_desi")
    fractions = np.random.default_rng(2).dirichlet(np.ones(5), rows)
    fractions = np.stack([np.resize(fractions[row], len(tree.answers)) for row in range(rows)])
    fractions = tree.conditional(fractions)
    fractions[tree.reach(fractions) < 0.5] = np.nan
    ids = desi_ids(rows)
    table = {"dr8_id": ids, "brickid": [int(key.split("_")[0]) for key in ids]}
    table |= {"objid": [int(key.split("_")[1]) for key in ids], "ra": np.linspace(0, 359, rows), "dec": 12.0}
    table |= {f"{name}_fraction": fractions[:, index] for index, name in enumerate(plain_names(tree))}
    return pd.DataFrame(table)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_predicted_fractions_of_desi_become_expected_votes_and_the_card_says_so(tmp_path, galaxies, capsys, suffix):
    table, tree = friendly_catalogue(40), tree_of("gz_desi")
    labels = save(table, tmp_path / f"gz_desi_deep_learning_catalog_friendly.{suffix}")
    images = save_images(tmp_path / "images.zip", [*table["dr8_id"][:20], "not_listed"], galaxies)
    rows = stored(build("galaxy_zoo_desi", tmp_path / "out", images=images, labels=labels))
    assert "has the predicted votes of gz_desi" in capsys.readouterr().out
    assert set(rows.index) == set(table["dr8_id"][:20])
    fractions = table.set_index("dr8_id").loc[rows.index, [f"{name}_fraction" for name in plain_names(tree)]].to_numpy()
    votes = rows[list(column_names(tree))].to_numpy()
    known = ~np.isnan(fractions)
    assert known.any() and not known.all()
    np.testing.assert_array_equal(np.isnan(votes), ~known)
    np.testing.assert_allclose(tree.conditional(votes)[known], fractions[known], atol=1e-5)
    np.testing.assert_allclose(
        votes[:, tree.slices["smooth-or-featured"]].sum(axis=1), NOMINAL_CLASSIFICATIONS, rtol=1e-5
    )
    assert rows["num_classifications"].isna().all()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "They are predicted, not counted" in card and "Do not test a model on them" in card
    listed = (tmp_path / "out" / "dropped.tsv").read_text().splitlines()[1:]
    assert listed == ["not_listed\timage without a row in the table"]  # and not the millions of other galaxies


def test_a_catalogue_of_desi_without_ids_or_votes_is_refused(tmp_path, galaxies, capsys):
    table = friendly_catalogue(5)
    files = {"images": save_images(tmp_path / "images.zip", table["dr8_id"], galaxies)}
    labels = save(table.drop(columns=["dr8_id", "objid"]), tmp_path / "ids.parquet")
    error = refused(capsys, "galaxy_zoo_desi", tmp_path / "out", labels=labels, **files)
    assert "has no column dr8_id, nor brickid and objid" in error
    labels = save(table[["dr8_id", "ra", "dec"]], tmp_path / "votes.parquet")
    error = refused(capsys, "galaxy_zoo_desi", tmp_path / "out", labels=labels, **files)
    assert "has no column smooth-or-featured_smooth, nor smooth-or-featured_smooth_fraction" in error
    labels = save(table.drop(columns="ra"), tmp_path / "position.parquet")
    error = refused(capsys, "galaxy_zoo_desi", tmp_path / "out", labels=labels, split_by="position", **files)
    assert "has no columns ra and dec; give --split_by id" in error
