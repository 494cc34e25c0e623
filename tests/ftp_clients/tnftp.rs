//! tnftp, the client of the BSDs.

use crate::errand::{Client, Errand, Job, Told};

pub(crate) const CLIENT: Client = Client {
    name: "tnftp",
    tls: Err("it speaks TLS for https:// only"),
    how: |_| Ok(told),
};

fn told(job: &Job) -> Told {
    let what = match job.errand {
        Errand::List => "ls /policies",
        Errand::Get => "get /signatures/main.fwdb main.fwdb",
        Errand::Resume => "reget /signatures/main.fwdb main.fwdb",
        Errand::Put => "put mwav.log /upload/tnftp/mwav.log",
        Errand::Mget => "cd /policies\nlcd into\nprompt\nmget *",
    };
    let typed = format!("user anonymous x\nbinary\n{what}\nbye\n");
    Told::new("tnftp", ["-n", "-v", "-p", "127.0.0.1", &job.port.to_string()]).typing(typed)
}
