//! rclone.

use crate::errand::{Client, Errand, Job, Told, Wire};

pub(crate) const CLIENT: Client = Client {
    name: "rclone",
    tls: Ok(()),
    how: |errand| match errand {
        Errand::Resume => Err("it begins anew"),
        Errand::Put => Err("it looks for what it has brought, and nothing in the drop box is shown"),
        _ => Ok(told),
    },
};

fn told(job: &Job) -> Told {
    let tls = match job.wire {
        Wire::Clear => "",
        Wire::Tls => ",explicit_tls=true,no_check_certificate=true",
    };
    // rclone's own way to write the password "x" (`rclone obscure`).
    let password = "3G1eFV_tcn7pynuLoabNRA8";
    let remote = format!(
        ":ftp,host=127.0.0.1,port={},user=anonymous,pass={password}{tls}:",
        job.port
    );
    let common = [
        "--config=/dev/null",
        "--retries=1",
        "--low-level-retries=1",
        "--timeout=20s",
    ]
    .map(String::from);
    let more = match job.errand {
        Errand::List => ["lsf".to_owned(), format!("{remote}policies"), "--files-only".to_owned()],
        Errand::Mget => ["copy".to_owned(), format!("{remote}policies"), "into".to_owned()],
        Errand::Get | Errand::Resume | Errand::Put => {
            let main = format!("{remote}signatures/main.fwdb");
            ["copyto".to_owned(), main, "main.fwdb".to_owned()]
        }
    };
    Told::new("rclone", more.into_iter().chain(common))
}
