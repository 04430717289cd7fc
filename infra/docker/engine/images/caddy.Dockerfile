# A stand-in for caddy:VERSION-alpine, with the same server. Debian's netcat replaces busybox's.
FROM golang:1.26-trixie AS build
ARG VERSION
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOBIN=/out go install -trimpath -ldflags='-s -w' \
    "github.com/caddyserver/caddy/v2/cmd/caddy@v${VERSION}"

FROM debian:13-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates libcap2-bin netcat-openbsd
COPY --from=build /out/caddy /usr/bin/
RUN setcap cap_net_bind_service=+ep /usr/bin/caddy && mkdir -p /config /data /etc/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
