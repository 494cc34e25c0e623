//! curl. Several files by its own globs: it takes names, not patterns.

use crate::errand::{Client, Errand, Job, Told, Wire};

pub(crate) const CLIENT: Client = Client {
    name: "curl",
    tls: Ok(()),
    how: |_| Ok(told),
};

fn told(job: &Job) -> Told {
    let url = job.url();
    let main = format!("{url}/signatures/main.fwdb");
    let mut arguments: Vec<String> = ["--silent", "--show-error", "--max-time", "20"]
        .map(Into::into)
        .to_vec();
    if job.wire == Wire::Tls {
        arguments.extend(["--ssl-reqd", "--insecure"].map(Into::into));
    }
    arguments.extend(match job.errand {
        Errand::List => vec!["--list-only".to_owned(), format!("{url}/policies/")],
        Errand::Get => vec!["--output".to_owned(), "main.fwdb".to_owned(), main],
        Errand::Resume => ["--continue-at", "-", "--output", "main.fwdb", &main]
            .map(Into::into)
            .to_vec(),
        Errand::Put => ["--upload-file", "mwav.log", &format!("{url}/upload/curl/mwav.log")]
            .map(Into::into)
            .to_vec(),
        Errand::Mget => {
            let names = format!("{url}/policies/{{{}}}", job.policies.join(","));
            ["--output", "into/#1", &names].map(Into::into).to_vec()
        }
    });
    Told::new("curl", arguments)
}
