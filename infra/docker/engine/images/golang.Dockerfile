# A stand-in for golang:1.26-trixie, with the Go installation and the CA certificates of the machine
# that builds it.
FROM debian:13-slim
COPY etc /etc
COPY usr /usr
ENV GOTOOLCHAIN=local GOPATH=/go PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /go
