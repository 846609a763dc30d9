# syntax=docker/dockerfile:1
# For who wants the very same bytes again: docker build --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
# Both stages have to be of one image: what the first installs points to the Python of the second.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
# Every package by its hash, and what builds those that are published as source alone; none of them needs a compiler.
RUN python -m venv tools \
 && tools/bin/pip install --require-hashes --only-binary=:all: -r requirements-build.lock \
 && tools/bin/pip wheel --require-hashes --no-build-isolation --wheel-dir=wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN tools/bin/pip wheel --no-build-isolation --no-deps --wheel-dir=wheels . \
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
# Nothing is written: the root may be read-only.
ENV PATH=/opt/mms-exporter/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /
EXPOSE 10180
# Where MMS_EXPORTER_WEB_LISTEN_ADDRESS moves the exporter, the check follows; a flag it cannot see.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["mms-exporter", "probe"]
ENTRYPOINT ["mms-exporter"]
