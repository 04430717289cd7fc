#!/bin/sh
# Downloads the built files of Swagger UI into swagger-ui/. They come from the swagger-ui-dist
# package in the npm registry, so npm is required. To update to a different version, set version and
# integrity below. `npm view swagger-ui-dist@VERSION dist.integrity` prints the integrity. Then
# check that the page loads nothing that the policy in api/docs.go forbids.
set -eu
version=5.35.0
integrity='sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ=='

cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" "swagger-ui-dist@$version" >/dev/null
archive=$work/swagger-ui-dist-$version.tgz
got=sha512-$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
[ "$got" = "$integrity" ] || { echo "swagger-ui-dist@$version is $got, want $integrity" >&2; exit 1; }
rm -rf swagger-ui
mkdir swagger-ui
tar -xzf "$archive" -C swagger-ui --strip-components=1 \
  package/swagger-ui-bundle.js package/swagger-ui-bundle.js.LICENSE.txt package/swagger-ui.css package/LICENSE package/NOTICE
echo "$version" >swagger-ui/VERSION
(cd swagger-ui && sha256sum -- * >../swagger-ui.sha256)
