//! The programs that load rules: how each is started in a namespace, what somebody has in it already, and what it holds.

/// A program of Debian's that loads rules.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FrontEnd {
    Nftables,
    /// A table of somebody's that refuses what nothing accepts, and jumps to ours.
    NftablesWithin,
    Iptables {
        legacy: bool,
    },
    Ufw,
    Firewalld,
    Shorewall,
}

impl FrontEnd {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            FrontEnd::Nftables | FrontEnd::NftablesWithin => "nftables",
            FrontEnd::Iptables { .. } => "iptables",
            FrontEnd::Ufw => "ufw",
            FrontEnd::Firewalld => "firewalld",
            FrontEnd::Shorewall => "shorewall",
        }
    }

    pub(crate) fn programs(self) -> &'static [&'static str] {
        match self {
            FrontEnd::Nftables | FrontEnd::NftablesWithin => &["nft"],
            FrontEnd::Iptables { legacy: false } => &["iptables-nft", "ip6tables-nft"],
            FrontEnd::Iptables { legacy: true } => &["iptables-legacy", "ip6tables-legacy"],
            FrontEnd::Ufw => &["ufw"],
            FrontEnd::Firewalld => &["dbus-daemon", "firewalld", "firewall-cmd", "nft"],
            FrontEnd::Shorewall => &["shorewall", "shorewall6"],
        }
    }

    /// Shell commands: somebody's rules that are there already, and have to be afterwards. All but [`FrontEnd::Nftables`]' refuse whatever no
    /// rule lets through, what the host itself begins among it where they can.
    pub(crate) fn prepare(self, router: bool) -> String {
        match self {
            FrontEnd::Nftables => {
                "nft 'table inet mine { chain i { type filter hook input priority 0; policy accept; tcp dport 22 accept; }; }'"
                    .to_owned()
            }
            FrontEnd::NftablesWithin => {
                let chain = |hook: &str| {
                    format!(
                        "chain fwdrill_{hook} {{ }}; chain {hook} {{ type filter hook {hook} priority 0; policy drop; ct state established,related accept; \
                         meta l4proto {{ icmp, ipv6-icmp }} accept; iif lo accept; oif lo accept; jump fwdrill_{hook}; }}; "
                    )
                };
                format!("nft 'table inet mine {{ {} }}'", ["input", "forward", "output"].map(chain).concat())
            }
            // Closed but for what has to be open, the other flows of the plan among them.
            FrontEnd::Iptables { legacy } => {
                let flavour = if legacy { "legacy" } else { "nft" };
                format!(
                    "export IPTABLES=iptables-{flavour} IP6TABLES=ip6tables-{flavour}\n\
                     for t in $IPTABLES $IP6TABLES; do\n\
                     $t -P INPUT DROP; $t -P FORWARD DROP; $t -P OUTPUT DROP; $t -A OUTPUT -o lo -j ACCEPT\n\
                     $t -A INPUT -i lo -j ACCEPT; $t -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
                     $t -A OUTPUT -p tcp --dport 9 -j DROP; $t -t nat -A POSTROUTING -o lo -j RETURN; $t -t nat -A PREROUTING -i lo -j RETURN\n\
                     done\n\
                     for c in INPUT FORWARD OUTPUT; do\n\
                     $IPTABLES -A $c -p icmp -j ACCEPT; $IP6TABLES -A $c -p ipv6-icmp -j ACCEPT\n\
                     done"
                )
            }
            FrontEnd::Ufw => format!(
                "{}{}ufw default deny outgoing\nufw allow 22/tcp comment mine\nufw --force enable",
                own_copy("/etc/ufw"),
                // Where it writes its policies.
                own_copy("/etc/default")
            ),
            FrontEnd::Firewalld => firewalld(router),
            FrontEnd::Shorewall => shorewall(router),
        }
    }

    /// Shell commands that print what is loaded, without counters and handles.
    pub(crate) fn state(self) -> &'static str {
        match self {
            FrontEnd::Nftables | FrontEnd::NftablesWithin => "nft -s list ruleset",
            FrontEnd::Ufw => {
                "cat /etc/ufw/user.rules /etc/ufw/user6.rules; for t in iptables ip6tables; do $t-save | sed -e '/^#/d' -e 's/ \\[[0-9:]*\\]$//'; done"
            }
            // The order within its chains is its own affair.
            FrontEnd::Firewalld => {
                "cat /etc/firewalld/services/*.xml /etc/firewalld/policies/*.xml /etc/firewalld/zones/*.xml 2>/dev/null || true; nft -s list ruleset | sort"
            }
            // Names of some chains are drawn by lot.
            FrontEnd::Shorewall => {
                "cat /etc/shorewall/rules /etc/shorewall6/rules; for t in iptables ip6tables; do $t-save | sed -e 's/sha-[lr]h-[0-9a-f]*/sha/' -e '/^#/d' -e 's/ \\[[0-9:]*\\]$//'; done"
            }
            FrontEnd::Iptables { .. } => {
                "for t in $IPTABLES $IP6TABLES; do $t-save | sed -e '/^#/d' -e 's/ \\[[0-9:]*\\]$//'; done"
            }
        }
    }

    /// A shell command that loads a file.
    pub(crate) fn load(self, file: &str) -> String {
        match self {
            FrontEnd::Nftables | FrontEnd::NftablesWithin => format!("nft -f {file}"),
            _ => format!("sh {file} >&2"),
        }
    }
}

/// Shell commands that put a copy in the place of a directory, for this host alone.
fn own_copy(directory: &str) -> String {
    format!(
        "mkdir -p /run/own{directory}\ncp -a {directory}/. /run/own{directory}\nmount --bind /run/own{directory} {directory}\n"
    )
}

/// With a bus of its own, and nothing written outside.
fn firewalld(router: bool) -> String {
    let bus = "<busconfig><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>";
    let zones = if router {
        "echo '<zone><interface name=\"wan\"/></zone>' > /etc/firewalld/zones/external.xml\n\
         echo '<zone><interface name=\"lan\"/></zone>' > /etc/firewalld/zones/internal.xml\n"
    } else {
        // Its own hand writes the zone's file, and will again.
        "firewall-offline-cmd -q --add-port=8080/tcp\n"
    };
    format!(
        "{}{zones}mount -t tmpfs none /var/log\nmkdir -p /run/dbus\necho '{bus}' > /run/dbus/bus.conf\n\
         dbus-daemon --config-file=/run/dbus/bus.conf --nofork --nopidfile >/run/dbus/log 2>&1 </dev/null &\n\
         while [ ! -S /run/dbus/system_bus_socket ]; do kill -0 $!; sleep 0.05; done\n\
         firewalld --nofork --nopid >/run/firewalld.log 2>&1 </dev/null &\n\
         until firewall-cmd --state >/dev/null 2>&1; do kill -0 $! || {{ cat /run/firewalld.log >&2; exit 1; }}; sleep 0.1; done",
        own_copy("/etc/firewalld"),
    )
}

/// Debian's configuration, with the zones, interfaces and policies that somebody has written.
fn shorewall(router: bool) -> String {
    let mut script = "mount -t tmpfs none /var/log\nmkdir -p /run/lock\n".to_owned();
    for (program, kind) in [("shorewall", "ipv4"), ("shorewall6", "ipv6")] {
        let interfaces = if router { "net wan\\nloc lan\\n" } else { "net eth0\\n" };
        let zones = if router {
            format!("net {kind}\\nloc {kind}\\n")
        } else {
            format!("net {kind}\\n")
        };
        let inside = if router { "loc all DROP\\n" } else { "" };
        script.push_str(&own_copy(&format!("/etc/{program}")));
        script.push_str(&format!(
            "mount -t tmpfs none /var/lib/{program}\n\
             sed -i 's/^STARTUP_ENABLED=.*/STARTUP_ENABLED=Yes/; s/^IP_FORWARDING=.*/IP_FORWARDING=Keep/' /etc/{program}/{program}.conf\n\
             printf 'fw firewall\\n{zones}' > /etc/{program}/zones\n\
             printf '?FORMAT 2\\n{interfaces}' > /etc/{program}/interfaces\n\
             printf '$FW all DROP\\n{inside}net all DROP\\nall all REJECT\\n' > /etc/{program}/policy\n\
             printf 'ACCEPT net $FW tcp 22\\n' > /etc/{program}/rules\n\
             {program} start >&2\n"
        ));
    }
    script
}
