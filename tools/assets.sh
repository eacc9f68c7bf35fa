#!/usr/bin/env bash
# Prints the directory that holds the programs of others that we run, after building those that are missing.
#
#   tools/assets.sh [SET]    demo: etcd, kube-apiserver, kubectl (the default)
#                            test: these, Helm 4 (helm), Helm 3 (helm3) and promtool
#                            e2e:  these, and all that a node of a cluster needs
#
# $KUBEBUILDER_ASSETS is that directory when it is set and complete. Otherwise it is in the user's cache, named after the
# pins: the versions are those of tools/*/go.mod, and nothing else says them. Safe to run several times at once.
set -euo pipefail

tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

say() { echo "tools: $*" >&2; }

# Those of one line are of one Go module.
groups=(etcd 'kube-apiserver kubectl')
case ${1:-demo} in
demo) minutes=5 ;;
test)
  groups+=(helm helm3 promtool)
  minutes=12
  ;;
e2e)
  groups=(etcd 'kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet kube-proxy' helm helm3 promtool)
  groups+=('containerd containerd-shim-runc-v2 ctr' runc)
  minutes=20
  ;;
*)
  say "unknown set \"$1\": give one of demo, test, e2e"
  exit 2
  ;;
esac

# The programs that are not in a directory, those of one module in one line.
missing_in() { # directory
  local group program missing
  for group in "${groups[@]}"; do
    missing=()
    for program in $group; do [[ -x $1/$program ]] || missing+=("$program"); done
    ((${#missing[@]} == 0)) || echo "${missing[*]}"
  done
}

pinned_version() { # module directory, Go module
  awk -v module="$2" '$1 == module { print $2; exit }' "$tools/$1/go.mod"
}

# Only what these modules pin: whatever the environment says of workspaces, vendoring or other flags would change the build.
# Nobody debugs these programs; leaving out what a debugger needs saves a tenth of the time.
build() { # module directory, then arguments of go build
  (cd "$tools/$1" && CGO_ENABLED=${CGO_ENABLED:-0} GOWORK=off GOFLAGS=-mod=readonly \
    go build -trimpath -gcflags=all=-dwarf=false "${@:2}" 9>&-)
}

kubernetes_flags() {
  local version package=k8s.io/component-base/version major minor
  version=$(pinned_version kubernetes k8s.io/kubernetes)
  IFS=. read -r major minor _ <<<"${version#v}"
  echo "-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
}

# The programs of one module are built side by side, since a linker keeps only one core busy.
build_programs() { # directory to write to, programs of one module
  local directory=$1 containerd=github.com/containerd/containerd/v2
  shift
  case $1 in
  etcd) build etcd -o "$directory/etcd" -ldflags '-s -w' go.etcd.io/etcd/server/v3 ;;
  kube*) build kubernetes -o "$directory/" -ldflags "$(kubernetes_flags)" "${@/#/k8s.io/kubernetes/cmd/}" ;;
  helm) build helm -o "$directory/helm" -ldflags '-s -w' helm.sh/helm/v4/cmd/helm ;;
  helm3) build helm -o "$directory/helm3" -ldflags '-s -w' helm.sh/helm/v3/cmd/helm ;;
  # Without service discovery, which checks no rules and is a fifth of it.
  promtool)
    build prometheus -o "$directory/promtool" -tags remove_all_sd -ldflags '-s -w' github.com/prometheus/prometheus/cmd/promtool
    ;;
  containerd* | ctr)
    build containerd -o "$directory/" -tags no_btrfs,no_devmapper,no_zfs \
      -ldflags "-s -w -X $containerd/version.Version=$(pinned_version containerd $containerd)" "${@/#/$containerd/cmd/}"
    ;;
  # With cgo and libseccomp: without them it refuses every container that asks for a seccomp profile.
  runc)
    CGO_ENABLED=1 build runc -o "$directory/runc" -tags seccomp \
      -ldflags "-s -w -X main.version=$(pinned_version runc github.com/opencontainers/runc)" github.com/opencontainers/runc
    ;;
  esac
}

# Waits on a pipe that nobody writes to: a sleep would outlive us and hold the pipe of whoever reads our stderr.
heartbeat() {
  exec 9>&- >/dev/null 3<> <(:)
  until read -r -t 20 -u 3 _; do say "still building, $SECONDS s so far"; done
}

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  mapfile -t missing < <(missing_in "$KUBEBUILDER_ASSETS")
  if ((${#missing[@]} == 0)); then
    (cd -- "$KUBEBUILDER_ASSETS" && pwd)
    exit
  fi
  say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks ${missing[*]}; not used"
fi

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/btrfs-operator
pins=$(cat "$tools"/*/go.{mod,sum} "${BASH_SOURCE[0]}" | sha256sum | cut -c1-16)
assets=$cache/$pins
mapfile -t missing < <(missing_in "$assets")
if ((${#missing[@]} == 0)); then
  echo "$assets"
  exit
fi

if ! command -v go >/dev/null; then
  say "Go is needed to build ${missing[*]}: install Go 1.26 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS"
  exit 1
fi

mkdir -p "$assets"
exec 9>"$cache/lock"
if ! flock --nonblock 9; then
  say "waiting for another build of the same programs"
  flock 9
fi
mapfile -t missing < <(missing_in "$assets")
if ((${#missing[@]})); then
  say "building ${missing[*]} in $cache: once, about $minutes minutes for a whole set on 2 cores"
  rm -rf "$cache"/build.*
  build_dir=$(mktemp -d "$cache/build.XXXXXX")
  heartbeat &
  heartbeat_pid=$!
  disown
  trap 'kill $heartbeat_pid 2>/dev/null || true; rm -rf "$build_dir"' EXIT
  # shellcheck disable=SC2086 # a group is words
  for group in "${missing[@]}"; do
    build_programs "$build_dir" $group
    mv "$build_dir"/* "$assets/"
  done
  say "built in $SECONDS s"
fi
echo "$assets"
