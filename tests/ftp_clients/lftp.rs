//! lftp.

use crate::errand::{Client, Errand, Job, Told, Wire};

pub(crate) const CLIENT: Client = Client {
    name: "lftp",
    tls: Ok(()),
    how: |_| Ok(told),
};

fn told(job: &Job) -> Told {
    let what = match job.errand {
        Errand::List => "cls -1 /policies/",
        Errand::Get => "get /signatures/main.fwdb -o main.fwdb",
        Errand::Resume => "get -c /signatures/main.fwdb -o main.fwdb",
        Errand::Put => "put mwav.log -o /upload/lftp/mwav.log",
        Errand::Mget => "mget -O into /policies/*",
    };
    let tls = match job.wire {
        Wire::Clear => "set ftp:ssl-allow no",
        Wire::Tls => "set ssl:verify-certificate no; set ftp:ssl-force yes; set ftp:ssl-protect-data yes",
    };
    let script = format!(
        "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 20; {tls}; open -u anonymous,x {}; {what}; bye",
        job.url()
    );
    Told::new("lftp", ["--norc", "-c", &script])
}
