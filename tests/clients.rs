//! What the report says of real clients, against what these clients do on the same paths.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;

use fwdrill_protocol::report::ClientResult;
use serde_json::Value;
use support::{required, run, stderr};

/// Paths of the zoo on which clients part ways.
const PATHS: [&str; 6] = [
    "healthy-dnat",
    "healthy-alg-bare-reply",
    "advertised-address-left-private",
    "advertised-address-of-nobody",
    "passive-range-not-forwarded",
    "control-port-rejected-by-icmp",
];

/// The family of the report, and how such a client fetches the manifest to `got-NAME`; each gives up after a few seconds.
const CLIENTS: [(&str, &str, &str); 6] = [
    (
        "curl",
        "curl >= 7.74",
        "curl -sS -v --connect-timeout 4 --max-time 12 -o got-curl ftp://203.0.113.2:2021/manifest.json",
    ),
    (
        "curl-of-old",
        "curl --disable-epsv --no-ftp-skip-pasv-ip",
        "curl -sS -v --disable-epsv --no-ftp-skip-pasv-ip --connect-timeout 4 --max-time 12 -o got-curl-of-old ftp://203.0.113.2:2021/manifest.json",
    ),
    (
        "lftp",
        "lftp",
        "lftp --norc -d -c \"set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 5; set ftp:ssl-allow no; \
         open -u anonymous,x ftp://203.0.113.2:2021; get /manifest.json -o got-lftp; bye\"",
    ),
    (
        "python3",
        "Python ftplib",
        "python3 -c \"import ftplib; f = ftplib.FTP(timeout=5); f.connect(\\\"203.0.113.2\\\", 2021); f.login(); \
         f.retrbinary(\\\"RETR manifest.json\\\", open(\\\"got-python3\\\", \\\"wb\\\").write)\"",
    ),
    (
        "tnftp",
        "tnftp",
        "printf \"user anonymous x\\nbinary\\nget /manifest.json got-tnftp\\nbye\\n\" | tnftp -n -v -d -q 5 203.0.113.2 2021",
    ),
    (
        "wget",
        "wget",
        "wget --no-config --debug --tries=1 --timeout=5 -O got-wget ftp://203.0.113.2:2021/manifest.json",
    ),
];

/// A path of the zoo with the clients tried on it.
fn scenario(path: &str) -> String {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/paths");
    let mut text = std::fs::read_to_string(zoo.join(path).with_extension("toml")).unwrap();
    text.push_str("\n[program]\n");
    for (name, _, command) in CLIENTS {
        text.push_str(&format!(
            "{name} = '''timeout 20 {command}; cmp got-{name} /run/lab/server/depot/current/manifest.json'''\n"
        ));
    }
    text
}

#[test]
fn the_report_says_of_real_clients_what_they_do() {
    for (program, _, _) in CLIENTS {
        required(program.trim_end_matches("-of-old"));
    }
    required("ip");
    required("nft");
    let directory = tempfile::tempdir().unwrap();
    for path in PATHS {
        std::fs::write(directory.path().join(format!("{path}.toml")), scenario(path)).unwrap();
    }
    let output = run([
        "rehearse".as_ref(),
        "--format=json".as_ref(),
        directory.path().as_os_str(),
    ]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let mut wrong = Vec::new();
    for path in document["paths"].as_array().unwrap() {
        let side = &path["both_ends"];
        let said: Vec<ClientResult> = serde_json::from_value(side["report"]["clients"].clone()).unwrap();
        for (name, family, _) in CLIENTS {
            let ended = &side["programs"][name];
            let works = ended["code"] == 0;
            let of_family = said.iter().find(|result| result.client == family);
            if of_family.map(|result| result.works) != Some(works) {
                wrong.push(format!(
                    "{}, {family}: the report says {of_family:?}; it {}: {}",
                    path["file"],
                    if works { "works" } else { "fails" },
                    ended["said"].as_str().unwrap_or_default()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(document["paths"].as_array().unwrap().len(), PATHS.len());
}
