# The server: `docker build --tag taskwell .`; docs/deployment/containers.md says how to run it.
ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.txt deploy/requirements-build.txt ./
# Two environments: what runs, without pip in it, and what packs our own wheel.
RUN python -m venv --without-pip /opt/taskwell \
    && pip --python /opt/taskwell/bin/python install --require-hashes --no-deps --requirement requirements.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --no-deps --requirement requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/taskwell/bin/python install --no-deps /wheels/*.whl \
    && pip --python /opt/taskwell/bin/python check

FROM python:${PYTHON}
RUN groupadd --gid 10001 taskwell \
    && useradd --uid 10001 --gid taskwell --no-create-home --home-dir /data --shell /usr/sbin/nologin taskwell \
    && install --directory --owner taskwell --group taskwell /data
COPY --from=build /opt/taskwell /opt/taskwell
# Nothing is written outside /data, so the root file system may be read-only.
ENV PATH=/opt/taskwell/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TASKWELL_HOST=0.0.0.0
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; port = os.environ.get('TASKWELL_PORT', '8000'); urllib.request.urlopen(f'http://127.0.0.1:{port}/health/live', timeout=4)"]
CMD ["taskwell", "serve"]
