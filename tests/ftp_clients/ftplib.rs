//! Python's ftplib.

use crate::errand::{Client, Job, Told};

pub(crate) const CLIENT: Client = Client {
    name: "ftplib",
    tls: Ok(()),
    how: |_| Ok(told),
};

fn told(job: &Job) -> Told {
    let program = include_str!("ftplib_errands.py");
    let (port, wire, errand) = (
        job.port.to_string(),
        format!("{:?}", job.wire),
        format!("{:?}", job.errand),
    );
    Told::new("/usr/bin/python3", ["-c", program, &port, &wire, &errand])
}
