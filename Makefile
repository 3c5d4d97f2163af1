.PHONY: style quality test

style:
	ruff check --fix
	ruff format

quality:
	ruff check
	ruff format --check

test:
	pytest
