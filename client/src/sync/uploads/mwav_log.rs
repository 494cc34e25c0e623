use std::fmt::Write;

use fwdrill_protocol::update_set::Manifest;
use jiff::{SignedDuration, Timestamp};

use crate::sync::{ClientName, Outcome, UpdateCycle};

/// How many objects the log says were scanned. With this many it is about 60 KiB: many TCP segments, as a real log is.
const OBJECTS: usize = 600;

const DIRECTORIES: [&str; 6] = [
    r"C:\Windows\System32",
    r"C:\Windows\SysWOW64",
    r"C:\Program Files\Common Files",
    r"C:\Program Files\Office",
    r"C:\Users\Public\Documents",
    r"C:\ProgramData\Cache",
];
const STEMS: [&str; 12] = [
    "kernel", "netapi", "report", "invoice", "setup", "printer", "codec", "layout", "journal", "vector", "driver",
    "index",
];
const EXTENSIONS: [&str; 6] = ["dll", "exe", "sys", "docx", "pdf", "dat"];

/// The text of `mwav.log`, in the shape of such a log. It says itself that nothing was scanned.
pub(super) fn render(cycle: &UpdateCycle, manifest: &Manifest, outcome: &Outcome) -> String {
    render_at(Timestamp::now(), &cycle.client, manifest, outcome)
}

/// A pure function of its arguments.
fn render_at(began: Timestamp, client: &ClientName, manifest: &Manifest, outcome: &Outcome) -> String {
    let mut log = Log {
        text: String::new(),
        at: began,
        chance: Chance::of(client.as_str(), manifest.serial()),
    };
    log.line("**********************************************************");
    log.line("Made by fwdrill to try the upload: no object was opened and no virus looked for.");
    log.line(&format!("fwdrill {} on {client}", env!("CARGO_PKG_VERSION")));
    log.line(&format!(
        "Virus database {} (serial {}), published {}",
        manifest.version(),
        manifest.serial(),
        manifest.published()
    ));
    log.line(&match &outcome.installed {
        None => "Update: nothing new".to_owned(),
        Some(tally) => format!(
            "Update: {} files downloaded ({} bytes), {} built from incremental updates, {} unchanged",
            tally.downloaded, tally.received, tally.built, tally.reused
        ),
    });
    for entry in manifest.files() {
        log.line(&format!(
            "Verified {} ({} bytes) SHA-256 {}",
            entry.path, entry.size, entry.sha256
        ));
    }
    log.line("Scanning files and folders...");
    for _ in 0..OBJECTS {
        let object = log.chance.object();
        log.pass_time();
        log.line(&format!("Scanning File {object}"));
    }
    log.line("***** Scanning complete. *****");
    log.line(&format!("Total Objects Scanned: {OBJECTS}"));
    log.line("Total Virus(es) Found: 0");
    log.line("Total Errors: 0");
    log.text
}

struct Log {
    text: String,
    at: Timestamp,
    chance: Chance,
}

impl Log {
    /// Lines end as on Windows.
    fn line(&mut self, text: &str) {
        let at = self.at.strftime("%d %b %Y %H:%M:%S");
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{at} [0f38] - {text}\r\n");
    }

    fn pass_time(&mut self) {
        let step = SignedDuration::from_millis(20 + self.chance.below(180) as i64);
        self.at = self.at.checked_add(step).unwrap_or(self.at);
    }
}

/// xorshift64: the same log for the same client and set.
struct Chance(u64);

impl Chance {
    fn of(client: &str, serial: u64) -> Self {
        let fnv = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let state = client
            .bytes()
            .chain(serial.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325, fnv);
        // Zero is the one state it never leaves.
        Chance(state | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    fn object(&mut self) -> String {
        let directory = DIRECTORIES[self.below(DIRECTORIES.len())];
        let stem = STEMS[self.below(STEMS.len())];
        let extension = EXTENSIONS[self.below(EXTENSIONS.len())];
        format!(r"{directory}\{stem}{}.{extension}", self.below(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Tally, Uploads};

    fn log(client: &str) -> String {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (published, expires) = (at("2026-11-24T00:00:00Z"), at("2026-12-24T00:00:00Z"));
        let manifest = Manifest::new("22.0".to_owned(), 7, published, expires, vec![]).unwrap();
        let outcome = Outcome {
            serial: 7,
            version: "22.0".to_owned(),
            before: None,
            installed: Some(Tally::default()),
            uploads: Uploads::NotWanted,
        };
        render_at(
            at("2026-11-24T05:53:10Z"),
            &client.parse().unwrap(),
            &manifest,
            &outcome,
        )
    }

    #[test]
    fn the_log_is_the_same_for_the_same_run_and_another_for_another_client() {
        assert_eq!(log("pc-1"), log("pc-1"));
        assert_ne!(log("pc-1"), log("pc-2"));
    }

    #[test]
    fn the_log_is_of_a_realistic_size_and_bounded_and_admits_what_it_is() {
        let text = log("pc-1");
        assert!((30_000..200_000).contains(&text.len()), "{}", text.len());
        assert!(text.starts_with("24 Nov 2026 05:53:10 [0f38] - ****"));
        assert!(text.contains("no virus looked for"));
        assert!(text.lines().all(|line| line.len() < 200) && text.ends_with("Total Errors: 0\r\n"));
    }
}
