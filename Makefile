.PHONY: style quality test docs build

style:
	ruff check --fix
	ruff format

quality:
	ruff check
	ruff format --check

test:
	pytest

# The site, with its notebooks run and every warning an error; GALAXY_VISION_NOTEBOOKS=off leaves the notebooks unrun.
docs:
	python -m sphinx -W --keep-going -q -d docs/_build/doctrees -b html docs docs/_build/html

build:
	python -m build
	python -m twine check --strict dist/*
