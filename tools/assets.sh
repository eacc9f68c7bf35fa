#!/usr/bin/env bash
# Prints the directory that holds etcd, kube-apiserver and kubectl, after building what is missing.
#
# $KUBEBUILDER_ASSETS is that directory when it is set and complete. Otherwise it is in the user's cache, named after the
# pins: the versions are those of tools/*/go.mod, and nothing else says them. Safe to run several times at once.
set -euo pipefail

programs=(etcd kube-apiserver kubectl)
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

say() { echo "tools: $*" >&2; }

is_complete() { # directory
  local program
  for program in "${programs[@]}"; do [[ -x $1/$program ]] || return 1; done
}

pinned_version() { # module directory, Go module
  awk -v module="$2" '$1 == module { print $2; exit }' "$tools/$1/go.mod"
}

# Only what these modules pin: whatever the environment says of workspaces, vendoring or other flags would change the build.
build() { # module directory, then arguments of go build
  (cd "$tools/$1" && CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly go build -trimpath "${@:2}" 9>&-)
}

build_all() { # directory
  local version
  version=$(pinned_version kubernetes k8s.io/kubernetes)
  build etcd -o "$1/etcd" -ldflags '-s -w' go.etcd.io/etcd/server/v3
  local package=k8s.io/component-base/version major minor
  IFS=. read -r major minor _ <<<"${version#v}"
  build kubernetes -o "$1/" \
    -ldflags "-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor" \
    k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
}

# Waits on a pipe that nobody writes to: a sleep would outlive us and hold the pipe of whoever reads our stderr.
heartbeat() {
  exec 9>&- >/dev/null 3<> <(:)
  until read -r -t 20 -u 3 _; do say "still building, $SECONDS s so far"; done
}

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  if is_complete "$KUBEBUILDER_ASSETS"; then
    (cd -- "$KUBEBUILDER_ASSETS" && pwd)
    exit
  fi
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks one of ${programs[*]}; not used"
fi

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/btrfs-operator
pins=$(cat "$tools"/{etcd,kubernetes}/go.{mod,sum} "${BASH_SOURCE[0]}" | sha256sum | cut -c1-16)
assets=$cache/$pins
if is_complete "$assets"; then
  echo "$assets"
  exit
fi

if ! command -v go >/dev/null; then
  say "Go is needed to build ${programs[*]}: install Go 1.26 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS"
  exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
if ! flock --nonblock 9; then
  say "waiting for another build of the same programs"
  flock 9
fi
if ! is_complete "$assets"; then
  say "building etcd $(pinned_version etcd go.etcd.io/etcd/server/v3), kube-apiserver and kubectl" \
    "$(pinned_version kubernetes k8s.io/kubernetes) in $cache: once, about 5 minutes on 2 cores"
  rm -rf "$cache"/build.*
  build_dir=$(mktemp -d "$cache/build.XXXXXX")
  heartbeat &
  heartbeat_pid=$!
  disown
  trap 'kill $heartbeat_pid 2>/dev/null || true; rm -rf "$build_dir"' EXIT
  build_all "$build_dir"
  chmod 755 "$build_dir"
  rm -rf "$assets"
  mv -T "$build_dir" "$assets"
  say "built in $SECONDS s"
fi
echo "$assets"
