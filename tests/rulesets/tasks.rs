//! From the server to clients: TCP 2222.

use crate::running::{changes, document, rehearse};
use crate::support;

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
