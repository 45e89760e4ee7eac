# The base image is named here and nowhere else; both stages use its python3, whichever version that is.
FROM docker.io/library/python:3.13-slim-bookworm AS base

FROM base AS build
# For a mirror: --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/venv
COPY requirements.txt requirements-build.txt ./
RUN /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-build.txt \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --require-hashes --no-deps -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-deps --no-index /dist/*.whl

FROM base
ARG VERSION=unknown
LABEL org.opencontainers.image.title="videotask-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the video-generation tasks of vendors' asynchronous APIs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 10186 exporter \
 && useradd --uid 10186 --gid 10186 --no-create-home --home-dir /data --shell /usr/sbin/nologin exporter \
 && install -d -o 10186 -g 10186 -m 0750 /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10186:10186
# The ledger lives in the working directory unless the configuration says otherwise.
VOLUME /data
WORKDIR /data
EXPOSE 10186
# Asks over plain HTTP on the default port: with --web.config.file or another port, override it. Not urllib, which would ask a
# proxy named in the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import sys; from http.client import HTTPConnection; link = HTTPConnection('127.0.0.1', 10186, timeout=4); link.request('GET', '/-/healthy'); sys.exit(link.getresponse().status != 200)"]
ENTRYPOINT ["videotask-exporter"]
CMD ["--config.file=/etc/videotask-exporter/config.yaml"]
