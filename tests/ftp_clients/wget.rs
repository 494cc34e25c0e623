//! Wget 1.

use crate::errand::{Client, Errand, Job, Told, Wire};

pub(crate) const CLIENT: Client = Client {
    name: "wget",
    tls: Ok(()),
    how: |errand| match errand {
        Errand::Put => Err("it has no FTP upload"),
        _ => Ok(told),
    },
};

fn told(job: &Job) -> Told {
    let mut url = job.url();
    let mut arguments: Vec<String> = ["--no-config", "--tries=1", "--timeout=20"].map(Into::into).to_vec();
    if job.wire == Wire::Tls {
        url = url.replace("ftp://", "ftps://");
        arguments.push("--no-check-certificate".to_owned());
    }
    let main = format!("{url}/signatures/main.fwdb");
    arguments.extend(match job.errand {
        Errand::List => vec!["--output-document=-".to_owned(), format!("{url}/policies/")],
        Errand::Get | Errand::Put => vec!["--output-document=main.fwdb".to_owned(), main],
        Errand::Resume => vec!["--continue".to_owned(), main],
        Errand::Mget => vec!["--directory-prefix=into".to_owned(), format!("{url}/policies/*")],
    });
    Told::new("wget", arguments)
}
