# Both components of d4c-gate in one image: the webhook (`serve`, user 65532) and the node agent (`node`, user 0).
#
#   npm run image -- --output d4c-gate.tar      with buildah, on a base image made from Debian packages, no registry
#   docker build --tag ghcr.io/d4c-gate/d4c-gate:0.1.0 .
#
# Optional build secrets, never part of a layer: `npmrc` (npm's configuration), `ca` (PEM file that npm trusts).

# --- build: compiler, npm, sources
FROM docker.io/library/debian:bookworm-slim AS build
ENV DEBIAN_FRONTEND=noninteractive
# The upgrade is for the few libraries that the runtime stage takes from here: a base image is always some weeks old. Nothing of
# this stage outlives the build, so dpkg need not wait for the disk some times for each of some hundred packages.
RUN apt-get update -q \
 && apt-get install -q -y --no-install-recommends eatmydata \
 && eatmydata apt-get upgrade -q -y \
 && eatmydata apt-get install -q -y --no-install-recommends ca-certificates g++ make python3 npm

WORKDIR /opt/d4c-gate
COPY package.json package-lock.json binding.gyp* tsconfig.json tsconfig.build.json LICENSE ./
COPY src src
# Node's headers are those of Debian's npm: the addon uses Node-API alone, which is the same in every version.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    --mount=type=secret,id=ca,target=/run/secrets/ca.crt \
    if [ -s /run/secrets/ca.crt ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca.crt npm_config_cafile=/run/secrets/ca.crt; fi \
 && export npm_config_nodedir=/usr/include/nodejs npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false \
 && npm ci

COPY image image
RUN sh image/assemble.sh /image

# --- runtime: Node, the C and C++ libraries, d4c-gate. No shell, no package manager, no compiler.
FROM scratch
COPY --from=build /image /
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="d4c-gate" \
      org.opencontainers.image.description="Defend for Containers policies at both ends: a Kubernetes admission webhook and a fanotify gate on the node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/usr/local/bin NODE_ENV=production
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/d4c-gate"]
CMD ["help"]
