# One image for the planner, the workers and Flower: docker-compose.yml says which is which.
#
#   docker build --tag backfill-fleet .
#   docker run --rm backfill-fleet gaps --help
#   docker run --rm --entrypoint python backfill-fleet -P -m worker worker
#
# A pipeline whose scripts need packages of their own builds on it:
#
#   FROM backfill-fleet
#   USER root
#   COPY requirements.txt .
#   RUN python -m pip install --no-cache-dir --requirement requirements.txt
#   USER fleet
#   ENV PIPELINE_PYTHON=python

ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY pyproject.toml uv.lock requirements.lock ./
# The lock, less the tools of development. Every file that is installed must have its hash.
RUN python -m pip install --no-cache-dir uv==0.13.9 \
 && uv export --quiet --locked --no-dev --no-emit-project --no-header --output-file runtime.lock \
 && python -m venv /opt/fleet \
 && /opt/fleet/bin/python -m pip install --no-cache-dir --no-deps --require-hashes \
    --requirement runtime.lock
COPY planner planner
COPY worker worker
COPY sql sql
RUN site=$(/opt/fleet/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && cp -r planner worker sql "$site" \
 && printf '#!/opt/fleet/bin/python\nfrom planner.__main__ import main\n\nmain()\n' > /opt/fleet/bin/planner \
 && chmod 755 /opt/fleet/bin/planner \
 && /opt/fleet/bin/python -m compileall -q "$site/planner" "$site/worker" "$site/sql"

FROM ${PYTHON_IMAGE}
ARG UID=10001
RUN useradd --uid "$UID" --create-home --shell /usr/sbin/nologin fleet \
 && install --directory --owner fleet --group fleet --mode 0700 /state
COPY --from=build /opt/fleet /opt/fleet
ENV PATH=/opt/fleet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BACKFILL_HOME=/state
USER fleet
WORKDIR /home/fleet
ENTRYPOINT ["planner"]
CMD ["--help"]
