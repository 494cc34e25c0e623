//! Production rulesets as they are (fixtures/rulesets), loaded by the real programs into the real kernel: what the change
//! makes worse, better, newly reachable, and which line does it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "rulesets/inputs.rs"]
mod inputs;
#[path = "rulesets/running.rs"]
mod running;
mod support;
#[path = "rulesets/tasks.rs"]
mod tasks;

use running::{changes, document, fixture, rehearse};
use serde_json::Value;
use support::{nothing_is_left_of, stderr};

/// The longest that two rulesets may take (issue 5).
const LONGEST_MS: u64 = 10_000;

const ROUTER: &[&str] = &[
    "--outside=eth0=203.0.113.2/24",
    "--inside=eth1.20=10.20.0.1/24",
    "--branch=pune=tun0=192.168.60.1/24",
    "--server=10.20.0.10",
];

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
