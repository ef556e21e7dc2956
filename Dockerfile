# One image for head and workers, with GPUs and without, so that all versions are the same: `scripts/image`.
#     docker build --tag imgbatch .                              with the models, 7 GB; runs on CPUs too
#     docker build --tag imgbatch --build-arg ACCEL=cpu .        without, 1.3 GB
#     docker run --rm --volume FOLDER:/data imgbatch run /data/in /data/out
# A cluster of your own is this one image on every machine (head, then workers; TOKEN is a file with the
# same token everywhere; `ray get-auth-token --generate` makes one):
#     docker run --detach --network host --shm-size 1g --env RAY_AUTH_MODE=token \
#         --env RAY_AUTH_TOKEN_PATH=/token --volume TOKEN:/token:ro --entrypoint ray imgbatch \
#         start --block --head --port 6379 --dashboard-host 127.0.0.1
#     docker run ... --entrypoint ray imgbatch start --block --address HEAD:6379
#
# No CUDA in the base: torch's wheels bring their own, and the driver is the machine's (580 or newer).
# The digest is of Python 3.11.16, as docker-library/repo-info has it of 2026-08-25.
ARG BASE=python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b

FROM ${BASE} AS build
ARG ACCEL=cuda
ENV UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

COPY scripts/requirements /opt/requirements
RUN pip install --no-cache-dir --requirement /opt/requirements/uv.txt && uv venv /opt/venv
# onnxruntime is for CPUs; cuda.txt has the same version of it for GPUs.
RUN install=(uv pip install --no-cache --no-deps --compile-bytecode) \
    && case "$ACCEL" in \
        cpu) "${install[@]}" --requirement /opt/requirements/light.txt ;; \
        cuda) "${install[@]}" --requirement /opt/requirements/models.txt \
            && uv pip uninstall onnxruntime \
            && "${install[@]}" --requirement /opt/requirements/cuda.txt ;; \
        *) echo "ACCEL is cpu or cuda, not '$ACCEL'" && exit 1 ;; \
    esac

COPY pyproject.toml README.md LICENSE /opt/imgbatch/
COPY imgbatch /opt/imgbatch/imgbatch
COPY jobs /opt/imgbatch/jobs
RUN uv pip install --no-cache --no-deps --no-build-isolation --compile-bytecode /opt/imgbatch

FROM ${BASE}
RUN useradd --create-home --uid 1000 imgbatch && install --directory --owner imgbatch /data
COPY --from=build /opt/venv /opt/venv
# ONNX Runtime finds the CUDA of torch's wheels by this path alone. video: NVIDIA's decoders, which the
# container runtime leaves out by itself.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 \
    LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

ARG VERSION=unknown
LABEL org.opencontainers.image.title=imgbatch org.opencontainers.image.version=$VERSION

USER 1000
WORKDIR /data
ENTRYPOINT ["imgbatch"]
CMD ["--help"]
