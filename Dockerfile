# docker build -t postrider . && docker run --rm -e DATABASE_URL=postgres://... postrider

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches survive between builds, so the binary has to be copied out of the cached target folder.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin postrider \
    && cp target/release/postrider /usr/local/bin/postrider

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin postrider
COPY --from=build /usr/local/bin/postrider /usr/local/bin/postrider
USER postrider
EXPOSE 7678
ENTRYPOINT ["postrider"]
CMD ["run"]
