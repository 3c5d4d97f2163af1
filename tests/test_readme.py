from conftest import REPOSITORY


def test_the_readme_lists_every_file_of_the_house():
    readme = (REPOSITORY / "README.md").read_text()
    for pattern in (
        "galaxy_vision/*.py",
        "datasets_scripts/*",
        "train_*.py",
        "benchmarks/*.py",
        "space/*.py",
        "tests/test_*.py",
    ):
        for path in REPOSITORY.glob(pattern):
            if path.suffix in (".py", ".md") and path.name != "__init__.py":
                assert f"`{path.name}`" in readme, path.name
