# Each target works alone on a clean clone and does nothing twice.
#   make serve   the site at http://127.0.0.1:8001/   (LISTINGS="saved/*.txt" for other pages)
LISTINGS ?= listings
PORT ?= 8001
PYTHON ?= python3

.PHONY: serve db test bench fuzz soak screenshots lint format lock audit sbom
.DELETE_ON_ERROR:

serve: db
	.venv/bin/datasette . -i db/daily.db --cors --port $(PORT)

# Built again where a listing, the rules or the code is newer, or other listings are asked for.
NEWER = find $(LISTINGS) -newer db/daily.db 2>&1; \
	find build.py vocabulary.yml dailypapers -type f ! -name '*.pyc' -newer db/daily.db 2>&1
db: .venv/.installed
	@if [ '$(LISTINGS)' = "$$(cat db/.listings 2>/dev/null)" ] && [ -z "$$($(NEWER))" ]; then \
		echo 'db/daily.db is up to date'; \
	else \
		.venv/bin/python build.py $(LISTINGS) && printf '%s' '$(LISTINGS)' > db/.listings; \
	fi

test: .venv/.installed-dev
	.venv/bin/pytest -n auto --maxprocesses 4 --dist loadfile

# Hostile files and searches for SECONDS a part (fuzz/run.py); what is found is in .fuzz/found/.
fuzz: SECONDS ?= 60
fuzz: .venv/.installed-dev
	@.venv/bin/python fuzz/run.py $(SECONDS)

# How fast it is for so many made-up papers, as a table in Markdown (docs/performance.md).
N ?= 100000
bench: .venv/.installed
	@.venv/bin/python bench/performance.py $(N)

# What takes too long for `make test`: each line prints its figures, and fails where anything is lost.
CONNECTIONS ?= 50
soak: SECONDS ?= 600
soak: db .venv/.installed-dev  # for the Parquet files
	.venv/bin/python bench/soak.py --seconds $(SECONDS) --connections $(CONNECTIONS)
	.venv/bin/python bench/crashes.py --kills 50
	.venv/bin/python -m fuzz.long_files
	.venv/bin/python bench/crawl.py
	.venv/bin/python bench/crawl.py --polite

# The README's pictures, taken by Chromium of the site as it is.
screenshots: db .venv/.installed-dev
	.venv/bin/python docs/screenshots.py

lint: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/.installed-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Choose the newest versions that pyproject.toml allows, and write them down with the hashes of
# their files. UPGRADE= keeps the versions that are there.
UPGRADE ?= --upgrade
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
lock: .venv/.installed-dev
	$(COMPILE) $(UPGRADE) pyproject.toml -o requirements.txt
	$(COMPILE) $(UPGRADE) --group dev -c requirements.txt -o requirements-dev.txt

# Ask for known vulnerabilities of what is locked. A service that knows none of anything, as a
# mirror of PyPI, would pass all: so it is asked first for one that it must know. SECURITY.md says
# why the known ones do not apply.
SERVICE ?= pypi
KNOWN = PYSEC-2023-154 PYSEC-2024-277
AUDIT = .venv/bin/pip-audit --strict --disable-pip --progress-spinner off -s $(SERVICE)
audit: .venv/.installed-dev
	@echo 'jinja2==2.4.1' | $(AUDIT) --no-deps -f json -r /dev/stdin 2> /dev/null \
		| grep -q CVE-2019-10906 \
		|| { echo 'make audit: no list of vulnerabilities to ask; nothing was audited' >&2; exit 1; }
	$(AUDIT) $(KNOWN:%=--ignore-vuln %) -r requirements.txt -r requirements-dev.txt

# What a site is made of, with licences and hashes, as CycloneDX: build/sbom.json.
sbom: .venv/.installed-dev
	@mkdir -p build
	.venv/bin/python supply/sbom.py build/sbom.json

# Nothing is installed that is not in the locks, whose hashes it must have; not even to build with:
# feedgen comes as source alone, so setuptools comes first.
INSTALL = .venv/bin/pip install --quiet --require-hashes --no-build-isolation --use-pep517
.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	@sed -n '/^setuptools==/,/# via/p' requirements.txt > .venv/setuptools.txt
	$(INSTALL) -r .venv/setuptools.txt
	$(INSTALL) -r requirements.txt
	.venv/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	@touch $@
