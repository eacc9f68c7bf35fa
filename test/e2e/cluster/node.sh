#!/usr/bin/env bash
# The first process of a node: `node.ts` starts it in mount, pid, network and host name namespaces of its own, so that killing
# it is pulling the plug. Programs and settings come by environment; what the node keeps over a reboot is in $NODE_DIR.
set -euo pipefail

say() { echo "node.sh: $*"; }

hostname "$NODE_NAME"
for dir in /run /var/lib /var/log; do
  for needed in "$NODE_DIR" "$ASSETS_DIR" "$IMAGES_DIR"; do
    [[ $needed/ != "$dir"/* ]] || { say "$needed must not be below $dir, which is the node's own"; exit 1; }
  done
  mount -t tmpfs -o mode=0755 "$NODE_NAME" "$dir"
done
mkdir -p "$NODE_DIR"/{containerd,kubelet,pods-logs} "$NODE_DIR/root" /var/lib/btrfs-operator
mount --bind "$NODE_DIR/root" /var/lib/btrfs-operator
# Bidirectional propagation of a pod's mounts needs a shared tree; nobody else is in its peer group.
mount --make-rshared /

until [[ -e $NODE_DIR/network-is-up ]]; do read -r -t 0.05 _ <> <(:) || true; done
sysctl -q net.ipv4.ip_forward=1
export PATH=$ASSETS_DIR:$PATH

containerd --config "$NODE_DIR/containerd.toml" >>"$NODE_DIR/containerd.log" 2>&1 &
containerd_pid=$!
until ctr --address /run/containerd.sock version >/dev/null 2>&1; do
  kill -0 $containerd_pid || { say "containerd ended"; exit 1; }
  read -r -t 0.1 _ <> <(:) || true
done
for image in "$IMAGES_DIR"/*.tar; do
  [[ -e $NODE_DIR/containerd/imported ]] || ctr --address /run/containerd.sock --namespace k8s.io images import --local "$image"
done
# What an upgrade goes to: the same program as another version.
[[ -e $NODE_DIR/containerd/imported ]] || ctr --address /run/containerd.sock --namespace k8s.io images tag "$OPERATOR_IMAGE:$VERSION" "$OPERATOR_IMAGE:next"
touch "$NODE_DIR/containerd/imported"
kube-proxy --config "$NODE_DIR/kube-proxy.yaml" --hostname-override "$NODE_NAME" >>"$NODE_DIR/kube-proxy.log" 2>&1 &
kubelet --config "$NODE_DIR/kubelet.yaml" --kubeconfig "$NODE_DIR/kubeconfig" --hostname-override "$NODE_NAME" \
  --node-ip "$NODE_ADDRESS" --root-dir "$NODE_DIR/kubelet" --cert-dir "$NODE_DIR/kubelet/pki" >>"$NODE_DIR/kubelet.log" 2>&1 &
say "up"
# Collects what containers leave behind, for as long as one of the three lives.
wait
say "containerd, kube-proxy and kubelet ended"
