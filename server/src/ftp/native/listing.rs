//! Directory listings: LIST as ls(1) writes it, NLST, and the facts of MLST (RFC 3659 section 7).

use jiff::Timestamp;

use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Entry, Kind, Tree, TreeError};

/// The facts we know, as FEAT and OPTS MLST give them.
pub(super) const FACTS: [&str; 4] = ["type", "size", "modify", "perm"];

/// Which of [`FACTS`] a client wants.
pub(super) type Wanted = [bool; 4];

/// What a listing command lists: the entries, and what stands before each name.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) entries: Vec<Entry>,
    /// As the client wrote it, for patterns with a directory in front.
    pub(super) prefix: String,
}

/// What `argument` means to LIST and NLST: a directory's contents, a file alone, or all names that match a pattern in the
/// last part of the path.
pub(super) fn find(
    tree: &Tree,
    directory: &VirtualPath,
    argument: &str,
    path: &VirtualPath,
) -> Result<Listed, TreeError> {
    let found = tree.list(path);
    let Some(pattern) = path.names().last().filter(|name| name.contains(['*', '?'])) else {
        return found.map(unprefixed);
    };
    if found.is_ok() {
        return found.map(unprefixed);
    }
    let prefix = argument
        .rfind('/')
        .map_or("", |slash| argument.get(..=slash).unwrap_or_default());
    // It was a path before; without its last part it still is.
    let parent = directory.join(&format!("{prefix}.")).map_err(|_| TreeError::NotFound)?;
    let mut entries = tree.list(&parent)?;
    entries.retain(|entry| matches(pattern.as_bytes(), entry.name.as_bytes()));
    if entries.is_empty() {
        return Err(TreeError::NotFound);
    }
    Ok(Listed {
        entries,
        prefix: prefix.to_owned(),
    })
}

fn unprefixed(entries: Vec<Entry>) -> Listed {
    Listed {
        entries,
        prefix: String::new(),
    }
}

/// A line of LIST, without its end.
pub(super) fn long(entry: &Entry, now: Timestamp) -> String {
    let (mode, links) = match entry.kind {
        Kind::File => ("-r--r--r--", 1),
        Kind::Directory => ("dr-xr-xr-x", 2),
        Kind::DropBox => ("d-wx-wx-wx", 2),
    };
    let modified = timestamp(entry);
    // As ls(1): the time of day of what is recent, the year of the rest.
    let age = now.duration_since(modified).as_hours();
    let form = if (-1..183 * 24).contains(&age) {
        "%b %e %H:%M"
    } else {
        "%b %e  %Y"
    };
    let (size, date) = (entry.size, modified.strftime(form));
    format!("{mode} {links} ftp ftp {size:>12} {date} {name}", name = entry.name)
}

/// The facts of an entry and a space: a line of MLSD when the name is behind it.
pub(super) fn facts(entry: &Entry, path: &VirtualPath, wanted: Wanted) -> String {
    let is_file = entry.kind == Kind::File;
    let values = [
        Some(if is_file { "file" } else { "dir" }.to_owned()),
        is_file.then(|| entry.size.to_string()),
        Some(time(entry)),
        Some(permissions(entry.kind, path.names().len()).to_owned()),
    ];
    let mut text = String::new();
    for ((name, value), wanted) in FACTS.iter().zip(values).zip(wanted) {
        if let Some(value) = value.filter(|_| wanted) {
            text.push_str(&format!("{name}={value};"));
        }
    }
    text.push(' ');
    text
}

/// A time-val (RFC 3659 section 2.3), in UTC.
pub(super) fn time(entry: &Entry) -> String {
    timestamp(entry).strftime("%Y%m%d%H%M%S").to_string()
}

/// Which facts `OPTS MLST` asks for; those that we do not know are passed over.
pub(super) fn wanted(facts: &str) -> Wanted {
    FACTS.map(|known| facts.split(';').any(|asked| asked.eq_ignore_ascii_case(known)))
}

fn timestamp(entry: &Entry) -> Timestamp {
    Timestamp::try_from(entry.modified).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// RFC 3659 section 7.5.5. `/upload` takes directories, what is in it takes files.
fn permissions(kind: Kind, depth: usize) -> &'static str {
    match (kind, depth) {
        (Kind::File, _) => "r",
        (Kind::Directory, _) => "el",
        (Kind::DropBox, ..=1) => "elm",
        (Kind::DropBox, _) => "celp",
    }
}

/// `*` is any number of characters, `?` one byte.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and how much of the name it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => (p, n) = (p + 1, n + 1),
            Some(byte) if name.get(n) == Some(byte) => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use proptest::prelude::*;

    use super::*;

    fn entry(modified: Timestamp) -> Entry {
        Entry {
            name: "main.fwdb".to_owned(),
            kind: Kind::File,
            size: 12,
            modified: modified.try_into().unwrap(),
        }
    }

    #[test]
    fn recent_files_show_the_time_and_old_ones_the_year() {
        let now: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
        let recent = entry("2026-11-03T07:05:00Z".parse().unwrap());
        assert_eq!(
            long(&recent, now),
            "-r--r--r-- 1 ftp ftp           12 Nov  3 07:05 main.fwdb"
        );
        let old = entry("2024-02-29T07:05:00Z".parse().unwrap());
        assert_eq!(
            long(&old, now),
            "-r--r--r-- 1 ftp ftp           12 Feb 29  2024 main.fwdb"
        );
        let future = entry(now + 48.hours());
        assert!(long(&future, now).ends_with("Nov 26  2026 main.fwdb"));
    }

    #[test]
    fn only_the_facts_that_are_wanted_are_given() {
        let entry = entry("2026-11-03T07:05:09Z".parse().unwrap());
        let path = VirtualPath::root().join("/signatures/main.fwdb").unwrap();
        assert_eq!(
            facts(&entry, &path, [true; 4]),
            "type=file;size=12;modify=20261103070509;perm=r; "
        );
        assert_eq!(facts(&entry, &path, wanted("Size;unique;TYPE;")), "type=file;size=12; ");
        assert_eq!(facts(&entry, &path, wanted("")), " ");
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*.fwdb", "main.fwdb", true),
            ("*.fwdb", "main.fwdb.old", false),
            ("m??n*", "main.fwdb", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("?", "", false),
            ("**", "", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_pattern_made_of_a_name_matches_it(name in "[ab]{1,12}", from in 0_usize..12, to in 0_usize..12) {
            let (from, to) = (from.min(name.len()), to.min(name.len()));
            let pattern = format!("{}*{}", &name[..from], &name[to.max(from)..]);
            prop_assert!(matches(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
