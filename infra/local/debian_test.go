package local

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNeededPackages(t *testing.T) {
	var plan strings.Builder
	for _, name := range []string{
		"perl-base", "libperl5.36", "libjson-perl", "libllvm14", "libz3-4", "libpq5", "libpq-dev",
		"libc6", "libxml2", "libldap-2.5-0", "libssl3t64", "libjs-jquery", "postgresql-client-15",
		"postgresql-common", "postgresql-15", "postgresql", "ssl-cert",
	} {
		fmt.Fprintf(&plan, "'http://mirror/pool/main/%s_1.2-3%%2bdeb12u1_amd64.deb' "+
			"%s_1.2-3+deb12u1_amd64.deb 1234 SHA256:00\n", name, name)
	}
	plan.WriteString("Need to get 12 MB of archives.\n")
	want := []string{"libpq5", "libxml2", "libldap-2.5-0", "libssl3t64", "postgresql-15"}
	if got := neededPackages(plan.String(), serverPackage); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
