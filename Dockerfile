# imgbatch with the light set, for one machine or as the image of a Ray node.
#     docker build --tag imgbatch .
#     docker run --rm --volume FOLDER:/data imgbatch run /data/in /data/out
# A cluster is this one image on every machine, so that all versions are the same (head, then workers;
# TOKEN is a file with the same token everywhere; `ray get-auth-token --generate` makes one):
#     docker run --detach --network host --shm-size 1g --env RAY_AUTH_MODE=token \
#         --env RAY_AUTH_TOKEN_PATH=/token --volume TOKEN:/token:ro --entrypoint ray imgbatch \
#         start --block --head --port 6379 --dashboard-host 127.0.0.1
#     docker run ... --entrypoint ray imgbatch start --block --address HEAD:6379
FROM python:3.11-slim

COPY scripts/requirements /opt/requirements
RUN pip install --no-cache-dir --requirement /opt/requirements/uv.txt \
    && uv pip install --system --no-cache --no-deps --compile-bytecode --requirement /opt/requirements/light.txt

COPY pyproject.toml README.md LICENSE /opt/imgbatch/
COPY imgbatch /opt/imgbatch/imgbatch
COPY jobs /opt/imgbatch/jobs
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --compile-bytecode /opt/imgbatch \
    && useradd --create-home --uid 1000 imgbatch

USER imgbatch
WORKDIR /data
ENTRYPOINT ["imgbatch"]
CMD ["--help"]
