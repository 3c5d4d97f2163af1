"""Which files of a folder are the user's, for training and for prediction alike."""

from galaxy_vision.data.parquet_folders import parquet_names
from galaxy_vision.images.listing import files_in


def test_a_linked_folder_is_read_under_both_names_and_a_link_back_ends(tmp_path):
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "a.parquet").touch()
    (tmp_path / "test").symlink_to(tmp_path / "validation")
    (tmp_path / "validation" / "up").symlink_to(tmp_path)
    assert [name for name, _ in files_in(tmp_path)] == ["test/a.parquet", "validation/a.parquet"]
    assert parquet_names(tmp_path) == ["test/a.parquet", "validation/a.parquet"]  # no split is lost without a word
