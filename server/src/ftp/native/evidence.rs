//! SITE SIGHTINGS: a drill's evidence over the control connection, for a path on which nothing else is open.

use std::io;

use fwdrill_protocol::evidence::Evidence;

use super::reply::Reply;
use super::session::Session;

/// How much one reply carries at most, in bytes; clients read up to [`fwdrill_protocol::ftp_reply::LONGEST_REPLY`].
const MOST_BYTES: usize = 96 * 1024;
/// How long a line of it is, in bytes.
const LINE: usize = 512;

impl Session {
    /// A 211 reply whose lines, put together, are the JSON of `GET /evidence` (`fwdrill.evidence/1`).
    pub(super) async fn sightings(&mut self) -> io::Result<()> {
        let known = match (&self.evidence, self.witness.drill()) {
            (Some(desk), Some(drill)) => desk.of(drill).await,
            _ => None,
        };
        let reply = match known.and_then(text) {
            Some(text) => Reply::list(211, "Sightings:", lines(&text), "End"),
            None => Reply::new(550, "This session belongs to no drill that is known here"),
        };
        self.control.reply(&reply).await
    }
}

/// The evidence as JSON. Where it is too long the oldest sightings are left out, and counted with those forgotten.
fn text(mut evidence: Evidence) -> Option<String> {
    loop {
        let text = serde_json::to_string(&evidence).ok()?;
        if text.len() <= MOST_BYTES || evidence.sightings.is_empty() {
            return Some(text);
        }
        let half = evidence.sightings.len().div_ceil(2);
        evidence.sightings.drain(..half);
        evidence.forgotten += half as u64;
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, behind) = rest.split_at(rest.floor_char_boundary(LINE));
        rest = behind;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_put_together_are_the_text() {
        let text = "é".repeat(LINE) + "x";
        assert!(lines(&text).all(|line| (1..=LINE).contains(&line.len())));
        assert_eq!(lines(&text).collect::<String>(), text);
    }
}
