# The images of the operator and of the trainer; docs/images.md says how to build them, and why they are made so.
# The builder's own frontend reads this file, BuildKit's or buildah's: a syntax line would pull another one.

# Any image with Python 3.11 or newer and its venv module; the one that runs.
ARG PYTHON_BASE=python:3.11-slim-bookworm
# The one that installs: the same Python, and nvcc with a C++ compiler where the trainer's ops are built beforehand.
ARG BUILD_BASE=${PYTHON_BASE}

# uv and the build back-ends, as `make install` gets them. Nothing of this stage is in an image.
# hadolint ignore=DL3006
FROM ${BUILD_BASE} AS tools
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_SYSTEM_CERTS=1
WORKDIR /source
# The secrets are all optional: the certificates, pip.conf and uv.toml of the machine that builds.
RUN --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=bind,source=requirements,target=/source/requirements \
    set -eu; \
    python3 -m venv /tools; \
    /tools/bin/python -m pip install --quiet --require-hashes --no-deps --requirement requirements/bootstrap.txt

FROM tools AS wheel
COPY . .
RUN /tools/bin/uv build --quiet --python /tools/bin/python --no-build-isolation --offline --wheel --out-dir /wheels .

# What the operator imports. Of the thousands of modules of the Kubernetes client it reads twenty: compiling the others
# would take a third of the image.
FROM tools AS operator-packages
RUN --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements,target=/source/requirements \
    --mount=type=bind,source=pyproject.toml,target=/source/pyproject.toml \
    set -eu; \
    python3 -m venv --without-pip /opt/finetune; \
    /tools/bin/uv pip install --quiet --no-cache --python /opt/finetune/bin/python --only-binary :all: \
      --require-hashes --constraint requirements/constraints.txt --requirements pyproject.toml; \
    /opt/finetune/bin/python -m compileall -q --invalidation-mode unchecked-hash \
      -x 'kubernetes/(aio/)?client/(api|models)/' /opt/finetune/lib; \
    rm -f /opt/finetune/.lock

# The product's own packages apart from the others: a new version of them is a layer of two megabytes.
FROM operator-packages AS operator-code
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    set -eu; \
    /tools/bin/uv pip install --quiet --no-cache --python /opt/finetune/bin/python --prefix /code --no-deps \
      --compile-bytecode --offline /wheels/*.whl; \
    rm -f /code/.lock

# Everything that trains. DeepSpeed comes as source and is built by the tools of the first stage: with
# DS_BUILD_OPS=0 without its kernels, and then a second time if ops are asked for, because they need torch.
FROM tools AS trainer-packages
ARG EXTRAS="trainer"
# 12: for drivers that do not know CUDA 13, with the last torch of the package index that was built for it.
ARG CUDA=13
ARG DS_BUILD_OPS=0
ARG DS_BUILD_CPU_ADAM=${DS_BUILD_OPS}
ARG DS_BUILD_FUSED_ADAM=${DS_BUILD_OPS}
# For a machine that builds and has no GPU to ask: cuda, and the architectures of the GPUs that will run it.
ARG DS_ACCELERATOR
ARG TORCH_CUDA_ARCH_LIST="8.0 8.6 8.9 9.0"
RUN --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=bind,source=requirements,target=/source/requirements \
    --mount=type=bind,source=pyproject.toml,target=/source/pyproject.toml \
    set -eu; \
    python3 -m venv --without-pip /opt/finetune; \
    tools=$(/tools/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); export PYTHONPATH="$tools"; \
    set --; for extra in ${EXTRAS}; do set -- "$@" --extra "$extra"; done; \
    install="/tools/bin/uv pip install --quiet --no-cache --python /opt/finetune/bin/python --no-build-isolation"; \
    install="$install --compile-bytecode --require-hashes"; \
    case "${CUDA}" in \
      12) set -- "$@" --constraint requirements/constraints-cuda12.txt --override requirements/cuda12.in ;; \
      13) set -- "$@" --constraint requirements/constraints.txt ;; \
      *) echo "CUDA=${CUDA}: give 12 or 13"; exit 1 ;; \
    esac; \
    set -- "$@" --requirements pyproject.toml; \
    DS_BUILD_OPS=0 DS_BUILD_CPU_ADAM=0 DS_BUILD_FUSED_ADAM=0 $install "$@"; \
    case "${DS_BUILD_OPS}${DS_BUILD_CPU_ADAM}${DS_BUILD_FUSED_ADAM}" in \
      *1*) $install "$@" --reinstall-package deepspeed ;; \
    esac; \
    rm -f /opt/finetune/.lock

FROM trainer-packages AS trainer-code
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    set -eu; \
    /tools/bin/uv pip install --quiet --no-cache --python /opt/finetune/bin/python --prefix /code --no-deps \
      --compile-bytecode --offline /wheels/*.whl; \
    rm -f /code/.lock

# COMET and what it needs: other versions of transformers and numpy than the trainer's, so an environment of its own.
FROM tools AS neural-metrics-packages
RUN --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=bind,source=neural-metrics,target=/source/neural-metrics \
    set -eu; \
    python3 -m venv --without-pip /opt/neural-metrics; \
    /tools/bin/uv pip install --quiet --no-cache --python /opt/neural-metrics/bin/python --compile-bytecode \
      --require-hashes --requirement neural-metrics/requirements.txt; \
    rm -f /opt/neural-metrics/.lock

# What both images share: a user that is nobody else, no program that gives rights away, no writing of bytecode.
# hadolint ignore=DL3006
FROM ${PYTHON_BASE} AS runtime
RUN set -eu; \
    groupadd --gid 65532 nonroot; \
    useradd --no-log-init --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin nonroot; \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
ENV HOME=/tmp PATH=/opt/finetune/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532

FROM runtime AS operator
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="finetune-operator" \
      org.opencontainers.image.description="Runs FineTuneJobs on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=operator-packages /opt/finetune /opt/finetune
COPY --from=operator-code /code /opt/finetune
EXPOSE 8080
ENTRYPOINT ["finetune-operator"]

FROM runtime AS trainer
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="finetune-trainer" \
      org.opencontainers.image.description="Runs one stage of a FineTuneJob" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=trainer-packages /opt/finetune /opt/finetune
COPY --from=trainer-code /code /opt/finetune
ENTRYPOINT ["finetune-trainer"]

# The trainer with a program for neural metrics beside it; it brings no model.
FROM trainer AS neural-metrics
LABEL org.opencontainers.image.title="finetune-neural-metrics" \
      org.opencontainers.image.description="The trainer, with a program that computes COMET"
COPY --from=neural-metrics-packages /opt/neural-metrics /opt/neural-metrics
COPY neural-metrics/score_comet.py /opt/neural-metrics/score_comet.py
ENV FINETUNE_NEURAL_METRICS="/opt/neural-metrics/bin/python /opt/neural-metrics/score_comet.py"
