//! GNU inetutils' ftp.

use crate::errand::{Client, Errand, Job, Told};

pub(crate) const CLIENT: Client = Client {
    name: "inetutils",
    tls: Err("it has no TLS"),
    how: |_| Ok(told),
};

fn told(job: &Job) -> Told {
    let what = match job.errand {
        Errand::List => "ls /policies",
        Errand::Get => "get /signatures/main.fwdb main.fwdb",
        Errand::Resume => "reget /signatures/main.fwdb main.fwdb",
        Errand::Put => "put mwav.log /upload/inetutils/mwav.log",
        Errand::Mget => "cd /policies\nlcd into\nmget *",
    };
    let typed = format!("user anonymous x\nbinary\npassive\n{what}\nbye\n");
    // -i: no questions for each file.
    Told::new("inetutils-ftp", ["-n", "-v", "-i", "127.0.0.1", &job.port.to_string()]).typing(typed)
}
