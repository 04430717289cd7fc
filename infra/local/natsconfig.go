package local

// natsConfig is the server's configuration.
var natsConfig = []byte(`
host: $NATS_HOST
port: $NATS_PORT
jetstream { store_dir: $NATS_STORE_DIR, sync_interval: always }
accounts {
  $SYS { }
  INTRAY {
    jetstream: enabled
    users: [
      {user: minio, password: $NATS_MINIO_PASSWORD}
      {user: api, password: $NATS_API_PASSWORD}
      {user: worker, password: $NATS_WORKER_PASSWORD}
      {user: operator, password: $NATS_OPERATOR_PASSWORD}
    ]
  }
}
`)
