package local

import "context"

// Run adds a process to the servers, starts it and returns when it is ready for the first time.
// From then on the process is restarted whenever it exits. If the process exits three times before
// it is ready, or is not ready within its ReadyTimeout, Run returns an error that contains the last
// lines of its log.
func (s *Servers) Run(ctx context.Context, p Process) (*Child, error) {
	if p.Path == "" {
		p.Path = s.config.Executable
	}
	c, err := s.supervisor.add(p.withDefaults(s.config.Dir))
	if err != nil {
		return nil, err
	}
	return c, s.startOne(ctx, c)
}

// Child returns the named process, or nil if there is none. The name is postgres, nats, minio or
// that of a process added with [Servers.Run].
func (s *Servers) Child(name string) *Child { return s.supervisor.child(name) }

// Port returns the port on which the named part is to listen. It is the port in [Config].Ports, or
// the one stored in the data folder, or a free port, which Port then stores there. Port returns an
// error if another program listens on the port. Call it before the part is started.
func (s *Servers) Port(ctx context.Context, name string) (int, error) {
	return s.state.port(ctx, name, s.config.Ports[name])
}

// Secret returns the random password or key called name. It is generated on first use and stored in
// the data folder. It has at least 256 random bits and consists of letters and digits.
func (s *Servers) Secret(name string) (string, error) { return s.state.secret(name) }

// Dir returns the absolute path of the data folder.
func (s *Servers) Dir() string { return s.config.Dir }

// PostgresURL returns the URL of the database intray for its owner, who may create roles but is not
// a superuser. A client that uses it verifies the server's certificate.
func (s *Servers) PostgresURL() string {
	return VerifiedPostgres(s.PlainPostgresURL(), s.config.Dir)
}

// PostgresAs returns the URL of the database intray for another role. A client that uses it
// verifies the server's certificate.
func (s *Servers) PostgresAs(role, password string) string {
	return VerifiedPostgres(s.postgres.url(role, password, database), s.config.Dir)
}

// PlainPostgresURL is the URL of PostgresURL without TLS, for stack.json and for tests.
func (s *Servers) PlainPostgresURL() string {
	return s.postgres.url(owner, s.postgres.ownerPassword, database)
}

// PostgresSuperuserURL returns the URL of the database postgres for the superuser. Only tests need
// it, to create databases.
func (s *Servers) PostgresSuperuserURL() string {
	return s.postgres.url(superuser, s.postgres.superPassword, superuser)
}

// NATSURL returns the URL of NATS, without user and password. Clients verify the server with CA.
func (s *Servers) NATSURL() string { return "nats://" + s.nats.address() }

// NATSPassword returns the password of [NATSMinIO], [NATSAPI], [NATSWorker] or [NATSOperator].
func (s *Servers) NATSPassword(user string) string { return s.nats.passwords[user] }

// MinIOEndpoint returns MinIO's address as host:port. MinIO serves HTTP without TLS.
func (s *Servers) MinIOEndpoint() string { return s.minio.address() }

// MinIORoot returns MinIO's root user and password.
func (s *Servers) MinIORoot() (user, password string) {
	return s.minio.settings.RootUser, s.minio.settings.RootPassword
}

// Close ends all processes in the reverse of the order in which they were added, so PostgreSQL is
// the last one. Then it removes stack.json and unlocks the data folder. The stored data remain.
// Close may be called more than once.
func (s *Servers) Close() {
	s.closeOnce.Do(func() {
		if s.supervisor != nil {
			s.supervisor.stop()
		}
		if err := s.removeStack(); err != nil {
			s.out.printf("%v", err)
		}
		s.lock.release()
	})
}
