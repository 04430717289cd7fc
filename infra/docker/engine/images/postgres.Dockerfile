# A stand-in for postgres:18, from Debian unstable, which has this version. The entry point does
# what the documentation of the official image says, as far as compose.yaml relies on it.
FROM debian:13-slim
ARG MIRROR
RUN groupadd --gid 999 postgres && \
    useradd --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres
RUN echo "deb $MIRROR sid main" >/etc/apt/sources.list.d/sid.list && apt-get update && \
    apt-get install -y --no-install-recommends postgresql-common && \
    echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf && \
    apt-get install -y --no-install-recommends postgresql-18 && \
    rm -rf /var/lib/postgresql/* && \
    install -d -o postgres -g postgres -m 1777 /var/lib/postgresql && \
    install -d /docker-entrypoint-initdb.d
ENV LANG=C.UTF-8 PATH=/usr/lib/postgresql/18/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PGDATA=/var/lib/postgresql/18/docker
VOLUME /var/lib/postgresql
COPY --chmod=755 <<'SCRIPT' /usr/local/bin/docker-entrypoint.sh
#!/bin/bash
set -euo pipefail
if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  chown --recursive postgres /var/lib/postgresql/18 /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?is required for a new database}"
  export POSTGRES_USER=${POSTGRES_USER:-postgres}
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  # The scripts run while the server listens only on its Unix socket.
  pg_ctl start --wait --options="-c listen_addresses=''"
  for script in /docker-entrypoint-initdb.d/*.sh; do
    if [ -x "$script" ]; then PGPASSWORD=$POSTGRES_PASSWORD "$script"; else . "$script"; fi
  done
  pg_ctl stop --wait --mode=fast
fi
exec "$@"
SCRIPT
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
