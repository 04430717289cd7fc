package local

import "context"

// Run adds a process to the servers, starts it and returns when it is ready for the first
// time. A process that dies at once again and again is given up, with its last lines in the
// error.
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

// Child returns the process of that name (postgres, nats, minio, or one that was added), or nil.
func (s *Servers) Child(name string) *Child { return s.supervisor.child(name) }

// Port returns the port on which the part of that name listens: the one in [Config].Ports,
// else the one kept in the data folder, else a free one, which is kept from then on. It
// fails if another program has that port, so ask before the part is started.
func (s *Servers) Port(ctx context.Context, name string) (int, error) {
	return s.state.port(ctx, name, s.config.Ports[name])
}

// Secret returns a random password or key of that name with 256 bits at least, made on
// first use and kept in the data folder. It has letters and digits only.
func (s *Servers) Secret(name string) (string, error) { return s.state.secret(name) }

// Dir returns the data folder, absolute.
func (s *Servers) Dir() string { return s.config.Dir }

// PostgresURL returns the URL of the database intray as its owner, who may create roles but
// is no superuser.
func (s *Servers) PostgresURL() string {
	return s.postgres.url(owner, s.postgres.ownerPassword, database)
}

// PostgresAs returns the URL of the database intray as another role with that password.
func (s *Servers) PostgresAs(role, password string) string {
	return s.postgres.url(role, password, database)
}

// PostgresSuperuserURL returns the URL of the database postgres as superuser, which only
// tests need: they make databases of their own.
func (s *Servers) PostgresSuperuserURL() string {
	return s.postgres.url(superuser, s.postgres.superPassword, superuser)
}

// NATSURL returns the URL of NATS, without a user.
func (s *Servers) NATSURL() string { return "nats://" + s.nats.address() }

// NATSPassword returns the password of [NATSMinIO], [NATSAPI], [NATSWorker] or [NATSOperator].
func (s *Servers) NATSPassword(user string) string { return s.nats.passwords[user] }

// MinIOEndpoint returns MinIO's address as host:port; it speaks plain HTTP.
func (s *Servers) MinIOEndpoint() string { return s.minio.address() }

// MinIORoot returns MinIO's root user and password.
func (s *Servers) MinIORoot() (user, password string) {
	return s.minio.settings.RootUser, s.minio.settings.RootPassword
}

// Close ends every process in the reverse of the order in which they were added, PostgreSQL
// last, removes stack.json and gives the data folder free. What was stored stays. It may be
// called more than once.
func (s *Servers) Close() {
	s.closeOnce.Do(func() {
		if s.supervisor != nil {
			s.supervisor.stop()
		}
		if err := s.removeStack(); err != nil {
			s.out.say("%v", err)
		}
		s.lock.release()
	})
}
