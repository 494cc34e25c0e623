#!/bin/sh
# One client, one firewall, one server, each in a network namespace of its own, within a user namespace: no root needed.
#
#   cli 198.51.100.10 -- 198.51.100.1 fw (also 203.0.113.2) 10.20.0.1 -- 10.20.0.10 srv
#
# lab.sh FWDRILL DIR: reads DIR/fw.nft, runs DIR/serve (arguments, one a line) in srv and DIR/probe in cli; the probe's
# report goes to stdout and its exit code is the lab's. Everything is gone when the last process of it ends.
set -eu
fwdrill=$1 dir=$2

mount -t tmpfs none /run
for host in cli fw srv; do
    ip netns add "$host"
    ip -n "$host" link set lo up
done
ip -n fw link add wan type veth peer name eth0 netns cli
ip -n fw link add lan type veth peer name eth0 netns srv
ip -n cli addr add 198.51.100.10/24 dev eth0
ip -n fw addr add 198.51.100.1/24 dev wan
ip -n fw addr add 203.0.113.2/32 dev wan
ip -n fw addr add 10.20.0.1/24 dev lan
ip -n srv addr add 10.20.0.10/24 dev eth0
ip -n cli link set eth0 up
ip -n fw link set wan up
ip -n fw link set lan up
ip -n srv link set eth0 up
ip -n cli route add default via 198.51.100.1
ip -n srv route add default via 10.20.0.1
ip netns exec fw sysctl -qw net.ipv4.ip_forward=1
ip netns exec fw nft -f "$dir/fw.nft"

# shellcheck disable=SC2046 # arguments hold no spaces
ip netns exec srv "$fwdrill" serve --announce --state "$dir/state" $(cat "$dir/serve") >"$dir/announced" 2>"$dir/server.log" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
until [ -s "$dir/announced" ]; do
    kill -0 $server || { cat "$dir/server.log" >&2; exit 99; }
    sleep 0.02
done
# shellcheck disable=SC2046
ip netns exec cli "$fwdrill" probe $(cat "$dir/probe")
