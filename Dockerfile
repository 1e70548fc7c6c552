# The service in a container. The same image runs on CPUs and, with a GPU given to it, on CUDA: PyTorch is the build that
# pip finds. A much smaller image for CPUs alone: --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU builds>.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

ARG PIP_EXTRA_INDEX_URL
# What pyproject.toml lists besides: "otel" to send traces, "ray" for workers on a cluster.
ARG EXTRAS="otel"
ENV PATH=/opt/lab/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# Nobody needs to be root to serve. The folders are those that volumes are put on, which then belong to lab too.
RUN useradd --uid 10001 --create-home lab \
 && mkdir /data /keys /spool \
 && chown lab:lab /data /keys /spool \
 && python3 -m venv /opt/lab

# What seldom changes comes first. torch comes alone: what follows then finds it there and does not choose another build.
WORKDIR /srv/lab
COPY constraints.txt pyproject.toml ./
RUN pip install --constraint constraints.txt torch
RUN python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        extras = [project['optional-dependencies'][name] for name in sys.argv[1:]]; \
        print('\n'.join(sum(extras, project['dependencies'])))" $EXTRAS > /tmp/needed.txt \
 && pip install --constraint constraints.txt --requirement /tmp/needed.txt \
 && rm /tmp/needed.txt

COPY LICENSE README.md alembic.ini ./
COPY alembic alembic
COPY docker/healthy.py docker/healthy.py
COPY app app
RUN pip install --no-deps --editable . \
 && python -m compileall -q app

USER lab
ENV MODEL_LAB_DATA_DIR=/data \
    MODEL_LAB_SPOOL_DIR=/spool
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/srv/lab/docker/healthy.py"]
ENTRYPOINT ["model-lab"]
CMD ["serve", "--host", "0.0.0.0"]
