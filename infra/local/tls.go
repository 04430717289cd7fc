package local

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"time"
)

// CAFile is the name of the file in the data folder that contains the certificate of PostgreSQL and
// NATS. The programs of a stack accept no other, so that they send nothing to a program that has
// taken the port of a stopped server.
const CAFile = "ca.pem"

// A certificate is a self-signed certificate of 127.0.0.1 and its private key, both PEM-encoded.
type certificate struct{ cert, key []byte }

// newCertificate creates a certificate. Each start of a stack has a new one.
func newCertificate() (certificate, error) {
	fail := func(err error) (certificate, error) {
		return certificate{}, fmt.Errorf("create the certificate of the servers: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fail(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "intray up"},
		// The clock may be set back, and a stack may run for years.
		NotBefore:   time.Now().Add(-24 * time.Hour),
		NotAfter:    time.Now().AddDate(30, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return fail(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fail(err)
	}
	return certificate{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}, nil
}

// certFile and keyFile return the paths of the files that write creates in dir.
func certFile(dir string) string { return filepath.Join(dir, "server.crt") }
func keyFile(dir string) string  { return filepath.Join(dir, "server.key") }

// write writes the certificate and the key to files of the user in dir.
func (c certificate) write(dir string, user *osUser) error {
	for path, text := range map[string][]byte{certFile(dir): c.cert, keyFile(dir): c.key} {
		err := writeFile(path, text)
		if err == nil {
			err = user.chown(path)
		}
		if err != nil {
			return fmt.Errorf("write the certificate of a server: %w", err)
		}
	}
	return nil
}

// VerifiedPostgres returns a URL of stack.json's PostgreSQL with which clients verify the server's
// certificate before they send anything else. dir is the data folder.
func VerifiedPostgres(plain, dir string) string {
	u, err := url.Parse(plain)
	if err != nil {
		return plain // only if stack.json was changed; connecting fails too
	}
	q := u.Query()
	q.Set("sslmode", "verify-full")
	q.Set("sslrootcert", filepath.Join(dir, CAFile))
	u.RawQuery = q.Encode()
	return u.String()
}

// CA returns the path of the file with the certificate of PostgreSQL and NATS.
func (s *Servers) CA() string { return filepath.Join(s.config.Dir, CAFile) }

// createCertificate creates the certificate of this start.
func (s *Servers) createCertificate() (certificate, error) {
	c, err := newCertificate()
	if err == nil {
		err = writeFile(s.CA(), c.cert)
	}
	return c, err
}
