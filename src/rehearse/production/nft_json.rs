//! nft's JSON (libnftables-json(5)): which line a rule stands on, and the text without flowtables.

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::rules::{ChainName, Rules};

/// What makes an object a command (libnftables-json(5), "COMMAND OBJECTS").
const VERBS: &[&str] = &["add", "insert", "replace", "delete", "flush", "create", "rename"];

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    nftables: Vec<&'a RawValue>,
}

/// The rules of a text, chain by chain. `nft -j` says all on one line; then a rule's place in the list is part of its text.
pub(super) fn rules(text: &str) -> Rules {
    let mut rules = Rules::default();
    let Ok(document) = serde_json::from_str::<Document<'_>>(text) else {
        return rules;
    };
    for (at, raw) in document.nftables.iter().enumerate() {
        let line = line_of(text, raw.get());
        let Ok(object) = serde_json::from_str::<Value>(raw.get()) else {
            continue;
        };
        let verb = VERBS.iter().copied().find(|verb| object.get(verb).is_some());
        let object = verb.map_or(&object, |verb| &object[verb]);
        let named = |object: &Value, chain: &str| {
            let word = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
            ChainName::new(&word("family"), &word("table"), &word(chain))
        };
        if let Some(chain) = object.get("chain") {
            rules.declared(named(chain, "name"), line);
        }
        let Some(rule) = object.get("rule") else { continue };
        let chain = named(rule, "chain");
        let text = format!("nftables[{at}] {}", rule["expr"]);
        match verb {
            None | Some("add") => rules.append(chain, line, &text),
            Some("insert") => rules.insert(chain, 0, line, &text),
            _ => rules.lost(chain),
        }
    }
    rules
}

/// The text as nft takes it, without flowtables, and the lines that were changed for their sake (from 1). Rules that fill one
/// only count. A listing has the elements of maps before the chains that they jump to, and nft 1.0.6 does not read its own.
pub(super) fn loadable(text: &str) -> anyhow::Result<(String, Vec<usize>)> {
    let document: Document<'_> = serde_json::from_str(text).context("no output of nft -j list ruleset")?;
    let mut lines = Vec::new();
    let mut kept: Vec<String> = Vec::new();
    // Behind the last table or chain; none where there are commands, which have an order of their own.
    let mut chains_go = Some(0);
    let mut moved = false;
    for raw in &document.nftables {
        let mut object: Value = serde_json::from_str(raw.get()).context("no output of nft -j list ruleset")?;
        let own = if object.get("add").is_some() {
            &mut object["add"]
        } else {
            &mut object
        };
        if own.get("flowtable").is_some() {
            lines.push(line_of(text, raw.get()));
            continue;
        }
        let mut changed = false;
        for statement in own
            .get_mut("rule")
            .and_then(|rule| rule["expr"].as_array_mut())
            .into_iter()
            .flatten()
        {
            if statement.get("flow").is_some() {
                *statement = serde_json::json!({"counter": {"packets": 0, "bytes": 0}});
                changed = true;
            }
        }
        if changed {
            lines.push(line_of(text, raw.get()));
        }
        let own = if changed {
            object.to_string()
        } else {
            raw.get().to_owned()
        };
        match chains_go {
            Some(at)
                if ["metainfo", "table", "chain"]
                    .iter()
                    .any(|kind| object.get(kind).is_some()) =>
            {
                moved |= at < kept.len();
                kept.insert(at, own);
                chains_go = Some(at + 1);
            }
            _ => kept.push(own),
        }
        if object
            .as_object()
            .is_some_and(|object| object.keys().any(|key| VERBS.contains(&key.as_str())))
        {
            chains_go = None;
        }
    }
    if lines.is_empty() && !moved {
        return Ok((text.to_owned(), lines));
    }
    Ok((format!("{{\"nftables\": [\n{}\n]}}\n", kept.join(",\n")), lines))
}

/// `part` is a piece of `text`.
fn line_of(text: &str, part: &str) -> usize {
    let at = (part.as_ptr() as usize)
        .saturating_sub(text.as_ptr() as usize)
        .min(text.len());
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"nftables": [
  {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
  {"table": {"family": "inet", "name": "fw"}},
  {"flowtable": {"family": "inet", "name": "fast", "table": "fw", "hook": "ingress", "prio": 0, "dev": ["eth0"]}},
  {"chain": {"family": "inet", "table": "fw", "name": "forward"}},
  {"rule": {"family": "inet", "table": "fw", "chain": "forward",
    "expr": [{"flow": {"op": "add", "flowtable": "@fast"}}]}},
  {"rule": {"family": "inet", "table": "fw", "chain": "forward", "expr": [{"accept": null}]}}
]}
"#;

    #[test]
    fn rules_have_their_lines() {
        let rules = rules(TEXT);
        let chain = ChainName::new("inet", "fw", "forward");
        let lines: Vec<usize> = rules.of(&chain).unwrap().iter().map(|rule| rule.line).collect();
        assert_eq!(lines, [6, 8]);
        assert_eq!(rules.line_of_policy(&chain), Some(5));
        assert!(rules.of(&chain).unwrap()[1].text.starts_with("nftables[5] "));
    }

    #[test]
    fn flowtables_go_and_rules_keep_their_places() {
        let (text, lines) = loadable(TEXT).unwrap();
        assert_eq!(lines, [4, 6]);
        assert!(!text.contains("fast"), "{text}");
        assert_eq!(rules_of(&text), 2);
        let plain = r#"{"nftables": []}"#;
        assert_eq!(loadable(plain).unwrap(), (plain.to_owned(), Vec::new()));
    }

    #[test]
    fn chains_come_before_the_maps_that_jump_to_them_and_commands_keep_their_order() {
        let places = |text: &str| {
            let (text, lines) = loadable(text).unwrap();
            assert!(lines.is_empty());
            let mut kinds: Vec<(usize, &str)> = ["table", "map", "chain", "rule"]
                .into_iter()
                .map(|kind| (text.find(&format!("\"{kind}\": {{")).unwrap(), kind))
                .collect();
            kinds.sort_unstable();
            kinds.into_iter().map(|(_, kind)| kind).collect::<Vec<_>>()
        };
        let listing = r#"{"nftables": [{"table": {}}, {"map": {}}, {"chain": {}}, {"rule": {}}]}"#;
        assert_eq!(places(listing), ["table", "chain", "map", "rule"]);
        let commands = r#"{"nftables": [{"flush": {}}, {"add": {"table": {}}}, {"add": {"map": {}}}, {"chain": {}}, {"rule": {}}]}"#;
        assert_eq!(places(commands), ["table", "map", "chain", "rule"]);
    }

    fn rules_of(text: &str) -> usize {
        rules(text).of(&ChainName::new("inet", "fw", "forward")).unwrap().len()
    }
}
