# For a reproducible build: docker build --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
# Both stages need the same image: the virtual environment from the first stage refers to the Python of the second.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Behind a package mirror, pass pip's configuration and the CA it names as build secrets; the image keeps neither.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_CONFIG_FILE=/run/secrets/pip.conf
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
# With --no-deps, pip installs exactly the locked packages, verified by hash. The locked build tools build those that are
# published only as source; no compiler is needed.
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.pem \
    python -m venv tools \
 && tools/bin/pip install --no-deps --no-build-isolation --require-hashes -r requirements-build.lock \
 && tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes --wheel-dir=wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
ARG REVISION=unknown
RUN sed -i "s/^__revision__ = \"unknown\"/__revision__ = \"${REVISION}\"/" exporter/__init__.py \
 && tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir=wheels . \
 && python -m venv --without-pip /opt/mms-exporter \
 && tools/bin/pip --python=/opt/mms-exporter/bin/python install --no-index --no-deps wheels/*.whl

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mms-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the MaxCompute Migration Service (MMS) of Alibaba Cloud" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/mms-exporter /opt/mms-exporter
# The exporter writes no files, so the root file system can be read-only.
ENV PATH=/opt/mms-exporter/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A numeric ID, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
WORKDIR /
EXPOSE 10180
# The check uses MMS_EXPORTER_WEB_LISTEN_ADDRESS; it cannot see the --web.listen-address flag.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["mms-exporter", "probe"]
ENTRYPOINT ["mms-exporter"]
