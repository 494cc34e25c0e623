//! Rulesets in every form that programs write them in: each is read, and each rule has its line.

use crate::running::{changes, document, rehearse, said_in_a_namespace};
use crate::support::{self, required};

#[test]
fn json_rules_and_both_families_are_measured_alike() {
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
