# One image for the planner, the workers and Flower: docker-compose.yml says which is which.
#
#   docker build --tag backfill-fleet .
#   docker run --rm backfill-fleet gaps --help
#   docker run --rm --entrypoint python backfill-fleet -P -m worker worker
#
# Where pip needs a configuration (a mirror, a proxy) or the network's own certificates, name them:
# they are there while it installs, and in no layer.
#
#   docker build --secret id=pip,src=pip.conf --secret id=certificates,src=ca.pem --tag backfill-fleet .
#
# A pipeline whose scripts need packages of their own builds on it. What it installs agrees with
# the fleet's own versions, or the build fails and says which do not.
#
#   FROM backfill-fleet
#   USER root
#   COPY requirements.txt .
#   RUN python -m pip install --no-cache-dir --requirement requirements.txt
#   USER fleet

ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY runtime.lock ./
# The lock, less the tools of development. Every file that is installed must have its hash.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=certificates,target=/run/secrets/certificates \
    if [ -s /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates; fi \
 && python -m venv /opt/fleet \
 && /opt/fleet/bin/python -m pip install --no-cache-dir --no-deps --require-hashes \
    --requirement runtime.lock \
 && sed -E '/^ *(#|--hash)/d; s/ *\\$//' runtime.lock > /opt/fleet/constraints.txt
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
# The home is named, because a user of another number has none. A pipeline's scripts run with the
# image's Python, unless the pipeline's own image says otherwise.
ENV PATH=/opt/fleet/bin:$PATH \
    HOME=/home/fleet \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_CONSTRAINT=/opt/fleet/constraints.txt \
    UV_CONSTRAINT=/opt/fleet/constraints.txt \
    PIPELINE_PYTHON=python \
    BACKFILL_HOME=/state
USER fleet
WORKDIR /home/fleet
ENTRYPOINT ["planner"]
CMD ["--help"]
