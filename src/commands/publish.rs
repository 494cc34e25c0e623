//! `fwdrill publish`: make and sign the next update set of a depot.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use fwdrill_depot::{Depot, MAX_MAIN_SIZE, MIN_MAIN_SIZE, PublishOptions, keys, publish};
use jiff::{SignedDuration, Timestamp};

use crate::exit::{EndsAs, Exit, Failure};
use crate::{host, output};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill publish depot\n  fwdrill publish depot --version 22.0.7 --size 64MiB\n  fwdrill publish depot --serial 12 --expires-in 1d --with-eicar"
)]
pub(crate) struct PublishArgs {
    /// The depot; made if it is not there
    dir: PathBuf,
    /// Version for people [default: 22.0.DATE.SERIAL]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Serial, which orders sets [default: the newest plus one]
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Size of the main signature database in the first set, 1KiB to 64MiB [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    /// What the contents are drawn from: the same seed makes the same set [default: that of the set in force, else 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// When the set says that it was published, RFC 3339: to see what clients do with an old one [default: now]
    #[arg(long, value_name = "TIME")]
    published: Option<Timestamp>,
    /// How long the set is good: 30d, 12h
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "30d")]
    expires_in: SignedDuration,
    /// Add the EICAR test file, extras/eicar-test-file.com
    #[arg(long)]
    with_eicar: bool,
    /// How many of the newest sets stay
    #[arg(long, value_name = "N", default_value_t = fwdrill_depot::KEEP)]
    keep: usize,
    /// Directory with the signing key, minisign.key; made if it is not there [default: the user's own state directory]
    #[arg(long, value_name = "DIR", env = "FWDRILL_STATE")]
    state: Option<PathBuf>,
}

pub(crate) async fn run(args: PublishArgs) -> Result<Exit, Failure> {
    let state = args.state.map_or_else(host::default_state, Ok)?;
    let options = PublishOptions {
        version: args.version,
        serial: args.serial,
        published: args.published.unwrap_or_else(Timestamp::now),
        lifetime: args.expires_in,
        seed: args.seed,
        main_size: args.size,
        with_eicar: args.with_eicar,
        keep: args.keep,
    };
    let made = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&state)
            .with_context(|| format!("failed to create the state directory {}", state.display()))?;
        let key = keys::load_or_create(&state)?;
        let depot = Depot::create(&args.dir, key.public())?;
        let set = publish(&depot, &key, &options)?;
        Ok::<_, anyhow::Error>((set, key.public().to_base64()))
    });
    let (set, key) = made.await.ends_as(Exit::Inconclusive)??;
    let manifest = set.manifest();
    output::say(&format!(
        "published version {}, serial {}: {} files, {} bytes, good until {}, signed with {key}",
        manifest.version(),
        manifest.serial(),
        manifest.files().len(),
        manifest.total_size(),
        manifest.expires(),
    ));
    Ok(Exit::Pass)
}

fn size(text: &str) -> Result<u64, String> {
    match parse_size::parse_size(text) {
        Ok(size) if (MIN_MAIN_SIZE..=MAX_MAIN_SIZE).contains(&size) => Ok(size),
        _ => Err("expected a size from 1KiB to 64MiB".to_owned()),
    }
}

fn span(text: &str) -> Result<SignedDuration, String> {
    // A day is 24 hours here: jiff leaves calendar units to spans.
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let hours = match unit {
        "d" => 24,
        "h" => 1,
        _ => return Err("expected a span such as 30d or 12h".to_owned()),
    };
    match number
        .parse::<i64>()
        .ok()
        .filter(|number| (1..=36_500).contains(number))
    {
        Some(number) => Ok(SignedDuration::from_hours(number * hours)),
        None => Err("expected a span from 1h to 36500d".to_owned()),
    }
}
