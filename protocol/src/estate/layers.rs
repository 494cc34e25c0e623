//! Default < `eserv.ini` < file < environment < flags, merged into one [`Estate`].
//!
//! No layer stops at its first mistake: [`Layers::resolve`] returns the estate or all of them.

use super::mistake::{Mistake, Mistakes, Origin};
use super::value::Value;
use super::{Estate, Mode, environment, eserv_ini, keys};
use crate::flow::Flow;

/// One key set by one layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) origin: Origin,
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// Collects the layers of a configuration. Call the methods in the order of precedence, lowest
/// first.
#[derive(Debug, Default)]
pub struct Layers {
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

impl Layers {
    /// The defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an `eserv.ini`; `name` is what mistakes call it.
    pub fn eserv_ini(mut self, name: &str, bytes: &[u8]) -> Self {
        let (settings, mistakes) = eserv_ini::settings(name, bytes);
        self.settings.extend(settings);
        self.mistakes.extend(mistakes);
        self
    }

    /// Adds a `fwdrill.toml`; `name` is what mistakes call it.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        let origin = Origin::File(name.to_owned());
        match text.parse::<toml::Table>() {
            Ok(mut table) => {
                // The network around a firewall, for `rehearse` alone.
                table.remove("rehearse");
                flatten(&origin, String::new(), table, &mut self.settings);
            }
            Err(error) => self.mistakes.push(Mistake {
                key: position(text, &error),
                origin,
                value: None,
                expected: format!("not TOML: {}", error.message()),
            }),
        }
        self
    }

    /// Adds the environment: `FWDRILL_<SECTION>_<KEY>` and the aliases of well-known images.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let (settings, mistakes) = environment::settings(variables);
        self.settings.extend(settings);
        self.mistakes.extend(mistakes);
        self
    }

    /// Adds one setting that a flag made: `flag` is how the user wrote it (`--ftp off`).
    pub fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.settings.push(Setting {
            origin: Origin::Flag(flag.to_owned()),
            key: key.to_owned(),
            value: Value::Text(value.to_owned()),
        });
        self
    }

    /// Adds a `--set section.key=value`.
    pub fn set(mut self, assignment: &str) -> Self {
        match assignment.split_once('=') {
            Some((key, value)) => self.flag("--set", key.trim(), value.trim()),
            None => {
                self.mistakes.push(Mistake {
                    origin: Origin::Flag("--set".to_owned()),
                    key: assignment.to_owned(),
                    value: None,
                    expected: "expected section.key=value".to_owned(),
                });
                self
            }
        }
    }

    /// Merges the layers.
    pub fn resolve(self) -> Result<Estate, Mistakes> {
        let mut estate = Estate::default();
        let mut mistakes = self.mistakes;
        for setting in &self.settings {
            mistakes.extend(apply(&mut estate, setting).err());
        }
        // The sum of broken parts says nothing new.
        if mistakes.is_empty() {
            mistakes = contradictions(&estate);
        }
        if mistakes.is_empty() {
            Ok(estate)
        } else {
            Err(Mistakes(mistakes))
        }
    }
}

fn apply(estate: &mut Estate, setting: &Setting) -> Result<(), Mistake> {
    let mistake = |expected: String| Mistake {
        origin: setting.origin.clone(),
        key: setting.key.clone(),
        value: Some(if keys::is_secret(&setting.key) {
            "(not shown)".to_owned()
        } else {
            setting.value.shown()
        }),
        expected,
    };
    if let Some((vantage, flow)) = keys::expectation(&setting.key) {
        let expected = keys::expected(&setting.value).map_err(|_| mistake(keys::EXPECTED.to_owned()))?;
        estate
            .expect
            .entry(vantage.to_owned())
            .or_default()
            .insert(flow, expected);
        return Ok(());
    }
    let Some(key) = keys::find(&setting.key) else {
        return Err(Mistake {
            value: None,
            ..mistake(unknown_key(&setting.key))
        });
    };
    (key.set)(estate, &setting.value).map_err(|misfit| {
        mistake(match misfit {
            Some(detail) => format!("{detail}; {}", key.expected),
            None => key.expected.to_owned(),
        })
    })
}

/// "unknown key", with the nearest key there is.
fn unknown_key(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("expect.") {
        let flows: Vec<&str> = Flow::expectable().map(Flow::key).collect();
        return format!(
            "unknown key `{rest}` under expect: expected a vantage and one of {}",
            flows.join(", ")
        );
    }
    let nearest = keys::KEYS
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a.path, key).total_cmp(&strsim::jaro_winkler(b.path, key)));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest.path, key) > 0.85 => {
            format!("unknown key, did you mean `{}`?", nearest.path)
        }
        _ => "unknown key".to_owned(),
    }
}

/// Turns tables into dotted keys. A table that is the value of a key stays one.
fn flatten(origin: &Origin, prefix: String, table: toml::Table, settings: &mut Vec<Setting>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) if keys::find(&key).is_none() => flatten(origin, key, inner, settings),
            value => settings.push(Setting {
                origin: origin.clone(),
                key,
                value: Value::Toml(value),
            }),
        }
    }
}

fn position(text: &str, error: &toml::de::Error) -> String {
    let offset = error.span().map_or(0, |span| span.start.min(text.len()));
    format!(
        "line {}",
        text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    )
}

/// What no single key can know.
fn contradictions(estate: &Estate) -> Vec<Mistake> {
    let merged = |key: &str, value: String, expected: String| Mistake {
        origin: Origin::Merged,
        key: key.to_owned(),
        value: Some(value),
        expected,
    };
    let mut mistakes = Vec::new();
    let flows: Vec<(Flow, u16)> = estate
        .flows()
        .filter_map(|flow| Some((flow, estate.port(flow)?)))
        .filter(|(_, port)| *port != 0)
        .collect();
    for (at, (flow, port)) in flows.iter().enumerate() {
        if let Some((first, _)) = flows[..at].iter().find(|(_, taken)| taken == port) {
            mistakes.push(merged(
                &Estate::port_key(*flow),
                port.to_string(),
                format!("expected a port of its own, but {} has it", Estate::port_key(*first)),
            ));
        }
    }
    if !estate.ftp.passive_ports.is_empty() && estate.handed_out_ports().is_empty() {
        mistakes.push(merged(
            "ftp.passive_ports",
            estate.ftp.passive_ports.to_string(),
            "expected at least one port that no other listener owns".to_owned(),
        ));
    }
    let (told, listened) = (estate.ftp.passive_ports.len(), estate.ftp.passive_listen.len());
    if listened != 0 && listened != told {
        mistakes.push(merged(
            "ftp.passive_listen",
            estate.ftp.passive_listen.to_string(),
            format!("expected as many ports as ftp.passive_ports has, {told} instead of {listened}"),
        ));
    }
    let (certificate, key) = (&estate.tls.certificate, &estate.tls.key);
    for (here, there, given, missing) in [
        ("tls.certificate", "tls.key", certificate, key),
        ("tls.key", "tls.certificate", key, certificate),
    ] {
        if let (Some(path), None) = (given, missing) {
            mistakes.push(merged(
                here,
                path.display().to_string(),
                format!("expected {there} beside it"),
            ));
        }
    }
    if !estate.ftp.enabled && estate.mode == Mode::Ftp {
        mistakes.push(merged(
            "ftp.enabled",
            "false".to_owned(),
            r#"expected mode = "http", or clients have nothing to download over"#.to_owned(),
        ));
    }
    mistakes
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
