#!/bin/sh
# Writes the users' file with the password's hash, never the password, and becomes the server.
set -eu
here=$(dirname "$0")
: "${VALKEY_PASSWORD:?set it to a long random text}"
hash=$(printf %s "$VALKEY_PASSWORD" | sha256sum | cut -d ' ' -f 1)
acl=${VALKEY_ACL_FILE:-/run/valkey/users.acl}
sed "s/@PASSWORD_SHA256@/$hash/" "$here/users.acl.template" >"$acl"
unset VALKEY_PASSWORD
exec docker-entrypoint.sh valkey-server "$here/valkey.conf" --aclfile "$acl" "$@"
