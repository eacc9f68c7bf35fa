# One image, two commands: `controller` and `agent`. Build it from a clean checkout: docker build -t btrfs-operator .
#
# The tags pin versions; a release replaces them by digests (--build-arg NODE_IMAGE=…@sha256:…).
ARG NODE_IMAGE=node:24.21.0-trixie-slim
ARG DEBIAN_IMAGE=debian:13.2-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# A registry of your own: docker build --secret id=npmrc,src=$HOME/.npmrc
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json LICENSE ./
COPY tools/bundle.ts tools/
COPY src src
RUN node tools/bundle.ts

FROM ${DEBIAN_IMAGE}
# What the agent runs (docs/operations.md has the list), and tini, which collects what they leave behind.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends btrfs-progs e2fsprogs mount tini util-linux \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /src/dist /src/LICENSE /usr/lib/btrfs-operator/
LABEL org.opencontainers.image.title="btrfs-operator" \
      org.opencontainers.image.description="Kubernetes operator that makes btrfs volumes custom resources" \
      org.opencontainers.image.licenses="Apache-2.0"
# glibc gives each of Node's threads an arena of its own and keeps what is free in it: 15 MiB that nobody uses.
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
# The controller's. The agent has to be root: its DaemonSet says so.
USER 65532:65532
# No --enable-source-maps: reading the map costs 9 MiB, and the first stack trace that is looked at 60 MiB more, for good.
ENTRYPOINT ["tini", "--", "node", "/usr/lib/btrfs-operator/btrfs-operator.js"]
CMD ["--help"]
