# The site with its database in one image:
#   docker build -t daily-papers . && docker run --read-only --tmpfs /tmp -p 8080:8080 daily-papers
# Other listings than the sample: put saved pages into listings/ first.
FROM python:3.11-slim-bookworm AS build
WORKDIR /site
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --requirement requirements.txt
COPY . .
RUN /venv/bin/python build.py && /venv/bin/python -m compileall -q serve.py dailypapers
# What only build.py needs is half of the image.
RUN /venv/bin/pip uninstall --yes scikit-learn scipy joblib threadpoolctl narwhals cloudpickle \
    setuptools pip

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 site
WORKDIR /site
# Owned by root: what serves the site cannot change it.
COPY --from=build /venv /venv
COPY --from=build /site /site
USER 10001
ENV PORT=8080 PYTHONUNBUFFERED=1
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/venv/bin/python", "-c", \
    "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/-/versions.json\", timeout=4)"]
CMD ["/venv/bin/python", "serve.py", "--host", "0.0.0.0"]
