package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"intray/api"
	"intray/infra/postgres"
	"intray/infra/postgres/postgrestest"
)

// Replicas issue and check access tokens by the database's clock, whatever their own clocks show.
func TestTokensFollowTheClockOfTheDatabase(t *testing.T) {
	for _, skew := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			b := setup(t, func(c *api.Config) { c.Sessions.AccessTokenTTL = 4 * time.Minute })
			if err := postgrestest.SkewClock(t.Context(), b.sql, skew); err != nil {
				t.Fatal(err)
			}
			b.useDatabase(&b.config, b.roleURL, postgres.Options{}) // as a replica that starts now
			b.alice.base = b.serve(b.config)
			b.alice.token = as[api.Token](b.alice.login(b.alice.email, userPassword).is(200)).AccessToken
			var claims jwt.RegisteredClaims
			if _, _, err := jwt.NewParser().ParseUnverified(b.alice.token, &claims); err != nil {
				t.Fatal(err)
			}
			if got := time.Until(claims.IssuedAt.Time); (got - skew).Abs() > 10*time.Second {
				t.Errorf("the token was issued at a time that is %s from now, want %s", got, skew)
			}
			b.alice.get("/api/me").is(http.StatusOK)
		})
	}
}
