package api

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// A device cookie proves that an account has signed in from this browser before. It opens nothing:
// the password is still required. But wrong passwords that are sent from other browsers do not lock
// this one out, because it has limits of its own (OWASP, "Slow Down Online Guessing Attacks with
// Device Cookies"). See docs/adr/0010-sessions.md.
//
// The cookie is the base64url encoding of a random id, the time at which it expires, and a MAC of
// both and of the account.
const (
	deviceIDBytes     = 16
	deviceExpiryBytes = 8 // Unix seconds, big endian
	deviceTTL         = 180 * 24 * time.Hour
)

// deviceKey authenticates device cookies. It is derived from a token key.
type deviceKey []byte

func newDeviceKeys(tokenKeys [][]byte) ([]deviceKey, error) {
	keys := make([]deviceKey, len(tokenKeys))
	for i, tokenKey := range tokenKeys {
		key, err := hkdf.Key(sha256.New, tokenKey, nil, "intray device cookies", sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive the key of device cookies: %w", err)
		}
		keys[i] = key
	}
	return keys, nil
}

func (k deviceKey) mac(content []byte, account string) []byte {
	mac := hmac.New(sha256.New, k)
	mac.Write(content)
	mac.Write([]byte(account))
	return mac.Sum(nil)
}

// deviceCookieName returns the name of the cookie for an account. Each account has one, so that
// people who share a browser do not replace each other's.
func (c authCookies) deviceCookieName(account string) string {
	hash := sha256.Sum256([]byte(account))
	return c.nameFor("device") + "-" + hex.EncodeToString(hash[:4])
}

// device returns the id of the browser that has sent a request, if the account has signed in from
// it before, or "".
func (s *server) device(c authCookies, account string) string {
	const size = deviceIDBytes + deviceExpiryBytes
	raw, err := base64.RawURLEncoding.Strict().DecodeString(c.sent(c.deviceCookieName(account)))
	if err != nil || len(raw) != size+sha256.Size || !c.fromOwnPage {
		return ""
	}
	content, mac := raw[:size], raw[size:]
	valid := slices.ContainsFunc(s.deviceKeys, func(k deviceKey) bool {
		return hmac.Equal(mac, k.mac(content, account))
	})
	expiry := binary.BigEndian.Uint64(content[deviceIDBytes:])
	if !valid || uint64(time.Now().Unix()) > expiry {
		return ""
	}
	return string(content[:deviceIDBytes])
}

// rememberDevice makes the browser keep a device cookie for an account that has signed in. It keeps
// the browser's id, if it has one, and with it its limits.
func (s *server) rememberDevice(c authCookies, account, id string) {
	if id == "" {
		random := make([]byte, deviceIDBytes)
		_, _ = rand.Read(random) // never fails
		id = string(random)
	}
	expiry := time.Now().Add(deviceTTL).Unix()
	content := binary.BigEndian.AppendUint64([]byte(id), uint64(expiry))
	value := append(content, s.deviceKeys[0].mac(content, account)...)
	c.add(c.deviceCookieName(account), base64.RawURLEncoding.EncodeToString(value), deviceTTL)
}
