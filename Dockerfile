# syntax=docker/dockerfile:1
# The `cayenne` command in a small image. Build: docker build -t cayenne .
# Run: docker run --rm -it -v "$PWD/data:/data" cayenne sql

FROM rust:1.95-slim-bookworm AS build
# A C compiler for SQLite and Zstandard; the Rust image has the linker.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --profile dist --package cayenne-cli \
    && install -D target/dist/cayenne /out/cayenne

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="cayenne" \
      org.opencontainers.image.description="A table engine for Apache DataFusion: the cayenne command" \
      org.opencontainers.image.licenses="Apache-2.0"
# The image needs glibc, libm and libgcc, which Debian has.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin cayenne \
    && install --directory --owner=cayenne --group=cayenne /data
COPY --from=build /out/cayenne /usr/local/bin/cayenne
COPY LICENSE /usr/share/doc/cayenne/LICENSE
USER 10001
WORKDIR /data
VOLUME /data
ENV CAYENNE_DB=/data/cayenne-data
ENTRYPOINT ["cayenne"]
CMD ["--help"]
