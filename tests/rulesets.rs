//! Production rulesets as they are (fixtures/rulesets), loaded by the real programs into the real kernel: what the change
//! makes worse, better, newly reachable, and which line does it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::{nothing_is_left_of, required, stderr};

/// The longest that two rulesets may take (issue 5).
const LONGEST_MS: u64 = 10_000;

const ROUTER: &[&str] = &[
    "--outside=eth0=203.0.113.2/24",
    "--inside=eth1.20=10.20.0.1/24",
    "--branch=pune=tun0=192.168.60.1/24",
    "--server=10.20.0.10",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/rulesets")
        .join(name)
}

/// Runs it in the fixture's directory, so that lines are told as `bad.v4:12`; as root or as nobody.
fn rehearse(place: &Path, ordinary: bool, arguments: &[&str]) -> Output {
    for program in ["ip", "nft", "iptables-nft-restore"] {
        required(program);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwdrill"));
    if ordinary && rustix::process::geteuid().is_root() {
        command = Command::new(required("setpriv"));
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_fwdrill"),
        ]);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .current_dir(place)
        .arg("rehearse")
        .args(arguments);
    command.output().unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

/// `worse events from outside: port-dropped by bad.v4:64`.
fn changes(document: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for row in document["vantages"].as_array().unwrap() {
        assert!(row["new"]["report"].is_object(), "{row:#}");
        for change in row["changes"].as_array().unwrap() {
            let word = |value: &Value| value.as_str().unwrap_or("nothing found").to_owned();
            let rules: Vec<String> = change["decided"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|decided| [&decided["sent_by"], &decided["by"]])
                .filter(|by| by.is_object())
                .map(|by| format!("{}:{}", by["file"].as_str().unwrap_or("?"), by["line"]))
                .collect();
            told.push(format!(
                "{} {} from {}: {} by {}",
                word(&change["kind"]),
                word(&change["flow"]),
                word(&row["vantage"]),
                word(&change["finding"]),
                rules.join(", ")
            ));
        }
    }
    told.sort();
    told
}

/// The fixture's good and bad change against its base, as root and as nobody.
fn holds(name: &str) {
    let place = fixture(name);
    let expected: toml::Table = std::fs::read_to_string(place.join("expected.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let extension = if place.join("base.nft").is_file() { "nft" } else { "v4" };
    let file = |change: &str| format!("{change}.{extension}");
    for (change, code) in [("good", 0), ("bad", 1)] {
        for ordinary in [false, true] {
            let (new, old) = (file(change), file("base"));
            let arguments = [
                "--ruleset",
                &new,
                "--against",
                &old,
                "--estate",
                "fwdrill.toml",
                "--format",
                "json",
            ];
            let output = rehearse(&place, ordinary, &arguments);
            let document = document(&output);
            let expected: Vec<&str> = expected[change]
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line.as_str().unwrap())
                .collect();
            assert_eq!(changes(&document), expected, "{name}, {change}: {document:#}");
            assert_eq!(output.status.code(), Some(code), "{name}, {change}");
            let elapsed = document["elapsed_ms"].as_u64().unwrap();
            assert!(elapsed < LONGEST_MS, "{name}, {change}: {elapsed} ms");
        }
    }
}

#[test]
fn ruleset_of_a_plain_nft_router() {
    holds("nft-router");
}

#[test]
fn ruleset_of_a_dnat_box_with_two_hundred_other_rules() {
    holds("dnat-box");
}

#[test]
fn ruleset_of_a_docker_host() {
    holds("docker-host");
}

#[test]
fn ruleset_of_ufw() {
    holds("ufw");
}

#[test]
fn ruleset_of_firewalld() {
    holds("firewalld");
}

#[test]
fn ruleset_of_shorewall() {
    holds("shorewall");
}

#[test]
fn one_ruleset_alone_says_which_line_stands_in_the_way_and_ends_as_its_report() {
    let output = rehearse(
        &fixture("nft-router"),
        true,
        &[&["--ruleset=bad.nft", "--vantage=outside"], ROUTER].concat(),
    );
    let text = support::stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(
        text.contains("port-dropped") && text.contains("the policy of chain inet router forward, bad.nft:36"),
        "{text}"
    );
    assert!(
        text.contains("note: bad.nft:27, bad.nft:37: left out what concerns flowtables"),
        "{text}"
    );
    assert!(text.contains("mgmt0 (bad.nft:63)"), "{text}");
}

#[test]
fn following_packets_changes_nothing_but_what_is_known_of_them() {
    let arguments = [&["--ruleset=bad.nft", "--against=base.nft", "--format=json"], ROUTER].concat();
    let with = document(&rehearse(&fixture("nft-router"), false, &arguments));
    let without = document(&rehearse(
        &fixture("nft-router"),
        false,
        &[arguments, vec!["--no-trace"]].concat(),
    ));
    let less = |document: &Value| -> Vec<String> {
        changes(document)
            .iter()
            .map(|line| line.split(" by ").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(less(&with), less(&without));
    assert!(
        without["notes"].to_string().contains("which rule decided is not known"),
        "{without:#}"
    );
}

#[test]
fn json_and_legacy_rules_and_both_families_are_measured_alike() {
    let directory = tempfile::tempdir().unwrap();
    let open = "tcp dport { 2021, 2221, 2222, 2225, 3333, 3023-4022, 10443 } accept";
    let nft = format!(
        "table inet f {{\n chain forward {{\n  type filter hook forward priority 0; policy drop;\n  ct state established,related accept\n  meta l4proto ipv6-icmp accept\n  {open}\n }}\n}}\n"
    );
    let six = nft.replace(
        open,
        &format!("ip6 daddr 2001:db8:20::10 tcp dport 3333 drop\n  {open}"),
    );
    std::fs::write(directory.path().join("base.nft"), &nft).unwrap();
    std::fs::write(directory.path().join("six.nft"), six).unwrap();
    let dual = [
        "--outside=eth0=203.0.113.2/24,2001:db8:2::2/64",
        "--inside=eth1=10.20.0.1/24,2001:db8:20::1/64",
        "--server=10.20.0.10,2001:db8:20::10",
        "--format=json",
    ];
    support::open_to_all(directory.path());
    let output = rehearse(
        directory.path(),
        true,
        &[&["--ruleset=six.nft", "--against=base.nft"], &dual[..]].concat(),
    );
    let told = document(&output);
    assert_eq!(
        changes(&told),
        ["worse version from outside: port-dropped by six.nft:6"],
        "{told:#}"
    );
    assert_eq!(
        (
            told["vantages"][0]["family"].as_str(),
            told["vantages"][1]["family"].as_str()
        ),
        (Some("ipv4"), Some("ipv6"))
    );
    assert!(told["vantages"][0]["changes"].as_array().unwrap().is_empty());

    let json = r#"{"nftables": [
{"add": {"table": {"family": "ip", "name": "f"}}},
{"add": {"chain": {"family": "ip", "table": "f", "name": "forward", "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}}},
{"add": {"rule": {"family": "ip", "table": "f", "chain": "forward", "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 2225}}, {"drop": null}]}}}
]}"#;
    std::fs::write(directory.path().join("rules.json"), json).unwrap();
    let four = [
        "--outside=eth0=203.0.113.2/24",
        "--inside=eth1=10.20.0.1/24",
        "--server=10.20.0.10",
    ];
    let output = rehearse(directory.path(), true, &[&["--ruleset=rules.json"], &four[..]].concat());
    assert!(
        support::stdout(&output).contains("rules.json:4 (chain ip f forward)"),
        "{}",
        support::stdout(&output)
    );
}

/// What a command says in a network namespace of its own.
fn said_in_a_namespace(script: &str, stdin: &Path) -> String {
    let output = Command::new(required("unshare"))
        .args(["--user", "--map-root-user", "--net", "sh", "-ec", script])
        .stdin(std::fs::File::open(stdin).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    support::stdout(&output)
}

#[test]
fn members_of_a_real_ipset_decide_behind_a_bridge_and_a_vlan() {
    required("ipset");
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let save = |name: &str, member: &str| {
        let commands = format!("create blocked hash:ip,port\ncreate nobody hash:net\nadd blocked {member}\n");
        write("commands", &commands);
        let saved = said_in_a_namespace("ipset restore; ipset save", &directory.path().join("commands"));
        assert!(saved.contains(member), "{saved}");
        write(name, &saved);
    };
    save("base.ipset", "198.51.100.99,tcp:3333");
    save("bad.ipset", "192.168.60.20,tcp:3333");
    let ports = "-p tcp -m multiport --dports 2021,2221,2222,2225,3333,10443,3023:4022";
    let rules = format!(
        "*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i eth0.100 {ports} -j DNAT --to-destination 10.20.0.10
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m set --match-set nobody src -j DROP
-A FORWARD -m set --match-set blocked src,dst -j DROP
-A FORWARD -i br0 -j ACCEPT
-A FORWARD -o br0 {ports} -j ACCEPT
COMMIT
"
    );
    write("rules.v4", &rules);
    let six = |more: &str| {
        format!(
            "*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -p ipv6-icmp -j ACCEPT
{more}-A FORWARD -d 2001:db8:20::10/128 -o br0 {ports} -j ACCEPT
COMMIT
"
        )
    };
    write("base.v6", &six(""));
    write(
        "bad.v6",
        &six("-A FORWARD -i eth0.100 -p tcp -m tcp --dport 10443 -j REJECT\n"),
    );
    support::open_to_all(directory.path());
    let arguments = [
        "--ruleset=rules.v4",
        "--ruleset=bad.v6",
        "--ruleset=bad.ipset",
        "--against=rules.v4",
        "--against=base.v6",
        "--against=base.ipset",
        "--outside=eth0.100=203.0.113.2/24,2001:db8:2::2/64",
        "--inside=br0=10.20.0.1/24,2001:db8:20::1/64",
        "--bridge=br0=eth1,eth2",
        "--branch=pune=tun0=192.168.60.1/24",
        "--update-agent=192.168.60.20",
        "--dial=update-agent=10.20.0.10",
        "--server=10.20.0.10,2001:db8:20::10",
        "--vantage=outside",
        "--vantage=update-agent",
        "--format=json",
    ];
    let output = rehearse(directory.path(), true, &arguments);
    let told = document(&output);
    let expected = [
        "worse console from outside: port-rejected by bad.v6:5",
        "worse version from update-agent: port-dropped by rules.v4:9",
    ];
    assert_eq!(changes(&told), expected, "{told:#}");
    let dialled: Vec<&str> = (told["vantages"].as_array().unwrap().iter())
        .map(|row| row["target"].as_str().unwrap())
        .collect();
    assert_eq!(dialled, ["203.0.113.2", "10.20.0.10", "2001:db8:20::10"]);
    let empty = "bad.ipset:3: the ipset nobody has no members";
    assert!(told["notes"].to_string().contains(empty), "{:#}", told["notes"]);
}

#[test]
fn a_real_listing_in_json_is_read_sets_maps_and_all() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    // Not every kernel has flowtables: the listing gets them afterwards.
    let fast = r#"{"flowtable": {"family": "inet", "name": "fast", "table": "f", "hook": "ingress", "prio": 0, "dev": "eth0"}}, {"rule": {"family": "inet", "table": "f", "chain": "outside", "expr": [{"flow": {"op": "add", "flowtable": "@fast"}}]}}, "#;
    for (name, ports) in [("base", "2021, 2222, 2225"), ("bad", "2021, 2222")] {
        let text = format!(
            "table inet f {{
 set services {{ type inet_service; flags interval; elements = {{ {ports}, 2221, 10443, 3023-4022 }}; }}
 map zones {{ type ifname : verdict; elements = {{ \"eth0\" : jump outside, \"eth1\" : accept }}; }}
 chain outside {{ tcp dport @services counter accept; }}
 chain forward {{
  type filter hook forward priority 0; policy drop;
  ct state vmap {{ established : accept, related : accept, invalid : drop }}
  iifname vmap @zones
 }}
}}
"
        );
        write("text.nft", &text);
        let listed = said_in_a_namespace(
            "nft -f /dev/stdin; nft -j list ruleset",
            &directory.path().join("text.nft"),
        );
        assert_eq!(listed.trim().lines().count(), 1, "{listed}");
        write(
            &format!("{name}.json"),
            &listed.replacen(r#"{"rule""#, &format!(r#"{fast}{{"rule""#), 1),
        );
    }
    support::open_to_all(directory.path());
    let arguments = [
        "--ruleset=bad.json",
        "--against=base.json",
        "--outside=eth0=203.0.113.2/24",
        "--inside=eth1=10.20.0.1/24",
        "--server=10.20.0.10",
        "--format=json",
    ];
    let told = document(&rehearse(directory.path(), true, &arguments));
    assert_eq!(
        changes(&told),
        ["worse events from outside: port-dropped by bad.json:1"],
        "{told:#}"
    );
    let note = "bad.json:1: left out what concerns flowtables";
    assert!(told["notes"].to_string().contains(note), "{:#}", told["notes"]);
    let decided = told["vantages"][0]["new"]["decisions"].to_string();
    // One line has them all: a rule is told by its place in the list.
    assert!(
        decided.contains(r#""rule":"nftables["#) && decided.contains("@services"),
        "{decided}"
    );
}

#[test]
fn the_line_of_an_included_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    std::fs::create_dir(directory.path().join("rules.d")).unwrap();
    let open =
        "table ip f {\n chain forward {\n  type filter hook forward priority 0;\n  iifname \"eth0\" accept\n }\n}\n";
    write("base.nft", open);
    write("new.nft", &format!("# all of it\ninclude \"rules.d/*.nft\"\n{open}"));
    write("rules.d/10-nothing.nft", "# nothing yet\n");
    let block = "table ip block {\n chain early {\n  type filter hook forward priority -10\n\n  tcp dport { 2225, 9999 } drop\n }\n}\n";
    write("rules.d/20-block.nft", block);
    support::open_to_all(directory.path());
    let arguments = [
        "--ruleset=new.nft",
        "--against=base.nft",
        "--outside=eth0=203.0.113.2/24",
        "--inside=eth1=10.20.0.1/24",
        "--server=10.20.0.10",
        "--format=json",
        "--set=expect.outside.system=any",
        "--set=expect.outside.self_events=any",
    ];
    let told = document(&rehearse(directory.path(), true, &arguments));
    let worse: Vec<String> = changes(&told)
        .into_iter()
        .filter(|line| line.starts_with("worse"))
        .collect();
    assert_eq!(
        worse,
        ["worse events from outside: port-dropped by rules.d/20-block.nft:5"],
        "{told:#}"
    );
}

#[test]
fn rules_in_iptables_own_tables_are_named_for_both_families() {
    required("iptables-legacy-restore");
    let directory = tempfile::tempdir().unwrap();
    // The last rule of a chain without conditions is what the kernel takes for the chain's end.
    let save = |public: &str, drops: &str| {
        format!(
            "*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 113 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i eth0 {public} -p tcp -m multiport --dports 2021,2221,2222,2225,3333,10443,3023:4022 -j DNAT --to-destination 10.20.0.10
COMMIT
*filter
:FORWARD DROP [0:0]
:reject - [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{drops}-A FORWARD -i tun0 -p tcp -m tcp --dport 2226 -j ACCEPT
-A FORWARD -p tcp -m multiport --dports 2021,2221,2222,2225,3333,10443,3023:4022 -j ACCEPT
-A FORWARD -p ipv6-icmp -j ACCEPT
-A reject -j LOG
-A reject -j REJECT
COMMIT
"
        )
    };
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let four = |drops: &str| save("-d 203.0.113.2/32", drops).replace("-p ipv6-icmp", "-p icmp");
    write("base.v4", &four(""));
    let drops = "-A FORWARD -p tcp -m tcp --dport 3333 -g reject
-A FORWARD -s 10.20.0.10/32 -p tcp -m tcp --dport 2222 -j DROP
";
    write("bad.v4", &four(drops));
    // Routed: nothing is translated.
    let six = |drops: &str| {
        let text = save("", drops);
        let (head, rest) = text.split_once("*nat").unwrap();
        format!("{head}{}", &rest[rest.find("*filter").unwrap()..])
    };
    write("base.v6", &six(""));
    write(
        "bad.v6",
        &six("-A FORWARD -i tun0 -p tcp -m tcp --dport 10443 -j DROP\n"),
    );
    support::open_to_all(directory.path());
    for ordinary in [false, true] {
        let output = rehearse(
            directory.path(),
            ordinary,
            &[
                "--ruleset=bad.v4",
                "--ruleset=bad.v6",
                "--against=base.v4",
                "--against=base.v6",
                "--iptables=legacy",
                "--outside=eth0=203.0.113.2/24,2001:db8:2::2/64",
                "--inside=eth1=10.20.0.1/24,2001:db8:20::1/64",
                "--branch=pune=tun0=192.168.60.1/24,2001:db8:60::1/64",
                "--server=10.20.0.10,2001:db8:20::10",
                "--dial=pune=10.20.0.10,2001:db8:20::10",
                "--vantage=outside",
                "--vantage=pune",
                "--format=json",
            ],
        );
        let told = document(&output);
        let expected = [
            "worse console from pune: port-dropped by bad.v6:9",
            "worse tasks from pune: task-port-server-egress-blocked by bad.v4:14",
            "worse version from outside: port-rejected by bad.v4:13, bad.v4:19",
            "worse version from pune: port-rejected by bad.v4:13, bad.v4:19",
        ];
        assert_eq!(changes(&told), expected, "{told:#}");
        assert!(
            !told["notes"].to_string().contains("is not known"),
            "{:#}",
            told["notes"]
        );
    }
}

/// A firewall between the server in a DMZ and clients in three places.
const DMZ: &str = "table inet f {
 chain forward {
  type filter hook forward priority 0; policy drop;
  ct state established,related accept
  meta l4proto ipv6-icmp accept
  iifname \"dmz0\" jump tasks
  oifname \"dmz0\" tcp dport { 2021, 2221, 2222, 2225, 3333, 3023-4022, 10443 } accept
 }
 chain tasks {
  tcp dport 2222 accept
 }
}
";

#[test]
fn who_drops_tasks_from_the_server_to_clients_is_named_for_both_families_and_every_place() {
    let directory = tempfile::tempdir().unwrap();
    let drops = "  oifname \"lan0\" ip6 saddr 2001:db8:30::10 drop
  oifname \"tun0\" ip daddr 192.168.60.0/28 reject
  oifname \"tun0\" meta nfproto ipv4 log prefix \"no tasks\" drop
";
    let bad = DMZ.replace(
        "  tcp dport 2222 accept\n",
        &format!("{drops}  tcp dport 2222 accept\n"),
    );
    std::fs::write(directory.path().join("base.nft"), DMZ).unwrap();
    std::fs::write(directory.path().join("bad.nft"), bad).unwrap();
    support::open_to_all(directory.path());
    let place = [
        "--outside=eth0=203.0.113.2/24,2001:db8:2::2/64",
        "--inside=lan0=10.20.0.1/24,2001:db8:20::1/64",
        "--branch=dmz=dmz0=10.30.0.1/24,2001:db8:30::1/64",
        "--branch=pune=tun0=192.168.60.1/24,2001:db8:60::1/64",
        "--server=10.30.0.10,2001:db8:30::10",
        "--update-agent=192.168.60.5,2001:db8:60::5",
        "--format=json",
    ];
    let vantages = ["--vantage=inside", "--vantage=pune", "--vantage=update-agent"];
    let run = |files: [&str; 2]| {
        let output = rehearse(directory.path(), true, &[&files, &place[..], &vantages].concat());
        (output.status.code(), document(&output))
    };
    let (code, told) = run(["--ruleset=bad.nft", "--against=base.nft"]);
    let blocked = "task-port-server-egress-blocked by";
    let expected = [
        format!("worse tasks from inside: {blocked} bad.nft:6, bad.nft:10"),
        format!("worse tasks from pune: {blocked} bad.nft:6, bad.nft:12"),
        format!("worse tasks from update-agent: {blocked} bad.nft:6, bad.nft:11"),
    ];
    assert_eq!(changes(&told), expected, "{told:#}");
    assert_eq!(code, Some(1));
    let families: Vec<(&str, &str)> = (told["vantages"].as_array().unwrap().iter())
        .filter(|row| !row["changes"].as_array().unwrap().is_empty())
        .map(|row| (row["vantage"].as_str().unwrap(), row["family"].as_str().unwrap()))
        .collect();
    assert_eq!(
        families,
        [("pune", "ipv4"), ("update-agent", "ipv4"), ("inside", "ipv6")]
    );
    let (code, told) = run(["--ruleset=base.nft", "--against=bad.nft"]);
    let better = expected.map(|line| line.replacen("worse", "better", 1));
    assert_eq!((code, changes(&told)), (Some(0), better.to_vec()), "{told:#}");
}

#[test]
fn what_cannot_be_placed_is_told_with_its_line_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write(
        "good.nft",
        "table ip f {\n chain c {\n  iifname \"eth0\" accept\n }\n}\n",
    );
    write("set.nft", "# one\ninclude \"part.nft\"\n");
    write(
        "part.nft",
        "table ip f {\n chain c {\n  iifname \"eth0\" tcp dport @ports accept\n }\n}\n",
    );
    write(
        "others.nft",
        "table ip f {\n chain c {\n  iif \"ens192\" accept\n }\n}\n",
    );
    write(
        "set.v4",
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth0 -m set --match-set blocked src -j DROP\nCOMMIT\n",
    );
    write(
        "module.v4",
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth0 -m nosuchmatch -j DROP\nCOMMIT\n",
    );
    // The kernel knows the target, and not there: as it says where it has no module for one.
    write(
        "kernel.v4",
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth0 -j ACCEPT\n-A FORWARD -i eth0 -j MASQUERADE\n-A FORWARD -i eth1 -j ACCEPT\nCOMMIT\n",
    );
    write(
        "many.v4",
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth0 -p tcp --dport 2021 -j DNAT --to-destination 10.20.0.10\n-A PREROUTING -i eth0 -p tcp --dport 3333 -j DNAT --to-destination 10.20.0.11\nCOMMIT\n",
    );
    write("nothing.txt", "hello\n");
    let place = ["--outside=eth0=203.0.113.2/24", "--inside=eth1=10.20.0.1/24"];
    let server = ["--server=10.20.0.10"];
    for (file, more, told) in [
        ("set.nft", &server[..], vec!["part.nft:3", "No such file or directory"]),
        (
            "others.nft",
            &server[..],
            vec!["none of the interfaces described", "ens192 (others.nft:3)"],
        ),
        (
            "set.v4",
            &server[..],
            vec!["set.v4:3", "the ipset blocked is not defined"],
        ),
        ("module.v4", &server[..], vec!["module.v4:3", "nosuchmatch"]),
        ("kernel.v4", &server[..], vec!["kernel.v4:4", "Invalid argument"]),
        (
            "kernel.v4",
            &["--server=10.20.0.10", "--iptables=legacy"],
            vec!["kernel.v4:4"],
        ),
        ("many.v4", &[], vec!["10.20.0.10, 10.20.0.11: give --server"]),
        ("good.nft", &[], vec!["translates to nobody: give --server"]),
        (
            "nothing.txt",
            &server[..],
            vec!["nothing.txt: expected the output of nft list ruleset"],
        ),
        (
            "good.nft",
            &["--server=192.0.2.1"],
            vec!["lies in none of the networks"],
        ),
        (
            "good.nft",
            &["--server=10.20.0.10", "--vantage=moon"],
            vec!["--vantage moon", "outside"],
        ),
    ] {
        let output = rehearse(
            directory.path(),
            false,
            &[&["--ruleset", file], &place[..], more].concat(),
        );
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{file}: {said}");
        assert!(told.iter().all(|word| said.contains(word)), "{file}: {said}");
    }
    let output = rehearse(directory.path(), false, &["--ruleset", "good.nft"]);
    assert!(
        stderr(&output).contains("--outside") && stderr(&output).contains("--inside"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_ticket_gets_a_table() {
    let arguments = [
        &["--ruleset=good.nft", "--against=base.nft", "--format=markdown"],
        ROUTER,
    ]
    .concat();
    let output = rehearse(&fixture("nft-router"), false, &arguments);
    let text = support::stdout(&output);
    assert!(
        text.starts_with("**pass**: `good.nft` against `base.nft`: 1 changed\n"),
        "{text}"
    );
    assert!(
        text.contains("| changed | pune | http | filtered (timeout) | open |"),
        "{text}"
    );
    assert!(text.contains("good.nft:54"), "{text}");
}

#[test]
fn nothing_is_left_of_a_ruleset_either() {
    let file = fixture("nft-router").join("bad.nft");
    let file = format!("--ruleset={}", file.display());
    nothing_is_left_of(&[&["rehearse", &file], ROUTER].concat());
}
