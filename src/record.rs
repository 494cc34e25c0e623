//! A client's half of a drill in a file: `fwdrill.record/1`, what `probe --save` writes and `diagnose` reads.

use std::path::Path;

use anyhow::{Context, bail};
use fwdrill_client::observation::Observations;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::layers::Layers;
use fwdrill_protocol::report::Report;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const SCHEMA: &str = "fwdrill.record/1";

/// What the client expected, and what it saw.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: String,
    /// Which version wrote it.
    program: String,
    /// As in the estate file, but without users: passwords are nobody's business.
    estate: Value,
    observations: Observations,
}

/// Writes the file.
pub(crate) fn save(file: &Path, estate: &Estate, seen: &Observations) -> anyhow::Result<()> {
    let mut estate = estate.clone();
    estate.ftp.users.clear();
    let record = Record {
        schema: SCHEMA.to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        estate: serde_json::to_value(&estate).context("failed to write the estate")?,
        observations: seen.clone(),
    };
    let mut text = serde_json::to_string(&record).context("failed to write the observations")?;
    text.push('\n');
    std::fs::write(file, text).with_context(|| format!("failed to save the observations to {}", file.display()))
}

/// Reads the file.
pub(crate) fn read(file: &Path) -> anyhow::Result<(Estate, Observations)> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {name}"))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))?;
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => {}
        Some(Report::SCHEMA) => bail!(
            "{name} is a report, which holds conclusions and not what they were drawn from: save that with `fwdrill probe --save FILE`"
        ),
        Some(other) => {
            bail!("{name} is {other}, not {SCHEMA}: it was written by something else, or by another version")
        }
        None => bail!("{name} is not what `fwdrill probe --save FILE` writes: it has no schema"),
    }
    let record: Record = serde_json::from_value(value)
        .with_context(|| format!("{name} says that it is {SCHEMA}, and lacks something of it"))?;
    let estate = toml::to_string(&record.estate).with_context(|| format!("{name}: the estate is damaged"))?;
    let estate = Layers::new().file(&name, &estate).resolve()?;
    Ok((estate, record.observations))
}
