# syntax=docker/dockerfile:1
# The image of Aval: one binary, started as user 10001 on a read-only file system. It needs DATABASE_URL (docs/database.md).
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" --tag aval:0.1.0 .
#   docker build --target symbols --output symbols .      # aval.debug, for backtraces of the stripped binary

# The web console, which the binary contains. scripts/console.sh explains why this is not `npm ci`.
FROM node:22.20.0-trixie-slim AS console
WORKDIR /src/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN --mount=type=cache,target=/var/cache/npm,sharing=locked \
    npm install --cache /var/cache/npm --no-save --no-audit --no-fund --loglevel=error --ignore-scripts
COPY frontend ./
RUN npm run build

# The same Rust version as in rust-toolchain.toml.
FROM rust:1.95.0-slim-trixie AS build
WORKDIR /src
COPY . .
COPY --from=console /src/frontend/dist frontend/dist
# The caches keep the dependencies of earlier builds. The binary is copied to /out, because caches are not part
# of the layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --bin aval \
    && mkdir /out \
    && objcopy --only-keep-debug target/release/aval /out/aval.debug \
    && objcopy --strip-all --add-gnu-debuglink=/out/aval.debug target/release/aval /out/aval

FROM scratch AS symbols
COPY --from=build /out/aval.debug /

# glibc, libgcc, time zones and certificates; no shell and no package manager. The same Debian release as the build.
FROM gcr.io/distroless/cc-debian13:nonroot
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Aval" \
      org.opencontainers.image.description="Multi-country credit application platform" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/aval /usr/local/bin/aval
USER 10001:10001
EXPOSE 8000 9100
STOPSIGNAL SIGTERM
# The binary handles SIGTERM as process 1 and has no child processes, so it needs no init process.
ENTRYPOINT ["/usr/local/bin/aval"]
CMD ["serve"]
