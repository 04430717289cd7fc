# Builds the image of Intray's own processes, without PostgreSQL, NATS and MinIO. The image contains
# a static binary and the CA certificates.
FROM golang:1.26-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# The build context has no git directory, so the values that `intray version` prints are passed as
# arguments.
ARG INTRAY_VERSION
ARG INTRAY_COMMIT
ARG INTRAY_COMMIT_DATE
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w \
    -X intray/infra/telemetry/buildinfo.version=$INTRAY_VERSION \
    -X intray/infra/telemetry/buildinfo.commit=$INTRAY_COMMIT \
    -X intray/infra/telemetry/buildinfo.commitDate=$INTRAY_COMMIT_DATE" \
    -o /out/root/usr/local/bin/intray ./cmd/intray
# The modules in the binary (SBOM, CycloneDX).
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir -p /out/root/usr/share/doc/intray && \
    go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json \
    -output /out/root/usr/share/doc/intray/intray.cdx.json /out/root/usr/local/bin/intray
# A new volume has the same owner as the directory that it is mounted on. These directories are the
# mount points of the consumers' cache and of MinIO's data.
RUN mkdir -p /out/root/etc/ssl/certs /out/owned/var/cache/intray /out/owned/data && \
    cp /etc/ssl/certs/ca-certificates.crt /out/root/etc/ssl/certs/ && \
    printf 'intray:x:10001:10001::/nonexistent:/sbin/nologin\n' >/out/root/etc/passwd

FROM scratch
COPY --from=build /out/root/ /
COPY --from=build --chown=10001:10001 /out/owned/ /
COPY THIRD_PARTY_NOTICES.md /usr/share/doc/intray/
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/intray"]
