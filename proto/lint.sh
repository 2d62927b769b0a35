#!/bin/sh
# Checks the API: style (buf STANDARD, and a comment on every element), no
# breaking change against the committed descriptor set, and generated code equal
# to what the .proto files give. Needs go and npm.
set -eu
proto=$(cd "$(dirname "$0")" && pwd)
buf=$(dirname "$proto")/build/tools/buf
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$proto/generate.sh" "$tmp"
cd "$proto"
"$buf" lint
"$buf" format -d --exit-code
"$buf" breaking --against greave/v1/greave.v1.binpb
mkdir "$tmp/committed"
cp greave/v1/*.pb.go "$tmp/committed/"
diff -r "$tmp/committed" "$tmp/greave/v1" >&2 || {
  echo "proto: generated code differs from the .proto files: run make generate" >&2
  exit 1
}
