//! A bench for rules: one rehearsal a trial, with the front end on a host of the path.

use std::path::Path;

use serde_json::Value;

use crate::support::{required, run, stderr, stdout};

/// A program of Debian's that loads rules.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FrontEnd {
    Nftables,
    Iptables { legacy: bool },
    Ufw,
    Firewalld,
    Shorewall,
}

/// One set of rules on one host, with real traffic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    front: FrontEnd,
    /// Where the rules are loaded.
    host: &'static str,
    /// Of `fwdrill rules`.
    arguments: &'static [&'static str],
    /// The flow whose rules are taken out.
    without: Option<&'static str>,
    /// The one finding; empty: none.
    expect: &'static str,
    /// The host that the client is on; absent: outside.
    probe_on: Option<&'static str>,
    /// Whether it is loaded twice and taken back before.
    round_trip: bool,
}

/// The rules as they are.
pub(crate) fn healthy(front: FrontEnd, host: &'static str, arguments: &'static [&'static str]) -> Trial {
    Trial {
        front,
        host,
        arguments,
        without: None,
        expect: "",
        probe_on: None,
        round_trip: true,
    }
}

/// The same with the rules of one flow taken out, and what the diagnosis has to say then.
pub(crate) fn without(flow: &'static str, finding: &'static str, trial: Trial) -> Trial {
    Trial {
        without: Some(flow),
        expect: finding,
        round_trip: false,
        ..trial
    }
}

impl Trial {
    /// The same, loaded once: some front ends take their time.
    pub(crate) fn traffic_only(self) -> Trial {
        Trial {
            round_trip: false,
            ..self
        }
    }

    /// The same, dialled through the hairpin.
    pub(crate) fn hairpin(self) -> Trial {
        Trial {
            probe_on: Some("lanc"),
            ..self
        }
    }

    fn name(&self) -> String {
        let without = self.without.unwrap_or("nothing");
        let from = self.probe_on.unwrap_or("outside");
        format!("{:?} on {}, from {from}, without {without}", self.front, self.host)
    }

    /// What `fwdrill rules` prints for it, less the rules of one flow.
    fn rules(&self, undo: bool) -> String {
        let kind = format!("--for={}", self.front.kind());
        let undo = undo.then_some("--undo");
        let arguments = ["rules", &kind]
            .into_iter()
            .chain(self.arguments.iter().copied())
            .chain(undo);
        let output = run(arguments);
        assert!(output.status.success(), "{}: {}", self.name(), stderr(&output));
        let text = stdout(&output);
        let Some(flow) = self.without else { return text };
        let (gone, left): (Vec<&str>, Vec<&str>) = text
            .split_inclusive('\n')
            .partition(|line| line.contains(&format!("fwdrill {flow}:")));
        assert!(
            !gone.is_empty() || undo.is_some(),
            "{}: no rule to take out of {text}",
            self.name()
        );
        left.concat()
    }

    /// A scenario file: load, look, load again, undo, look, and load for the traffic.
    fn scenario(&self, at: usize, directory: &Path) -> String {
        let write = |what: &str, text: &str| {
            let file = directory.join(format!("{at}.{what}"));
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let apply = self.front.load(&write("rules", &self.rules(false)));
        let undo = self.front.load(&write("undo", &self.rules(true)));
        let (prepare, state) = (self.front.prepare(self.host == "fw"), self.front.state());
        let round_trip = format!(
            "state() {{ {state}\n}}\nbefore=$(state)\n{apply}\nonce=$(state)\n{apply}\ntwice=$(state)\n{undo}\nafter=$(state)\n\
             same() {{ if [ \"$2\" != \"$3\" ]; then echo \"$2\" > /run/one; echo \"$3\" > /run/other; echo \"$1: $(diff /run/one /run/other)\" >&2; exit 1; fi; }}\n\
             if [ \"$before\" = \"$once\" ]; then echo 'nothing was loaded' >&2; exit 1; fi\n\
             same 'applied twice is not applied once' \"$once\" \"$twice\"\n\
             same 'the undo does not leave what was there' \"$before\" \"$after\""
        );
        let script = write(
            "sh",
            &format!(
                "set -e\n{prepare}\n{}\n{apply}\n",
                if self.round_trip { round_trip } else { String::new() },
            ),
        );
        let dnat = self.arguments.contains(&"--topology=dnat");
        let (extends, more) = if dnat {
            ("dnat", String::new())
        } else {
            (
                "routed",
                "probe.host = 'update.example.net'\nserver.set = { 'server.bind' = '::', 'ftp.advertised_address' = '10.20.0.10' }\n".to_owned(),
            )
        };
        let expect = if self.expect.is_empty() {
            String::new()
        } else {
            format!("'{}'", self.expect)
        };
        let from = (self.probe_on)
            .map(|host| format!("probe.on = '{host}'\nprobe.args = ['--from=inside']\n"))
            .unwrap_or_default();
        let full = if self.without.is_none() && self.probe_on.is_none() {
            "probe.args = ['--full-range']\n"
        } else {
            ""
        };
        // In front of a host with rules of its own stands the path's own firewall, which is right.
        let open = if self.host == "fw" {
            "firewall.fw.base = 'none'\n"
        } else {
            ""
        };
        format!(
            "title = {:?}\nextends = '{extends}'\nexpect = [{expect}]\n{more}{from}{full}{open}host.{}.run = ['sh {script}']\n",
            self.name(),
            self.host
        )
    }
}

impl FrontEnd {
    fn kind(self) -> &'static str {
        match self {
            FrontEnd::Nftables => "nftables",
            FrontEnd::Iptables { .. } => "iptables",
            FrontEnd::Ufw => "ufw",
            FrontEnd::Firewalld => "firewalld",
            FrontEnd::Shorewall => "shorewall",
        }
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            FrontEnd::Nftables => &["nft"],
            FrontEnd::Iptables { legacy: false } => &["iptables-nft", "ip6tables-nft"],
            FrontEnd::Iptables { legacy: true } => &["iptables-legacy", "ip6tables-legacy"],
            FrontEnd::Ufw => &["ufw"],
            FrontEnd::Firewalld => &["dbus-daemon", "firewalld", "firewall-cmd", "nft"],
            FrontEnd::Shorewall => &["shorewall", "shorewall6"],
        }
    }

    /// Shell commands: somebody's rules that are there already, and have to be afterwards.
    fn prepare(self, router: bool) -> String {
        match self {
            FrontEnd::Nftables => {
                "nft 'table inet mine { chain i { type filter hook input priority 0; policy accept; tcp dport 22 accept; }; }'"
                    .to_owned()
            }
            // Closed but for what has to be open, the other flows of the plan among them.
            FrontEnd::Iptables { legacy } => {
                let flavour = if legacy { "legacy" } else { "nft" };
                format!(
                    "export IPTABLES=iptables-{flavour} IP6TABLES=ip6tables-{flavour}\n\
                     for t in $IPTABLES $IP6TABLES; do\n\
                     $t -P INPUT DROP; $t -P FORWARD DROP\n\
                     $t -A INPUT -i lo -j ACCEPT; $t -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
                     $t -A OUTPUT -p tcp --dport 9 -j DROP; $t -t nat -A POSTROUTING -o lo -j RETURN; $t -t nat -A PREROUTING -i lo -j RETURN\n\
                     done\n\
                     $IPTABLES -A INPUT -p icmp -j ACCEPT; $IP6TABLES -A INPUT -p ipv6-icmp -j ACCEPT\n\
                     $IPTABLES -A FORWARD -p icmp -j ACCEPT; $IP6TABLES -A FORWARD -p ipv6-icmp -j ACCEPT"
                )
            }
            FrontEnd::Ufw => format!("{}ufw --force enable\nufw allow 22/tcp comment mine\nufw reload", own_copy("/etc/ufw")),
            FrontEnd::Firewalld => firewalld(router),
            FrontEnd::Shorewall => shorewall(router),
        }
    }

    /// Shell commands that print what is loaded, without counters and handles.
    fn state(self) -> &'static str {
        match self {
            FrontEnd::Nftables => "nft -s list ruleset",
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
    fn load(self, file: &str) -> String {
        match self {
            FrontEnd::Nftables => format!("nft -f {file}"),
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
        "firewall-cmd --permanent --zone=external --change-interface=wan\nfirewall-cmd --permanent --zone=internal --change-interface=lan\nfirewall-cmd --reload\n"
    } else {
        ""
    };
    format!(
        "{}mount -t tmpfs none /var/log\nmkdir -p /run/dbus\necho '{bus}' > /run/dbus/bus.conf\n\
         dbus-daemon --config-file=/run/dbus/bus.conf --nofork --nopidfile >/run/dbus/log 2>&1 </dev/null &\n\
         while [ ! -S /run/dbus/system_bus_socket ]; do kill -0 $!; sleep 0.05; done\n\
         firewalld --nofork --nopid >/run/firewalld.log 2>&1 </dev/null &\n\
         until firewall-cmd --state >/dev/null 2>&1; do kill -0 $! || {{ cat /run/firewalld.log >&2; exit 1; }}; sleep 0.1; done\n\
         {zones}firewall-cmd --permanent --add-port=8080/tcp\nfirewall-cmd --reload",
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
        let inside = if router { "loc all ACCEPT\\n" } else { "" };
        script.push_str(&own_copy(&format!("/etc/{program}")));
        script.push_str(&format!(
            "mount -t tmpfs none /var/lib/{program}\n\
             sed -i 's/^STARTUP_ENABLED=.*/STARTUP_ENABLED=Yes/; s/^IP_FORWARDING=.*/IP_FORWARDING=Keep/' /etc/{program}/{program}.conf\n\
             printf 'fw firewall\\n{zones}' > /etc/{program}/zones\n\
             printf '?FORMAT 2\\n{interfaces}' > /etc/{program}/interfaces\n\
             printf '$FW all ACCEPT\\n{inside}net all DROP\\nall all REJECT\\n' > /etc/{program}/policy\n\
             printf 'ACCEPT net $FW tcp 22\\n' > /etc/{program}/rules\n\
             {program} start >&2\n"
        ));
    }
    script
}

/// Carries out all trials; every one of them has to be as it expects.
pub(crate) fn pass(trials: &[Trial]) {
    for program in trials.iter().flat_map(|trial| trial.front.programs()) {
        required(program);
    }
    let directory = tempfile::tempdir().unwrap();
    for (at, trial) in trials.iter().enumerate() {
        let scenario = trial.scenario(at, directory.path());
        std::fs::write(directory.path().join(format!("{at:02}.toml")), scenario).unwrap();
    }
    let output = run([
        "rehearse",
        "--format=json",
        "--parallel=4",
        directory.path().to_str().unwrap(),
    ]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let paths = document["paths"].as_array().unwrap();
    assert_eq!(paths.len(), trials.len());
    let wrong: Vec<String> = (trials.iter().zip(paths))
        .filter(|(_, path)| path["judgement"] != "right")
        .map(|(trial, path)| format!("{}: {:#}", trial.name(), path["complaints"]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(output.status.code(), Some(0));
}
