# Builds the image of Intray's own processes, without PostgreSQL, NATS and MinIO. The image contains
# a static binary and the CA certificates; that of the target ocr is Debian's with tesseract.
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
# A new volume has the same owner as the directory that it is mounted on. /var/cache/intray is the
# mount point of the consumers' cache.
RUN mkdir -p /out/root/etc/ssl/certs /out/owned/var/cache/intray && \
    cp /etc/ssl/certs/ca-certificates.crt /out/root/etc/ssl/certs/ && \
    printf 'intray:x:10001:10001::/nonexistent:/sbin/nologin\n' >/out/root/etc/passwd

# With tesseract, which reads pictures and scans: INTRAY_TARGET=ocr in .env.
FROM debian:13-slim AS ocr
ARG OCR_LANGUAGES=eng
RUN apt-get update && \
    apt-get install -y --no-install-recommends tesseract-ocr \
        $(printf '%s' "${OCR_LANGUAGES:-eng}" | tr '+_' '\n-' | sed 's/^/tesseract-ocr-/') && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin intray
COPY --from=build /out/root/usr/ /usr/
COPY --from=build /out/root/etc/ssl/ /etc/ssl/
COPY --from=build --chown=10001:10001 /out/owned/ /
COPY THIRD_PARTY_NOTICES.md /usr/share/doc/intray/
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/intray"]

FROM scratch AS intray
COPY --from=build /out/root/ /
COPY --from=build --chown=10001:10001 /out/owned/ /
COPY THIRD_PARTY_NOTICES.md /usr/share/doc/intray/
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/intray"]
