//! NcFTP's batch programs. `-F`: passive. They resume where they find part of a file.

use crate::errand::{Client, Errand, Job, Told};

pub(crate) const CLIENT: Client = Client {
    name: "ncftp",
    tls: Err("it has no TLS"),
    how: |_| Ok(told),
};

fn told(job: &Job) -> Told {
    let port = job.port.to_string();
    let common = ["-F", "-u", "anonymous", "-p", "x", "-t", "20", "-P", &port];
    let (program, more): (_, &[&str]) = match job.errand {
        Errand::List => ("ncftpls", &["-1", "ftp://127.0.0.1/policies/"]),
        Errand::Get | Errand::Resume => ("ncftpget", &["127.0.0.1", ".", "/signatures/main.fwdb"]),
        Errand::Put => ("ncftpput", &["127.0.0.1", "/upload/ncftp", "mwav.log"]),
        Errand::Mget => ("ncftpget", &["127.0.0.1", "into", "/policies/*"]),
    };
    Told::new(program, common.iter().chain(more).copied())
}
