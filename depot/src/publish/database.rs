//! Signature databases and their incremental updates, as a function of [`Origin`] and serial.
//!
//! A database is one block of records from its first serial and a small one from each serial in which it grew. So the
//! state at any older serial is a prefix of the present one, and its digest falls out of writing the present one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use fwdrill_protocol::update_set::{FileEntry, FileKind, Sha256};

use super::records::{Style, random_for, write_block};
use super::{PublishError, write_file};
use crate::error::{FileError, OrFailed};
use crate::files::Hashing;
use crate::incremental::Header;
use crate::set_handle::SetHandle;
use crate::workspace::Workspace;

/// From how many serials back a client gets by with incremental updates.
const HISTORY: u64 = 5;
/// After how many serials the databases start anew, lest they grow for ever. Clients then download them whole, once.
const REBASE: u64 = 64;

/// Where the databases of a row of sets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) seed: u64,
    pub(super) main_size: u64,
    pub(super) first_serial: u64,
}

impl Origin {
    /// Whether the set that would start afresh with `fresh` can go on from here instead.
    pub(super) fn leads_to(&self, fresh: &Origin) -> bool {
        (self.seed, self.main_size) == (fresh.seed, fresh.main_size)
            && (self.first_serial..self.first_serial.saturating_add(REBASE)).contains(&fresh.first_serial)
    }

    /// The first line of a database: it says how the rest came about.
    fn render(&self, database: &str) -> String {
        let Self {
            seed,
            main_size,
            first_serial,
        } = self;
        format!("#fwdb/1 {database} seed={seed} main-size={main_size} first-serial={first_serial}\n")
    }

    fn parse(line: &str, database: &str) -> Option<Self> {
        let rest = line.strip_prefix(&format!("#fwdb/1 {database} "))?;
        let mut words = rest.trim_end().split(' ');
        let mut number = |key: &str| words.next()?.strip_prefix(key)?.parse().ok();
        Some(Self {
            seed: number("seed=")?,
            main_size: number("main-size=")?,
            first_serial: number("first-serial=")?,
        })
    }
}

pub(super) struct Database {
    name: &'static str,
    style: Style,
    /// It grows in every so many serials after the first.
    every: u64,
    /// Its size in the first serial, and by how much it grows, given the size of the main one.
    sizes: fn(u64) -> (u64, u64),
}

const MAIN: &str = "main";

pub(super) const DATABASES: [Database; 3] = [
    Database {
        name: MAIN,
        style: Style {
            phishing: false,
            hashes_one_in: 8,
        },
        every: 2,
        sizes: |main| (main, (main / 1024).clamp(256, 16 << 10)),
    },
    Database {
        name: "daily",
        style: Style {
            phishing: false,
            hashes_one_in: 2,
        },
        every: 1,
        sizes: |main| ((main / 8).clamp(1 << 10, 1 << 20), (main / 256).clamp(512, 8 << 10)),
    },
    Database {
        name: "phishing",
        style: Style {
            phishing: true,
            hashes_one_in: 16,
        },
        every: 3,
        sizes: |main| ((main / 16).clamp(1 << 10, 512 << 10), 512),
    },
];

/// Writes a database as of `serial`, and the incremental updates that lead there from the last few serials.
pub(super) fn write(
    workspace: &Workspace,
    database: &Database,
    origin: &Origin,
    serial: u64,
) -> Result<Vec<FileEntry>, PublishError> {
    let mut states = Vec::new();
    let full_path = format!("signatures/{}.fwdb", database.name);
    let full = write_file(workspace, &full_path, FileKind::Database, |file| {
        states = database.write_all(file, origin, serial)?;
        Ok(())
    })?;
    let mut files = Vec::new();
    let Some((now, older)) = states.split_last() else {
        return Ok(vec![full]);
    };
    for (index, state) in older.iter().enumerate() {
        // The last serial that had this state; if that is too long ago, so are all before it.
        let until = states.get(index + 1).map_or(serial, |next| next.serial) - 1;
        if until < serial.saturating_sub(HISTORY) {
            continue;
        }
        let path = format!(
            "signatures/incremental/{}-{}-{}.fwinc",
            database.name, state.serial, now.serial
        );
        let kind = FileKind::Incremental {
            from_serial: state.serial,
            base: state.sha256,
            of: full.path.clone(),
        };
        let header = Header {
            base_length: state.length,
            base: state.sha256,
            appended: now.length - state.length,
        };
        files.push(write_file(workspace, &path, kind, |file| {
            file.write_all(header.render().as_bytes())?;
            (state.serial + 1..=now.serial).try_for_each(|serial| database.write_growth(file, origin, serial))
        })?);
    }
    files.push(full);
    Ok(files)
}

/// Where the databases of a set come from; `None` if they were not made here.
pub(super) fn origin_of(set: &SetHandle) -> Result<Option<Origin>, FileError> {
    let is_main = |entry: &&FileEntry| entry.path.as_str() == format!("signatures/{MAIN}.fwdb");
    let Some(entry) = set.manifest().files().iter().find(is_main) else {
        return Ok(None);
    };
    let path = set.file(entry);
    let mut line = Vec::new();
    let file = File::open(&path).or_failed("open", &path)?;
    BufReader::new(file.take(200))
        .read_until(b'\n', &mut line)
        .or_failed("read", &path)?;
    Ok(std::str::from_utf8(&line)
        .ok()
        .and_then(|line| Origin::parse(line, MAIN)))
}

/// What a database was from some serial on.
struct State {
    serial: u64,
    length: u64,
    sha256: Sha256,
}

impl Database {
    /// Writes the whole, and returns all states it went through.
    fn write_all<W: Write>(&self, file: &mut Hashing<W>, origin: &Origin, serial: u64) -> io::Result<Vec<State>> {
        let first = origin.first_serial;
        let (size, _) = (self.sizes)(origin.main_size);
        write_block(
            file,
            self.random(origin, first),
            self.style,
            &origin.render(self.name),
            size,
        )?;
        let mut states = Vec::new();
        for serial in first..=serial {
            self.write_growth(file, origin, serial)?;
            let (length, sha256) = file.so_far();
            if serial == first || self.grows(origin, serial) {
                states.push(State { serial, length, sha256 });
            }
        }
        Ok(states)
    }

    /// Writes what a serial appends, if anything.
    fn write_growth(&self, file: &mut impl Write, origin: &Origin, serial: u64) -> io::Result<()> {
        if !self.grows(origin, serial) {
            return Ok(());
        }
        let (_, growth) = (self.sizes)(origin.main_size);
        write_block(
            file,
            self.random(origin, serial),
            self.style,
            &format!("#serial {serial}\n"),
            growth,
        )
    }

    /// The first serial after the first in which it grows is the very next.
    fn grows(&self, origin: &Origin, serial: u64) -> bool {
        serial > origin.first_serial && (serial - origin.first_serial - 1).is_multiple_of(self.every)
    }

    fn random(&self, origin: &Origin, serial: u64) -> rand_chacha::ChaCha8Rng {
        let Origin {
            seed,
            main_size,
            first_serial,
        } = origin;
        random_for(&format!(
            "database {} {seed} {main_size} {first_serial} {serial}",
            self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin {
        seed: 7,
        main_size: 4096,
        first_serial: 10,
    };

    fn contents(database: &Database, serial: u64) -> (Vec<u8>, Vec<State>) {
        let mut bytes = Vec::new();
        let states = database
            .write_all(&mut Hashing::new(&mut bytes), &ORIGIN, serial)
            .expect("written to memory");
        (bytes, states)
    }

    #[test]
    fn an_older_database_is_a_prefix_of_a_newer_one() {
        for database in &DATABASES {
            let (mut old, _) = contents(database, 10);
            for serial in 11..20 {
                let (new, states) = contents(database, serial);
                assert!(new.starts_with(&old), "{} {serial}", database.name);
                assert_eq!(
                    new.len() > old.len(),
                    database.grows(&ORIGIN, serial),
                    "{} {serial}",
                    database.name
                );
                assert_eq!(states.last().expect("a state").length, new.len() as u64);
                old = new;
            }
        }
    }

    #[test]
    fn the_origin_is_read_back_from_the_first_line() {
        let (bytes, _) = contents(&DATABASES[0], 12);
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(Origin::parse(text.lines().next().expect("a line"), MAIN), Some(ORIGIN));
        for line in [
            "",
            "#fwdb/1 daily seed=7 main-size=4096 first-serial=10",
            "#fwdb/1 main seed=x",
        ] {
            assert_eq!(Origin::parse(line, MAIN), None, "{line}");
        }
    }

    #[test]
    fn another_seed_size_or_first_serial_is_another_database() {
        let first = |origin: &Origin| {
            let mut bytes = Vec::new();
            DATABASES[0]
                .write_all(&mut Hashing::new(&mut bytes), origin, 10)
                .expect("written to memory");
            bytes.split_off(200)
        };
        let all = [
            ORIGIN,
            Origin { seed: 8, ..ORIGIN },
            Origin {
                main_size: 4097,
                ..ORIGIN
            },
            Origin {
                first_serial: 9,
                ..ORIGIN
            },
        ]
        .map(|origin| first(&origin));
        for (index, one) in all.iter().enumerate() {
            assert!(
                all.iter().skip(index + 1).all(|other| one[..500] != other[..500]),
                "{index}"
            );
        }
    }
}
