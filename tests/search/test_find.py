"""Searches find the rows that fit, in catalogues of every kind, and refuse what cannot be searched."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from predicted_catalogues import table_of, votes_for, write_parts

from galaxy_vision.data.campaigns import tree_of
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.trees import Trees
from galaxy_vision.predict.parts import MANIFEST
from galaxy_vision.search.examples import CACHE, Embeddings

from galaxy_vision.search.catalogue import PredictedCatalogue  # isort: skip
from galaxy_vision.search.find import Finder

DISC = {"featured": 0.95, "not_edge_on": 0.95}
GALAXIES = [
    votes_for(60, smooth=0.9, round=0.9),
    votes_for(60, **DISC, bar=0.9, spiral=0.9),
    votes_for(60, **DISC, bar=0.1, spiral=0.9),
    votes_for(60, **DISC, bar=0.9, spiral=0.1),
    votes_for(60, featured=0.9, odd=0.9, ring=0.9),
    votes_for(60, featured=0.9, odd=0.9, merger=0.9),
    votes_for(60, **DISC, bar=0.6, spiral=0.6),
    votes_for(60, smooth=0.9, cigar_shaped=0.9),
    votes_for(60, featured=0.9, edge_on=0.9),
]


def unit_vectors(count: int, size: int = 16) -> list[list[float]]:
    vectors = np.random.default_rng(0).normal(size=(count, size)).astype(np.float32)
    return list(vectors)


@pytest.fixture
def rows() -> pd.DataFrame:
    own = {"embedding": unit_vectors(len(GALAXIES)), "z": np.linspace(0.02, 0.18, len(GALAXIES))}
    own |= {"probability_elliptical": np.linspace(0.9, 0.1, len(GALAXIES)).astype(np.float32)}
    return table_of(np.stack(GALAXIES), **own)


@pytest.fixture
def folder(tmp_path, rows):
    return write_parts(tmp_path / "somebody's predictions", rows)


def ids(finder: Finder, *args, **settings) -> list[str]:
    return finder.find(*args, **settings).rows["id"].tolist()


def test_the_best_rows_of_all_parts_come_first_with_a_probability_for_each_clause(folder):
    found = Finder(folder).find("a barred spiral", limit=3)
    assert found.rows["id"].tolist()[:2] == ["g1", "g6"] and found.searched == len(GALAXIES)
    assert list(found.rows.columns[:5]) == ["score", "probability", "p_bar", "p_spiral_arms", "id"]
    assert found.parts.tolist()[:2] == [0, 1]
    assert "embedding" not in found.rows and found.rows["score"].is_monotonic_decreasing


def test_negations_classes_and_limits_count(folder):
    finder = Finder(folder)
    assert ids(finder, "a spiral without a bar", limit=1) == ["g2"]
    assert ids(finder, "elliptical", limit=2) == ["g0", "g1"]
    assert len(ids(finder, "a bar", limit=100)) == len(GALAXIES)


def test_a_clause_that_is_switched_off_does_not_count(folder):
    finder = Finder(folder)
    assert ids(finder, "a spiral without a bar", limit=3, hidden=[1])[0] in ("g1", "g2")
    with pytest.raises(ValueError, match="all clauses of the sentence are switched off"):
        finder.find("a bar", hidden=[0])


def test_conditions_hold_on_columns_of_the_catalogue_and_of_the_users_tables(folder, tmp_path, rows):
    assert ids(Finder(folder, where="z < 0.03"), "a bar") == ["g0"]
    big = [f"{587722981736120320 + number}" for number in range(len(rows))]  # 18 digits
    other = write_parts(tmp_path / "other", rows.drop(columns="z").assign(id=big))
    table = pd.DataFrame({"id": big, "z": rows["z"], "name": "ngc"})
    for name in ("own.csv", "own.parquet"):
        path = str(tmp_path / name)
        table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
        found = Finder(other, where="z > 0.1 AND name = 'ngc'", tables=[path]).find("a bar", limit=1)
        assert found.rows["id"].tolist() == [big[6]] and found.rows["z"].item() > 0.1


@pytest.mark.parametrize(
    "where",
    [
        "redshift < 0.1",
        "z <",
        "z < 0.1; DROP VIEW catalogue",
        "id IN (SELECT content FROM read_text('/etc/hostname'))",
        "id IN (SELECT column0 FROM read_csv('/etc/passwd'))",
        "1 = (SELECT count(*) FROM unrelated)",
        "z < 0.1) OR (1 = 1",
    ],
)
def test_a_condition_that_is_none_or_reads_other_files_is_refused_in_one_sentence(where, folder):
    unrelated = pd.DataFrame({"a": [1]})  # noqa: F841 (a variable that DuckDB could read)
    with pytest.raises(ValueError, match="is not a condition on this catalogue") as raised:
        Finder(folder, where=where).find("a bar")
    assert "\n" not in str(raised.value)


def test_what_is_not_a_number_or_could_not_be_read_is_never_found(tmp_path, rows):
    rows.loc[1, "status"] = "damaged"
    columns = [name for name in rows.columns if name.endswith(("_fraction", "_reach", "_certainty"))]
    rows.loc[6, columns] = np.nan
    found = ids(Finder(write_parts(tmp_path / "some", rows)), "a bar", limit=100)
    assert found[0] == "g3" and not {"g1", "g6"} & set(found)


def test_equal_rows_stand_in_the_order_of_the_catalogue(tmp_path):
    same = write_parts(tmp_path / "same", table_of(np.stack([GALAXIES[1]] * 40)), rows_per_part=7)
    assert ids(Finder(same), "a bar", limit=9) == [f"g{number}" for number in range(9)]


def test_examples_find_themselves_first_and_counter_examples_last(folder):
    finder = Finder(folder)
    found = finder.find(like=["g4"], limit=3)
    assert found.rows["id"][0] == "g4" and found.rows["score"][0] == pytest.approx(1, abs=1e-3)
    assert ids(finder, unlike=["g4"], limit=100)[-1] == "g4"
    assert "g5" == ids(finder, like=["g5"], unlike=["g4"], limit=1)[0]
    with pytest.raises(ValueError, match="cancel each other out"):
        finder.find(like=["g4"], unlike=["g4"])


def test_examples_rank_what_a_sentence_and_a_condition_admit(folder):
    barred = {"g1", "g3", "g6"}
    found = Finder(folder).find("a bar", like=["g4"], limit=100)
    assert set(found.rows["id"]) == barred and found.rows["score"].is_monotonic_decreasing
    assert set(ids(Finder(folder, where="z < 0.1"), "a bar", like=["g4"])) == {"g1", "g3"}
    assert "g4" not in ids(Finder(folder, where="id <> 'g4'"), like=["g4"])


def test_similarity_is_that_of_every_pair(folder, rows):
    embeddings = Embeddings(PredictedCatalogue(folder))
    vectors = np.stack(rows["embedding"])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for vector in vectors:
        assert np.allclose(embeddings.similarity(vector), vectors @ vector, atol=2e-3)
        nearest, cosines = embeddings.nearest(vector, 4)
        assert nearest.tolist() == np.argsort(-vectors @ vector)[:4].tolist()
        assert np.allclose(cosines, np.sort(vectors @ vector)[::-1][:4], atol=1e-3)


def test_embeddings_are_kept_and_made_again_when_the_parts_change(folder, rows):
    first = ids(Finder(folder), like=["g4"], limit=3)
    assert (folder / CACHE).is_file() and ids(Finder(folder), like=["g4"], limit=3) == first
    shutil.rmtree(folder)
    write_parts(folder, rows.assign(embedding=unit_vectors(len(rows))[::-1]))
    assert ids(Finder(folder), like=["g4"], limit=3) != first or len(rows) < 4


def test_a_row_whose_image_could_not_be_read_is_not_similar_to_anything(tmp_path, rows):
    rows.loc[2, "status"] = "damaged"
    rows["embedding"] = rows["embedding"].astype(object)
    rows.at[2, "embedding"] = None
    finder = Finder(write_parts(tmp_path / "some", rows))
    assert "g2" not in ids(finder, like=["g4"], limit=100)
    with pytest.raises(ValueError, match="'g2' has no embedding, since its image could not be read"):
        finder.find(like=["g2"])


def test_the_campaign_that_is_named_counts(tmp_path):
    desi = tree_of("gz_desi")
    trees = Trees([GALAXY_ZOO_2, desi])
    both = np.concatenate(
        [
            np.stack(GALAXIES),
            np.stack(
                [votes_for(40, desi, bar_strong=0.9 - number / 10, featured=0.9) for number in range(len(GALAXIES))]
            ),
        ],
        axis=1,
    )
    path = write_parts(tmp_path / "both", table_of(both, trees), trees=trees, campaigns=list(trees))
    assert ids(Finder(path), "a bar", limit=1) == ["g1"] and ids(Finder(path, "gz_desi"), "a strong bar", limit=1) == [
        "g0"
    ]
    with pytest.raises(ValueError, match=r"campaign='gz_hubble': the catalogue has votes of gz2, gz_desi"):
        Finder(path, "gz_hubble")


def test_a_table_that_another_program_wrote_of_a_catalogue_is_searched_too(tmp_path, rows):
    rows.to_parquet(tmp_path / "mine.parquet")
    assert ids(Finder(tmp_path / "mine.parquet", where="z > 0.03"), "a barred spiral", limit=1) == ["g1"]


def test_an_older_catalogue_is_searched_and_said_to_be_approximate(tmp_path):
    path = write_parts(tmp_path / "old", table_of(np.stack(GALAXIES), certainty=False))
    finder = Finder(path)
    assert ids(finder, "a barred spiral", limit=1) == ["g1"]
    assert any("approximate" in note for note in finder.read("a bar").notes)


def test_an_empty_catalogue_finds_nothing(tmp_path, rows):
    empty = write_parts(tmp_path / "empty", rows.iloc[:0])
    assert ids(Finder(empty), "a bar") == []


def test_what_cannot_be_searched_is_refused_in_one_sentence(tmp_path, rows, folder):
    (tmp_path / "nothing").mkdir()
    votes = [name for name in rows.columns if name.startswith("t0") or name.startswith("t1")]
    without_votes = write_parts(tmp_path / "classes", rows.drop(columns=votes), trees=None, campaigns=[])
    without_embedding = write_parts(tmp_path / "plain", rows.drop(columns="embedding"))
    mixed = write_parts(tmp_path / "mixed", rows, model_fingerprint="a")
    other = write_parts(tmp_path / "other", rows, model_fingerprint="b")
    shutil.copy(sorted(other.glob("*.parquet"))[1], mixed)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    pd.DataFrame({"id": ["g1", "g1"], "z": [1, 2]}).to_csv(tmp_path / "twice.csv", index=False)
    pd.DataFrame({"name": ["g1"], "z": [1]}).to_csv(tmp_path / "own.csv", index=False)
    refused = {
        r"none does not exist; give the output_dir": lambda: Finder(tmp_path / "none"),
        r"nothing has no Parquet files": lambda: Finder(tmp_path / "nothing"),
        r"damaged.parquet is damaged": lambda: Finder(damaged),
        r"class of this catalogue, which has no votes; write one of": lambda: Finder(without_votes).find("a ring"),
        r"has no column 'embedding'; run galaxy-vision predict with --embedding": lambda: Finder(
            without_embedding
        ).find(like=["g1"]),
        r"are of different runs \(model_fingerprint differ\)": lambda: Finder(mixed),
        r"'nobody' is neither an image file nor an id": lambda: Finder(folder).find(like=["nobody"]),
        r"give a sentence": lambda: Finder(folder).find(),
        r"twice.csv has the id 'g1' more than once": lambda: Finder(folder, tables=[str(tmp_path / "twice.csv")]),
        r"own.csv has no column 'id' but name": lambda: Finder(folder, tables=[str(tmp_path / "own.csv")]),
        r"with=.*bad.parquet cannot be read": lambda: Finder(folder, tables=[str(tmp_path / "bad.parquet")]),
        r"with=none.csv is not a file": lambda: Finder(folder, tables=["none.csv"]),
    }
    for sentence, search in refused.items():
        with pytest.raises(ValueError, match=sentence) as raised:
            search()
        assert "\n" not in str(raised.value)


def test_a_manifest_spares_a_look_at_every_part_unless_one_has_changed(folder, rows, tmp_path):
    identity = PredictedCatalogue(folder).identity
    (folder / MANIFEST).write_text(json.dumps({"identity": identity}))
    assert PredictedCatalogue(folder)._is_complete()
    last = sorted(folder.glob("part-*.parquet"))[-1]
    other = write_parts(tmp_path / "other", rows, model_fingerprint="b")
    shutil.copyfile(other / last.name, last)
    with pytest.raises(ValueError, match="different runs"):
        PredictedCatalogue(folder)
    assert pq.read_metadata(last).num_rows
