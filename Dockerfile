# syntax=docker/dockerfile:1
# The `cayenne` command in a small image.
#
# Build:                 docker build -t cayenne .
# Data in a volume:      docker run --rm -it -v cayenne-data:/data cayenne sql
# Data in a host folder: docker run --rm -it --user "$(id -u):$(id -g)" -v "$PWD:/data" cayenne sql

# The version in rust-toolchain.toml.
ARG RUST_VERSION=1.95.0

# The slim image has gcc and the headers of glibc, which SQLite, Zstandard, LZMA and mimalloc are compiled with.
FROM rust:${RUST_VERSION}-slim-bookworm AS build
ARG TARGETARCH
WORKDIR /build
COPY . .
# The folder of a cache mount is not part of the image, so the command is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=cayenne-target-${TARGETARCH},target=/build/target,sharing=locked \
    cargo build --locked --profile dist --package cayenne-cli \
    && install -D target/dist/cayenne /out/cayenne

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="cayenne" \
      org.opencontainers.image.description="A table engine for Apache DataFusion: the cayenne command" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
# Mounted volumes take over the owner of /data. The command links to glibc, libm and libgcc_s only.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin cayenne \
    && install --directory --owner=cayenne --group=cayenne /data
COPY --from=build /out/cayenne /usr/local/bin/cayenne
COPY LICENSE /usr/share/doc/cayenne/LICENSE
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV CAYENNE_DB=/data/cayenne-data
ENTRYPOINT ["cayenne"]
CMD ["--help"]
