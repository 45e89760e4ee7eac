# The base image is named here and nowhere else; every stage uses its python3, whichever version that is. It is not an
# argument, so that whatever keeps such lines up to date finds it. To build on another, such as the same by its digest:
#   make image BASE=docker.io/library/python@sha256:...
FROM docker.io/library/python:3.13-slim-bookworm AS base

FROM base AS build
# For a mirror: --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/venv
COPY requirements.txt requirements-build.txt ./
RUN /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-build.txt \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --require-hashes --no-deps \
    -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# The root may be read-only, so the bytecode is made here: all of it (-f), for pip has imported some packages by now.
# Neither it nor the wheel depends on a time, so whenever they are made, the files are the same.
RUN SOURCE_DATE_EPOCH=315532800 /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-compile --no-deps --no-index /dist/*.whl \
 && /opt/venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/venv/lib \
 && rm /opt/venv/bin/[Aa]ctivate*

FROM base
RUN groupadd --gid 10186 exporter \
 && useradd --uid 10186 --gid 10186 --no-create-home --home-dir /data --shell /usr/sbin/nologin exporter \
 && install -d -o 10186 -g 10186 -m 0750 /data
COPY --from=build /opt/venv /opt/venv
# One heap for all threads: Python lets only one of them run at a time, and each heap keeps what is freed in it.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=1
USER 10186:10186
# The ledger lives in the working directory unless the configuration says otherwise.
VOLUME /data
WORKDIR /data
EXPOSE 10186
# Finds out by itself whether TLS is spoken. Where the exporter listens elsewhere, or wants certificates, override it:
# docs/containers.md.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 CMD ["videotask-exporter", "check-health"]
ENTRYPOINT ["videotask-exporter"]
CMD ["--config.file=/etc/videotask-exporter/config.yaml"]
ARG VERSION= REVISION= CREATED= SOURCE=
LABEL org.opencontainers.image.title="videotask-exporter" \
      org.opencontainers.image.description="Prometheus exporter for video generation at vendors' asynchronous APIs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
