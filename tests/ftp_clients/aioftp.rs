//! aioftp.

use crate::errand::{Client, Job, Told};

pub(crate) const CLIENT: Client = Client {
    name: "aioftp",
    tls: Err("Debian's 0.21 has implicit FTPS only"),
    how: |_| Ok(told),
};

fn told(job: &Job) -> Told {
    let program = include_str!("aioftp_errands.py");
    let (port, errand) = (job.port.to_string(), format!("{:?}", job.errand));
    Told::new("/usr/bin/python3", ["-c", program, &port, &errand])
}
