//! aria2. Several files by their names.
//!
//! Where the 150 and the 226 reach it in one read (small files on a fast path, of any server), aria2 has the file but
//! waits for what it has read already until its timeout ends the wait: a short one.

use crate::errand::{Client, Errand, Job, Told};

pub(crate) const CLIENT: Client = Client {
    name: "aria2",
    tls: Err("it has no FTPS"),
    how: |errand| match errand {
        Errand::List => Err("it lists nothing"),
        Errand::Put => Err("it downloads only"),
        _ => Ok(told),
    },
};

fn told(job: &Job) -> Told {
    let mut arguments: Vec<String> = [
        "--no-conf",
        "--allow-overwrite=true",
        "--auto-file-renaming=false",
        "--max-tries=1",
        "--timeout=2",
    ]
    .map(Into::into)
    .to_vec();
    let main = format!("{}/signatures/main.fwdb", job.url());
    match job.errand {
        Errand::Resume => arguments.extend(["--continue=true".to_owned(), main]),
        Errand::Mget => {
            arguments.extend(["--dir=into", "--force-sequential=true"].map(Into::into));
            arguments.extend(job.policies.iter().map(|name| format!("{}/policies/{name}", job.url())));
        }
        Errand::List | Errand::Get | Errand::Put => arguments.push(main),
    }
    Told::new("aria2c", arguments)
}
