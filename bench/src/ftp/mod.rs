//! FTP in passive mode, beside vsftpd.

mod client;
mod idle;

use anyhow::ensure;
use fwdrill_protocol::flow::Flow;

use crate::contender::{Contender, fwdrill, vsftpd};
use crate::corpus::{Corpus, path};
use crate::rounds::{Case, Unit, alternate};
use crate::{Plan, progress, table};
use client::{Session, buffer};

const GIB: u64 = 1 << 30;
const SMALL: u64 = 1 << 10;

/// As much as vsftpd's configuration allows, and no more than the loads need.
const SETTINGS: [&str; 6] = [
    "ftp.tls=off",
    "dropbox.file_bytes=2147483648",
    "dropbox.client_bytes=8589934592",
    "ftp.limits.sessions=20000",
    "ftp.limits.sessions_per_address=20000",
    "ftp.limits.login_seconds=600",
];

/// Something that some sessions do at the same time.
struct Load {
    name: &'static str,
    /// At the same time, each on a thread of its own.
    sessions: u64,
    what: What,
}

enum What {
    /// One file of 1 GiB each.
    Download,
    /// The same in the other direction.
    Upload,
    /// So many sessions one after the other: login, PASV, RETR of 1 KiB, QUIT.
    Logins(u64),
    /// So many files of 1 KiB in one session, each with a PASV.
    Files(u64),
}

/// Each runs for a few seconds at most; the numbers bound what it costs in ports and conntrack entries.
const LOADS: [Load; 7] = [
    Load {
        name: "download 1 GiB, 1 stream",
        sessions: 1,
        what: What::Download,
    },
    Load {
        name: "download 1 GiB, 8 streams",
        sessions: 8,
        what: What::Download,
    },
    Load {
        name: "upload 1 GiB",
        sessions: 1,
        what: What::Upload,
    },
    Load {
        name: "sessions of one 1 KiB file, 1 at a time",
        sessions: 1,
        what: What::Logins(400),
    },
    Load {
        name: "sessions of one 1 KiB file, 8 at a time",
        sessions: 8,
        what: What::Logins(100),
    },
    Load {
        name: "1 KiB files in a session, 1 session",
        sessions: 1,
        what: What::Files(2_000),
    },
    Load {
        name: "1 KiB files in a session, 8 sessions",
        sessions: 8,
        what: What::Files(400),
    },
];

/// Measures, and returns a section of Markdown.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<String> {
    idle::raise_file_limit()?;
    progress("making files");
    let corpus = Corpus::make(&plan.scratch, &[SMALL, GIB])?;
    let ours = fwdrill::start(&plan.fwdrill, &corpus, &plan.scratch, Flow::FtpControl, &SETTINGS)?;
    let theirs = vsftpd::start(&corpus, &plan.scratch)?;
    let rows = alternate(plan, &LOADS, &ours, &theirs)?;
    let idle = match "idle".contains(&plan.only) {
        true => idle::run([&ours, &theirs])?,
        false => String::new(),
    };
    Ok(format!(
        "## FTP\n{} rounds, alternating; medians. Passive mode, as `anonymous`, in clear; what is downloaded is thrown away by \
         the kernel.\n\n{}\n{idle}",
        plan.rounds,
        table::render(ours.name(), theirs.name(), &rows),
    ))
}

impl Case for Load {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn unit(&self) -> Unit {
        match self.what {
            What::Download | What::Upload => Unit::Bytes,
            What::Logins(_) => Unit::Pieces("sessions"),
            What::Files(_) => Unit::Pieces("files"),
        }
    }

    fn prepare(&self, contender: &Contender) -> anyhow::Result<()> {
        match self.what {
            What::Upload => (0..self.sessions).try_for_each(|number| contender.forget_upload(number)),
            _ => Ok(()),
        }
    }

    fn load(&self, contender: &Contender) -> anyhow::Result<u64> {
        let done: Vec<anyhow::Result<u64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.sessions)
                .map(|n| scope.spawn(move || self.what.one(contender, n)))
                .collect();
            let done = threads.into_iter().map(|thread| thread.join());
            done.map(|done| done.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked"))))
                .collect()
        });
        let work = done.into_iter().sum::<anyhow::Result<u64>>()?;
        ensure!(work > 0, "nothing was done");
        Ok(work)
    }
}

impl What {
    /// What one of the sessions does; returns bytes or pieces.
    fn one(&self, contender: &Contender, number: u64) -> anyhow::Result<u64> {
        let (server, mut buffer) = (contender.address(), buffer());
        match self {
            What::Download => {
                let mut session = Session::login(server)?;
                session.fetch(&path(GIB), GIB, &mut buffer)?;
                session.quit()?;
                Ok(GIB)
            }
            What::Upload => {
                let mut session = Session::login(server)?;
                session.store(&contender.upload_path(number), GIB, &buffer)?;
                session.quit()?;
                Ok(GIB)
            }
            What::Logins(count) => {
                for _ in 0..*count {
                    let mut session = Session::login(server)?;
                    session.fetch(&path(SMALL), SMALL, &mut buffer)?;
                    session.quit()?;
                }
                Ok(*count)
            }
            What::Files(count) => {
                let mut session = Session::login(server)?;
                for _ in 0..*count {
                    session.fetch(&path(SMALL), SMALL, &mut buffer)?;
                }
                session.quit()?;
                Ok(*count)
            }
        }
    }
}
