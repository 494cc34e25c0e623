# The headquarters' server behind a NAT, and a branch behind another: an update agent (two processes, one directory) and three
# clients who update from it alone. Prints a line "PUBLICATION WHO SERIAL" for each directory that a publication reached, and
# a line "probe CLIENT VERDICT [FINDING...]" at the end.
# Called with the program, a directory and the mode (ftp or http), by `unshare -Urnm`.
set -eu
# Nothing outlives this script, however it ends.
trap 'kill -KILL $(jobs -p) 2> /dev/null || true' EXIT
program=$1 directory=$2 mode=$3
mount -t tmpfs tmpfs /run
for host in server fw isp bfw ua pc1 pc2 pc3 lan; do
  ip netns add $host
  ip -n $host link set lo up
done
join() { # host/interface/address host/interface/address
  IFS=/ read -r here link address <<< "$1"
  IFS=/ read -r there far_link far_address <<< "$2"
  ip link add "$link" netns "$here" type veth peer name "$far_link" netns "$there"
  ip -n "$here" addr add "$address/24" dev "$link"
  ip -n "$there" addr add "$far_address/24" dev "$far_link"
  ip -n "$here" link set "$link" up
  ip -n "$there" link set "$far_link" up
}
join server/srv0/10.20.0.10 fw/lan/10.20.0.1
join fw/wan/203.0.113.2 isp/hq/203.0.113.1
join isp/office/198.51.100.1 bfw/wan/198.51.100.2
# The branch's own network is a switch.
ip -n lan link add br0 type bridge
ip -n lan link set br0 up
for end in bfw/lan/192.168.50.1 ua/eth0/192.168.50.20 pc1/eth0/192.168.50.51 pc2/eth0/192.168.50.52 pc3/eth0/192.168.50.53; do
  IFS=/ read -r host link address <<< "$end"
  ip link add "$link" netns "$host" type veth peer name "$host" netns lan
  ip -n lan link set "$host" up master br0
  ip -n "$host" addr add "$address/24" dev "$link"
  ip -n "$host" link set "$link" up
done
ip -n server route add default via 10.20.0.1
ip -n fw route add default via 203.0.113.1
ip -n bfw route add default via 198.51.100.1
for host in ua pc1 pc2 pc3; do ip -n $host route add default via 192.168.50.1; done
for router in fw isp bfw; do ip netns exec $router sysctl -qw net.ipv4.ip_forward=1; done

# The headquarters forwards what the update agent needs, and nothing else; the branch lets the update agent out, and nobody else.
# Over HTTP the guide opens no FTP: nothing is uploaded.
case $mode in
  ftp) ports='2021, 3023-3332, 3334-4022' uploads=on ;;
  http) ports='2221' uploads=off ;;
esac
ip netns exec fw nft -f - << RULES
table ip fw {
  chain pre { type nat hook prerouting priority dstnat; iifname "wan" tcp dport { 3333, 2222, 2225, $ports } dnat to 10.20.0.10; }
  chain forward { type filter hook forward priority filter; policy drop; ct state established,related accept; ct status dnat accept; }
}
RULES
ip netns exec bfw nft -f - << RULES
table ip bfw {
  chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
  chain forward { type filter hook forward priority filter; policy drop; ct state established,related accept
    ip saddr 192.168.50.20 tcp dport { 3333, 2222, 2225, $ports } accept; }
}
RULES

export FWDRILL_MODE=$mode
ip netns exec server "$program" serve --announce --state "$directory/server" --set ftp.advertised_address=203.0.113.2 \
  > "$directory/server.announced" 2> "$directory/server.log" &
until [ -s "$directory/server.announced" ]; do sleep 0.05; done
key=$(sed 's/.*"public_key":"\([^"]*\)".*/\1/' "$directory/server.announced")
ip netns exec ua "$program" sync 203.0.113.2 --into "$directory/ua/depot" --public-key "$key" --uploads $uploads --watch --every 1 \
  > "$directory/ua-sync.log" 2>&1 &
ip netns exec ua "$program" serve --role update-agent --announce --state "$directory/ua" --depot "$directory/ua/depot" \
  > "$directory/ua.announced" 2> "$directory/ua-serve.log" &
until [ -s "$directory/ua.announced" ]; do sleep 0.05; done
for client in pc1 pc2 pc3; do
  ip netns exec $client "$program" sync 192.168.50.20 --into "$directory/$client" --public-key "$key" --client $client \
    --events off --watch --every 1 > "$directory/$client.log" 2>&1 &
done

reached() { # serial
  for who in ua/depot pc1 pc2 pc3; do
    until [ "$(readlink "$directory/$who/current")" = "sets/$1" ]; do sleep 0.05; done
    # Not by this program: the stock verifier.
    minisign -V -q -P "$key" -m "$directory/$who/current/manifest.json" -x "$directory/$who/current/manifest.json.minisig"
    echo "publication ${who%/depot} $1"
  done
}
reached 1
"$program" publish "$directory/server/depot" --state "$directory/server" --version 22.0.2 > /dev/null 2>> "$directory/server.log"
reached 2

for client in pc1 pc2 pc3; do
  probe=$(ip netns exec $client "$program" probe 192.168.50.20 --from branch --format json --send-report off --set server.host=203.0.113.2 \
    --set expect.branch.console=any --set expect.branch.events=any --set expect.branch.system=any --set expect.branch.self_events=any || true)
  printf '%s' "$probe" | tr -d '\n'
  echo
done
