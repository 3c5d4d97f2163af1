"""The builder of GZ DECaLS on small files in the layout of Zenodo record 4573248."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builder_files import counts, save, save_images, stored
from conftest import build, builder, refused

from galaxy_vision.data.campaigns import column_names, tree_of
from galaxy_vision.data.splits import split_of, split_of_position
from galaxy_vision.data.vote_tables import plain_names


def decals_table(campaign: str, rows: int = 12) -> pd.DataFrame:
    """A table of volunteers of Zenodo record 4573248."""
    tree = tree_of(campaign)
    votes = counts(tree, 3, rows)
    fractions, totals, names = tree.conditional(votes), tree.totals(votes), plain_names(tree)
    table = {"iauname": [f"J112953.88-0{index:02d}427.4" for index in range(rows)]}
    table |= {"ra": 172.4 + np.arange(rows) / 7, "dec": np.linspace(-5, 30, rows), "redshift": 0.05}
    table["png_loc"] = [f"J112/{name}.png" for name in table["iauname"]]
    table["wrong_size_warning"] = False
    for question, answers in tree.slices.items():
        table[f"{names[answers.start].rpartition('_')[0]}_total-votes"] = totals[:, answers.start].astype(int)
        for index in range(answers.start, answers.stop):
            table[names[index]] = votes[:, index]
            table[f"{names[index]}_fraction"] = fractions[:, index]
            table[f"{names[index]}_debiased"] = fractions[:, index]
        assert question in tree.slices
    return pd.DataFrame(table)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("campaign", ["gz_decals_dr12", "gz_decals_dr5"])
def test_decals_counts_arrive_under_the_names_of_their_campaign(tmp_path, galaxies, capsys, campaign, suffix):
    table = decals_table(campaign)
    assert {"smooth-or-featured_featured-or-disk", "bulge-size_dominant", "merging_total-votes"} <= set(table)
    shuffled = table[np.random.default_rng(0).permutation(table.columns)]
    labels = save(shuffled, tmp_path / f"gz_decals.{suffix}")
    images = save_images(tmp_path / "images.zip", table["iauname"], galaxies)
    rows = stored(build("galaxy_zoo_decals", tmp_path / "out", images=images, labels=labels))
    assert f"has the votes of {campaign}\n" in capsys.readouterr().out
    tree, table = tree_of(campaign), table.set_index("iauname")
    for stored_name, name in zip(column_names(tree), plain_names(tree), strict=True):
        assert rows.loc[table.index, stored_name].tolist() == table[name].tolist()
    assert (rows["num_classifications"] == 40).all() and len(rows) == len(table)
    np.testing.assert_allclose(rows.loc[table.index, "ra"], table["ra"])
    assert all(split_of(key) == split for key, split in rows["split"].items())
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: cc-by-4.0" in card and "Walmsley et al. 2022" in card


def test_decals_rows_that_are_not_used_are_listed_with_the_reason(tmp_path, galaxies):
    table = decals_table("gz_decals_dr5")
    names = list(plain_names(tree_of("gz_decals_dr5")))
    table.loc[0, names] = 0
    table.loc[1, "wrong_size_warning"] = True
    table.loc[2, names[0]] = -1
    table.loc[3, "iauname"] = ""
    labels, ids = save(table, tmp_path / "table.csv"), table["iauname"]
    images = save_images(tmp_path / "images.zip", decals_table("gz_decals_dr5")["iauname"][:-1], galaxies)
    rows = stored(build("galaxy_zoo_decals", tmp_path / "out", images=images, labels=labels))
    assert set(rows.index) == set(ids[4:-1])
    listed = (tmp_path / "out" / "dropped.tsv").read_text().splitlines()[1:]
    assert dict(line.split("\t") for line in listed) == {
        ids[0]: "no votes",
        ids[1]: "wrong size warning",
        ids[2]: "votes below 0: -1",
        "": "no id",
        ids[11]: "no image",
    }
    builder("galaxy_zoo_decals")(
        ["--images", str(images), "--labels", str(labels), "--output_dir", str(tmp_path / "all"), "--keep_wrong_sizes"]
    )
    assert f"{ids[1]}\t" not in (tmp_path / "all" / "dropped.tsv").read_text()


def test_decals_images_are_found_by_png_loc_in_any_of_several_sources(tmp_path, galaxies):
    table = decals_table("gz_decals_dr5")
    table["png_loc"] = [f"part/cutout_{index}.png" for index in table.index]
    labels = save(table, tmp_path / "table.parquet")
    stems = [f"cutout_{index}" for index in table.index]
    sources = [save_images(tmp_path / f"part{part}.zip", stems[part::2], galaxies[part::2]) for part in (0, 1)]
    argv = ["--images", *map(str, sources), "--labels", str(labels), "--output_dir", str(tmp_path / "out")]
    builder("galaxy_zoo_decals")(argv)
    found = pq.read_table(tmp_path / "out" / "data", columns=["id", "image"]).to_pylist()
    images = {row["id"]: row["image"]["bytes"] for row in found}
    assert images == {name: galaxies[index][0] for index, name in enumerate(table["iauname"])}


def test_decals_galaxies_may_be_split_by_position(tmp_path, galaxies):
    table = decals_table("gz_decals_dr5").set_index("iauname", drop=False)
    labels = save(table, tmp_path / "table.csv")
    images = save_images(tmp_path / "images.zip", table["iauname"], galaxies)
    rows = stored(build("galaxy_zoo_decals", tmp_path / "out", images=images, labels=labels, split_by="position"))
    assert all(split_of_position(*table.loc[key, ["ra", "dec"]]) == split for key, split in rows["split"].items())
    assert "split by their position" in (tmp_path / "out" / "README.md").read_text()


def test_tables_of_another_campaign_or_of_none_are_refused(tmp_path, galaxies, capsys):
    table = decals_table("gz_decals_dr5")
    files = {"images": save_images(tmp_path / "images.zip", table["iauname"], galaxies)}
    labels = save(table, tmp_path / "table.parquet")
    error = refused(capsys, "galaxy_zoo_decals", tmp_path / "out", labels=labels, campaign="gz_decals_dr12", **files)
    assert "is not a table of gz_decals_dr12: of the columns bar_yes and bar_strong it has bar_strong" in error
    labels = save(table.drop(columns=["bar_strong"]), tmp_path / "none.csv")
    assert "it has neither" in refused(capsys, "galaxy_zoo_decals", tmp_path / "out", labels=labels, **files)
    labels = save(table.drop(columns=["smooth-or-featured_smooth"]), tmp_path / "first.csv")
    error = refused(capsys, "galaxy_zoo_decals", tmp_path / "out", labels=labels, **files)
    assert "has no column smooth-or-featured_smooth" in error
    (tmp_path / "broken.parquet").write_bytes((tmp_path / "table.parquet").read_bytes()[:500])
    error = refused(capsys, "galaxy_zoo_decals", tmp_path / "out", labels=tmp_path / "broken.parquet", **files)
    assert "broken.parquet is not a Parquet file" in error
    labels = save(table.assign(bar_weak=np.inf), tmp_path / "infinite.parquet")
    error = refused(capsys, "galaxy_zoo_decals", tmp_path / "out", labels=labels, **files)
    assert "column bar_weak: holds an infinite value" in error
    labels = save(table.assign(iauname=1.5), tmp_path / "floats.parquet")
    error = refused(capsys, "galaxy_zoo_decals", tmp_path / "out", labels=labels, **files)
    assert "column iauname: holds double values; export it as text or integers" in error


def test_a_question_that_a_table_lacks_is_unknown_and_said(tmp_path, galaxies, capsys):
    table = decals_table("gz_decals_dr12")
    labels = save(table.drop(columns="how-rounded_completely"), tmp_path / "table.csv")
    images = save_images(tmp_path / "images.zip", table["iauname"], galaxies)
    rows = stored(build("galaxy_zoo_decals", tmp_path / "out", images=images, labels=labels))
    sentence = "lacks answers of how-rounded-dr12: these questions are unknown"
    assert sentence in capsys.readouterr().out and sentence in (tmp_path / "out" / "README.md").read_text()
    assert (
        rows[[f"how-rounded-dr12_{answer}" for answer in ("completely", "in-between", "cigar-shaped")]]
        .isna()
        .all(axis=None)
    )
    assert rows["spiral-winding-dr12_tight"].notna().all()
