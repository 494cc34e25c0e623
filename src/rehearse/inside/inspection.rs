//! Rulesets loaded by the programs that load them in production, into a namespace where nothing else is: what only the kernel
//! knows of them shows here, before anything is built.

mod culprit;

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::Command;

use super::{DIRECTORY, Loadable};

/// What is to be loaded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inspection {
    /// Interfaces that are there.
    pub(crate) interfaces: Vec<String>,
    pub(crate) rulesets: Vec<Loadable>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inspected {
    /// Interfaces that had to be there for the rules to load, and were not described.
    pub(crate) missing: BTreeSet<String>,
    pub(crate) refused: Vec<Refused>,
    /// `nft -j list ruleset` of all that was loaded.
    pub(crate) listed: Value,
}

/// A ruleset that a program did not take.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// Which one.
    pub(crate) ruleset: usize,
    /// The line in its text, from 1.
    pub(crate) line: Option<usize>,
    /// What the program said.
    pub(crate) said: String,
}

/// How many interfaces may be added to what was described.
const MOST: usize = 256;

/// Loads them in their order.
pub(super) async fn inspect(errand: &Inspection) -> anyhow::Result<Inspected> {
    let mut missing = BTreeSet::new();
    let mut refused = Vec::new();
    for (at, interface) in errand.interfaces.iter().enumerate() {
        add(at, interface).await?;
    }
    for (at, ruleset) in errand.rulesets.iter().enumerate() {
        let file = format!("{DIRECTORY}/{at}.rules");
        std::fs::write(&file, &ruleset.text).with_context(|| format!("failed to write {file}"))?;
        let command = [ruleset.by.command(), &[file.as_str()]].concat();
        loop {
            let (ended_well, _, said) = run(&command).await?;
            if ended_well {
                break;
            }
            // `iif eth0` is compared by index, so that the interface has to be there.
            match absent(&said, &file, &ruleset.text) {
                Some(interface) if missing.len() < MOST && !missing.contains(&interface) => {
                    add(errand.interfaces.len() + missing.len(), &interface).await?;
                    missing.insert(interface);
                }
                _ => {
                    let mut complaints = refusals(at, &file, &said);
                    if let [one] = complaints.as_mut_slice() {
                        one.line = culprit::of(ruleset, one.line, &file).await?.or(one.line);
                    }
                    refused.extend(complaints);
                    break;
                }
            }
        }
    }
    let (_, listed, said) = run(&["nft", "-j", "list", "ruleset"]).await?;
    let listed = serde_json::from_str(&listed).with_context(|| format!("nft cannot list what was loaded: {said}"))?;
    Ok(Inspected {
        missing,
        refused,
        listed,
    })
}

async fn add(at: usize, interface: &str) -> anyhow::Result<()> {
    let command = unconnected(at, interface);
    let words: Vec<&str> = command.split_whitespace().collect();
    let (ended_well, _, said) = run(&words).await?;
    anyhow::ensure!(ended_well, "failed to make an interface {interface}: {said}");
    Ok(())
}

/// The command that makes an interface to which nothing is connected. Not every kernel has dummy interfaces, but without
/// veth there are no rehearsals.
pub(crate) fn unconnected(at: usize, interface: &str) -> String {
    format!("ip link add name {interface} type veth peer name fwdrill-{at}")
}

/// The interface that nft misses.
fn absent(said: &str, file: &str, text: &str) -> Option<String> {
    let line = said
        .lines()
        .find(|line| line.ends_with("Error: Interface does not exist"))?;
    let mut place = line.strip_prefix(file)?.split([':', '-']).skip(1);
    let mut number = || place.next()?.parse::<usize>().ok();
    let (row, from, to) = (number()?, number()?, number()?);
    let name = text.lines().nth(row.checked_sub(1)?)?.get(from.checked_sub(1)?..to)?;
    Some(name.trim_matches(['"', ' ']).to_owned()).filter(|name| !name.is_empty())
}

/// Everything that a program complained of, with the lines.
fn refusals(ruleset: usize, file: &str, said: &str) -> Vec<Refused> {
    let nft = said.lines().filter_map(|line| {
        let (place, what) = line.strip_prefix(file)?.strip_prefix(':')?.split_once(": ")?;
        Some(Refused {
            ruleset,
            line: place.split(':').next()?.parse().ok(),
            said: what.strip_prefix("Error: ").unwrap_or(what).to_owned(),
        })
    });
    let mut refusals: Vec<Refused> = nft.collect();
    if refusals.is_empty() {
        // iptables-restore: "line 12: RULE_APPEND failed (...)", or at the end "Error occurred at line: 12".
        let number = said.match_indices("line").find_map(|(at, word)| {
            let rest = said[at + word.len()..].trim_start_matches([':', ' ']);
            rest.split(|character: char| !character.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        });
        let told: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|line| {
                !line.is_empty() && !line.starts_with("Try `") && !line.starts_with("Error occurred at line")
            })
            .collect();
        refusals.push(Refused {
            ruleset,
            line: number,
            said: told.join("; "),
        });
    }
    refusals
}

/// Whether it ended well, its stdout and its stderr.
async fn run(command: &[&str]) -> anyhow::Result<(bool, String, String)> {
    let [program, arguments @ ..] = command else {
        anyhow::bail!("no program")
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| {
            format!("failed to run {program}: is it installed (Debian: iproute2, nftables, iptables, ipset)?")
        })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_that_is_missing_stands_where_nft_points() {
        let text = "table ip a {\n chain b {\n  iif \"eth0.20\" accept\n }\n}\n";
        let said = "/x/0.rules:3:7-15: Error: Interface does not exist\n  iif \"eth0.20\" accept\n      ^^^^^^^^^";
        assert_eq!(absent(said, "/x/0.rules", text).as_deref(), Some("eth0.20"));
        assert!(absent("/x/0.rules:3:7-15: Error: syntax error", "/x/0.rules", text).is_none());
    }

    #[test]
    fn complaints_keep_their_lines() {
        let nft = "/x/0.rules:3:7-15: Error: No such file or directory\n iif\n ^^^\n/x/0.rules:9:1-2: Error: syntax error, unexpected newline\n";
        let told: Vec<(Option<usize>, String)> = refusals(0, "/x/0.rules", nft)
            .into_iter()
            .map(|refused| (refused.line, refused.said))
            .collect();
        assert_eq!(told[0], (Some(3), "No such file or directory".to_owned()));
        assert_eq!(told[1].0, Some(9));
        for (said, line) in [
            (
                "iptables-restore v1.8.9 (nf_tables): Couldn't load match `geo':No such file\n\nError occurred at line: 12\nTry `iptables-restore -h'",
                12,
            ),
            ("iptables-nft-restore: line 7 failed", 7),
        ] {
            let refused = refusals(1, "/x/0.rules", said).remove(0);
            assert_eq!((refused.ruleset, refused.line), (1, Some(line)), "{said}");
        }
    }
}
