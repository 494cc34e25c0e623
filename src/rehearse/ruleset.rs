//! A ruleset in nft's language: one that is right, and what a scenario changes in it.

use anyhow::bail;

use super::scenario::Firewall;

const BASES: &[(&str, &str)] = &[
    ("dnat", include_str!("../../fixtures/paths/base/dnat.nft")),
    ("routed", include_str!("../../fixtures/paths/base/routed.nft")),
    ("branch", include_str!("../../fixtures/paths/base/branch.nft")),
    (
        "double-outer",
        include_str!("../../fixtures/paths/base/double-outer.nft"),
    ),
    (
        "double-inner",
        include_str!("../../fixtures/paths/base/double-inner.nft"),
    ),
    ("none", ""),
];

impl Firewall {
    /// The ruleset as `nft -f` reads it. A rule of the base is called by the name in the comment at its end.
    pub(crate) fn ruleset(&self) -> anyhow::Result<String> {
        let name = self.base.as_deref().unwrap_or("none");
        let Some((_, base)) = BASES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = BASES.iter().map(|(known, _)| *known).collect();
            bail!("base = \"{name}\": expected one of {}", known.join(", "));
        };
        let chains = [
            ("prerouting", &self.prerouting),
            ("input", &self.input),
            ("forward", &self.forward),
            ("postrouting", &self.postrouting),
        ];
        self.check_names(base)?;
        for (chain, rules) in chains {
            if !rules.is_empty() && !base.contains(&hook(chain)) {
                bail!("the base \"{name}\" has no {chain} chain: write a table of your own under `more`");
            }
        }
        let mut text = String::new();
        for line in base.lines() {
            let name = rule_name(line);
            if self.without.iter().any(|left_out| Some(left_out.as_str()) == name) {
                continue;
            }
            match name.and_then(|name| self.instead.get(name)) {
                Some(rules) => text.push_str(rules),
                None => text.push_str(line),
            }
            text.push('\n');
            for (chain, rules) in chains {
                if line.contains(&hook(chain)) {
                    text.extend(rules.iter().map(|rule| format!("  {rule}\n")));
                }
            }
        }
        text.push_str(&self.more);
        text.push('\n');
        Ok(text)
    }

    fn check_names(&self, base: &str) -> anyhow::Result<()> {
        let known: Vec<&str> = base.lines().filter_map(rule_name).collect();
        let meant = self.without.iter().chain(self.instead.keys());
        for name in meant {
            if !known.contains(&name.as_str()) {
                bail!("the base has no rule \"{name}\"; its rules are {}", known.join(", "));
            }
        }
        Ok(())
    }
}

fn hook(chain: &str) -> String {
    format!(" hook {chain} ")
}

fn rule_name(line: &str) -> Option<&str> {
    let (rule, name) = line.rsplit_once(" # ")?;
    (!rule.trim().is_empty()).then_some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dnat() -> Firewall {
        Firewall {
            base: Some("dnat".to_owned()),
            ..Firewall::default()
        }
    }

    #[test]
    fn rules_are_left_out_replaced_and_put_first_by_name() {
        let mut firewall = dnat();
        firewall.without = vec!["accept-range".to_owned()];
        firewall.instead = [("drop-rest".to_owned(), "reject with tcp reset".to_owned())].into();
        firewall.forward = vec!["tcp dport 2021 drop".to_owned()];
        let text = firewall.ruleset().unwrap();
        assert!(
            !text.contains("# accept-range") && !text.contains("# drop-rest"),
            "{text}"
        );
        let forward: Vec<&str> = text.lines().skip_while(|line| !line.contains("hook forward")).collect();
        assert_eq!(forward[1].trim(), "tcp dport 2021 drop");
        assert!(forward.iter().any(|line| line.trim() == "reject with tcp reset"));
    }

    #[test]
    fn a_rule_or_a_chain_that_the_base_lacks_is_a_mistake() {
        let mut misspelt = dnat();
        misspelt.without = vec!["accept-rnage".to_owned()];
        assert!(misspelt.ruleset().unwrap_err().to_string().contains("accept-range"));
        let mut branch = dnat();
        branch.base = Some("branch".to_owned());
        branch.input = vec!["drop".to_owned()];
        assert!(branch.ruleset().is_err());
    }
}
