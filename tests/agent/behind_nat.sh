# A server, and an agent behind a NAT that forwards nothing, in namespaces. Prints what became of a task: as it was given, as it ended,
# the findings of the agent's report, those of a drill beside the agent, and how the agent ended.
# Called with the program and a directory, by `unshare -Urnm`.
set -eu
# Nothing outlives this script, however it ends.
trap 'kill -KILL $(jobs -p) 2> /dev/null || true' EXIT
program=$1 directory=$2
mount -t tmpfs tmpfs /run
for host in server nat client; do
  ip netns add $host
  ip -n $host link set lo up
done
ip link add server0 netns server type veth peer name wan netns nat
ip link add client0 netns client type veth peer name lan netns nat
for end in server/server0/203.0.113.2 nat/wan/203.0.113.9 nat/lan/192.168.50.1 client/client0/192.168.50.10; do
  IFS=/ read -r host link address <<< "$end"
  ip -n "$host" addr add "$address/24" dev "$link"
  ip -n "$host" link set "$link" up
done
ip -n client route add default via 192.168.50.1
ip netns exec nat sysctl -qw net.ipv4.ip_forward=1
ip netns exec nat nft -f - << 'RULES'
table ip nat {
  chain post {
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade
  }
  chain input {
    type filter hook input priority filter
    iifname "wan" tcp dport 2222 drop
  }
}
RULES

export FWDRILL_AGENT_TOKEN=0123456789abcdef FWDRILL_EXPECT_OUTSIDE_TASKS=open
ip netns exec server "$program" serve --announce --state "$directory/state" > "$directory/announced" 2> "$directory/server.log" &
until [ -s "$directory/announced" ]; do sleep 0.05; done
key=$(sed 's/.*"public_key":"\([^"]*\)".*/\1/' "$directory/announced")
ip netns exec client "$program" agent 203.0.113.2 --client=pc-1 --into="$directory/updates" --public-key="$key" --every=3 2> "$directory/agent.log" &
agent=$!

api() {
  local path=$1
  shift
  ip netns exec server curl --silent --insecure --header "Authorization: Bearer $(cat "$directory/state/console/token")" \
    --header 'Content-Type: application/json' "$@" "https://203.0.113.2:10443/api/$path"
}
until api agents | grep -q pc-1; do sleep 0.05; done
api tasks --data '{"task":"probe","client":"pc-1"}'
echo
until api tasks | grep -q '"done"\|"failed"'; do sleep 0.05; done
api tasks
echo
api reports/"$(api reports | sed 's/^\[{"seq":\([0-9]*\).*/\1/')"
echo
ip netns exec client "$program" probe 203.0.113.2 --quick --format=json --send-report=off | tr -d '\n'
echo
kill $agent
wait $agent && echo '"the agent ended with 0"'
