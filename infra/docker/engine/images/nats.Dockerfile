# A stand-in for nats:VERSION-alpine, with the same server. Debian's netcat replaces busybox's.
FROM golang:1.26-trixie AS build
ARG VERSION
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOBIN=/out go install -trimpath -ldflags='-s -w' \
    "github.com/nats-io/nats-server/v2@v${VERSION}"

FROM debian:13-slim
RUN apt-get update && apt-get install -y --no-install-recommends netcat-openbsd
COPY --from=build /out/nats-server /usr/local/bin/
# compose.yaml sets only arguments.
ENTRYPOINT ["nats-server"]
