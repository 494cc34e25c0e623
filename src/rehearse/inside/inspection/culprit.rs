//! iptables-legacy hands a whole table to the kernel at its COMMIT, and says of a rule that the kernel does not take only
//! that. Which one it is shows when fewer of them are loaded.

use anyhow::Context;

use super::{Loadable, run};
use crate::rehearse::lab::Loader;

/// The line of the rule that the kernel does not take, from 1; none where it is not a table as a whole that was refused.
pub(super) async fn of(ruleset: &Loadable, refused_at: Option<usize>, file: &str) -> anyhow::Result<Option<usize>> {
    let legacy = matches!(ruleset.by, Loader::IptablesLegacy | Loader::Ip6tablesLegacy);
    let Some(table) = refused_at
        .filter(|_| legacy)
        .and_then(|at| Table::ending_at(&ruleset.text, at))
    else {
        return Ok(None);
    };
    // So many rules are taken, and so many are not.
    let (mut taken, mut refused) = (0, table.rules.len());
    while refused - taken > 1 {
        let middle = taken.midpoint(refused);
        std::fs::write(file, table.with(middle)).with_context(|| format!("failed to write {file}"))?;
        let (ended_well, ..) = run(&[ruleset.by.command(), &[file]].concat()).await?;
        if ended_well {
            taken = middle;
        } else {
            refused = middle;
        }
    }
    Ok(table.rules.get(taken).map(|(line, _)| *line))
}

/// One table of an iptables-save.
struct Table<'a> {
    /// Its name and chains.
    head: Vec<&'a str>,
    /// With their lines, from 1.
    rules: Vec<(usize, &'a str)>,
}

impl<'a> Table<'a> {
    /// The table whose COMMIT stands on this line, if it has rules.
    fn ending_at(text: &'a str, commit: usize) -> Option<Table<'a>> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        lines.get(commit.checked_sub(1)?).filter(|line| **line == "COMMIT")?;
        let begin = lines[..commit].iter().rposition(|line| line.starts_with('*'))?;
        let mut table = Table {
            head: Vec::new(),
            rules: Vec::new(),
        };
        for (at, line) in lines.iter().enumerate().take(commit - 1).skip(begin) {
            if line.starts_with(['*', ':']) {
                table.head.push(line);
            } else if !line.is_empty() && !line.starts_with('#') {
                table.rules.push((at + 1, line));
            }
        }
        (!table.rules.is_empty()).then_some(table)
    }

    /// A text with the first so many of its rules.
    fn with(&self, count: usize) -> String {
        let rules = self.rules.iter().take(count).map(|(_, rule)| rule);
        let lines: Vec<&str> = self.head.iter().chain(rules).copied().chain(["COMMIT", ""]).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "*nat
:PREROUTING ACCEPT [0:0]
COMMIT
# a comment
*filter
:FORWARD DROP [0:0]
-A FORWARD -i eth0 -j ACCEPT

-A FORWARD -j DROP
COMMIT
";

    #[test]
    fn a_table_is_found_by_its_commit_and_can_be_loaded_in_part() {
        let table = Table::ending_at(TEXT, 10).unwrap();
        let lines: Vec<usize> = table.rules.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [7, 9]);
        assert_eq!(
            table.with(1),
            "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i eth0 -j ACCEPT\nCOMMIT\n"
        );
    }

    #[test]
    fn what_is_no_commit_or_has_no_rules_is_no_table_to_look_into() {
        for line in [0, 3, 7, 11] {
            assert!(Table::ending_at(TEXT, line).is_none(), "{line}");
        }
    }
}
