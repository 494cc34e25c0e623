//! A probe of servers that are none of ours: real FTP servers, and ports on which something else answers, or nobody.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "real_clients/loopback.rs"]
mod loopback;
mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fwdrill_protocol::finding::{Confidence, FindingId, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::{FlowResult, Outcome, Report, Seen, State, Verdict};
use loopback::own_address;
use support::{fwdrill, required, stderr};

/// What no foreign FTP server has, as settings that say that nobody minds.
const ONLY_FTP: &[&str] = &[
    "--set=expect.outside.version=any",
    "--set=expect.outside.agent=any",
    "--set=expect.outside.events=any",
    "--set=expect.outside.console=any",
];

/// The report, by way of a file, and the exit code.
fn probe(host: Ipv4Addr, more: &[&str]) -> (Option<i32>, Report) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let mut command = fwdrill();
    command
        .args(["probe", &host.to_string(), "--format=json", "--out"])
        .arg(&file)
        .args(more);
    let output = command.output().unwrap();
    let told = stderr(&output);
    assert!(!told.contains("panicked"), "{told}");
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("no report ({error}): {told}"));
    (output.status.code(), serde_json::from_slice(&text).unwrap())
}

fn flow(report: &Report, flow: Flow) -> &FlowResult {
    report.flows.iter().find(|result| result.flow == flow).unwrap()
}

/// Killed when dropped.
struct Running(Child);

impl Running {
    /// Starts a server, and waits until it greets.
    fn start(mut command: Command, at: SocketAddr) -> Running {
        let mut running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        loop {
            if let Ok(mut stream) = TcpStream::connect(at) {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut code = [0; 3];
                stream.read_exact(&mut code).unwrap();
                assert_eq!(&code, b"220");
                return running;
            }
            if let Some(status) = running.0.try_wait().unwrap() {
                panic!("the server ended: {status}");
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "nothing listens on {at}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory with one file; an anonymous root that vsftpd accepts is not writable.
fn anonymous_root(place: &Path) -> std::path::PathBuf {
    let root = place.join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("readme"), "not an update server\n").unwrap();
    std::fs::set_permissions(&root, PermissionsExt::from_mode(0o555)).unwrap();
    root
}

/// On the guide's port and range. As root or not: it neither changes its user nor its root.
fn vsftpd(host: Ipv4Addr, place: &Path) -> Running {
    let config = place.join("vsftpd.conf");
    let root = anonymous_root(place);
    let lines = [
        "listen=YES".to_owned(),
        "background=NO".to_owned(),
        format!("listen_address={host}"),
        "listen_port=2021".to_owned(),
        "pasv_min_port=3023".to_owned(),
        "pasv_max_port=4022".to_owned(),
        "anonymous_enable=YES".to_owned(),
        "local_enable=NO".to_owned(),
        format!("anon_root={}", root.display()),
        format!("secure_chroot_dir={}", root.display()),
        "run_as_launching_user=YES".to_owned(),
        "one_process_model=YES".to_owned(),
        "seccomp_sandbox=NO".to_owned(),
        "xferlog_enable=NO".to_owned(),
    ];
    std::fs::write(&config, lines.join("\n") + "\n").unwrap();
    // Debian keeps it where an ordinary user's PATH does not lead.
    let program = if Path::new("/usr/sbin/vsftpd").is_file() {
        "/usr/sbin/vsftpd"
    } else {
        required("vsftpd")
    };
    let mut command = Command::new(program);
    command.arg(config);
    Running::start(command, (host, 2021).into())
}

fn pyftpdlib(host: Ipv4Addr, place: &Path) -> Running {
    // Debian's own Python: the package installs for no other.
    let python = "/usr/bin/python3";
    let there = Command::new(python).args(["-c", "import pyftpdlib"]).status();
    let there = there.is_ok_and(|status| status.success());
    assert!(
        there,
        "python3-pyftpdlib is not installed: run scripts/install-test-packages"
    );
    let mut command = Command::new(python);
    command.args([
        "-W",
        "ignore",
        "-m",
        "pyftpdlib",
        "-i",
        &host.to_string(),
        "-p",
        "2021",
        "-r",
        "3023-4022",
        "-d",
    ]);
    command.arg(anonymous_root(place)).stderr(Stdio::null());
    Running::start(command, (host, 2021).into())
}

/// FTP works, in both modes; what is missing is one finding that says what it cannot exclude.
fn is_a_plain_ftp_server(host: Ipv4Addr, more: &[&str]) {
    let (code, report) = probe(host, more);
    assert_eq!(
        (code, report.verdict, report.both_ends),
        (Some(1), Verdict::Fail, false)
    );
    assert!(report.flows.iter().all(|result| result.seen_by_server == Seen::Unknown));
    serves_ftp(&report);

    let [finding] = report.findings.as_slice() else {
        panic!("{:#?}", report.findings)
    };
    assert_eq!(
        (finding.id, finding.severity),
        (FindingId::ServerNotListening, Severity::Error)
    );
    assert_ne!(finding.confidence, Confidence::Certain);
    assert!(
        finding.alternatives.contains(&FindingId::ServerHostBlocked),
        "{finding:#?}"
    );
    for missing in ["3333", "2222", "2225", "10443"] {
        assert!(finding.summary.contains(missing), "{}", finding.summary);
    }
    assert!(!finding.summary.contains("2021"), "{}", finding.summary);
    for missing in [Flow::Version, Flow::Agent, Flow::Events, Flow::Console] {
        let result = flow(&report, missing);
        assert_eq!(
            (result.state, result.verdict),
            (State::Closed, Verdict::Fail),
            "{missing}"
        );
    }
    // Closed is what is expected of them.
    for private in [Flow::System, Flow::SelfEvents] {
        assert_eq!(flow(&report, private).verdict, Verdict::Pass, "{private}");
    }
}

fn serves_ftp(report: &Report) {
    let control = flow(report, Flow::FtpControl);
    assert_eq!(
        (control.state, control.outcome, control.verdict),
        (State::Open, Outcome::Open, Verdict::Pass)
    );
    assert_eq!(control.detail.as_deref(), Some("logged in as anonymous"));
    let passive = flow(report, Flow::FtpPassive);
    assert_eq!((passive.state, passive.verdict), (State::Open, Verdict::Pass));
    assert_eq!(passive.detail.as_deref(), Some("EPSV works, PASV works"));
    // Ports on which nobody happens to listen are no blocked ports.
    let range = report.passive_range.as_ref().unwrap();
    assert!(range.blocked.is_empty() && !range.open.is_empty(), "{range:?}");
}

fn has_all_that_is_expected(host: Ipv4Addr, more: &[&str]) {
    let (code, report) = probe(host, &[ONLY_FTP, more].concat());
    assert_eq!((code, report.verdict), (Some(0), Verdict::Pass), "{report:#?}");
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    serves_ftp(&report);
}

#[test]
fn a_plain_vsftpd_serves_ftp_and_the_missing_flows_are_named() {
    let (place, host) = (tempfile::tempdir().unwrap(), own_address(251));
    let _server = vsftpd(host, place.path());
    is_a_plain_ftp_server(host, &[]);
    has_all_that_is_expected(host, &["--full-range"]);
}

/// It holds a refused login back for three seconds, as long as the probe waits for any reply; who names a user does not
/// meet that.
#[test]
fn a_plain_pyftpdlib_serves_ftp_and_the_missing_flows_are_named() {
    let (place, host) = (tempfile::tempdir().unwrap(), own_address(252));
    let _server = pyftpdlib(host, place.path());
    is_a_plain_ftp_server(host, &[]);
    has_all_that_is_expected(host, &["--full-range", "--user=anonymous", "--password=x"]);
}

/// What is done with a connection.
type Answer = fn(TcpStream);

/// Something that answers on a port, each connection in a thread of its own, until the test's process ends.
fn answers(host: Ipv4Addr, answer: Answer) {
    let listener = TcpListener::bind((host, 2021)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
}

/// Keeps the connection until the other end has gone.
fn hold(mut stream: TcpStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn say(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// The control flow of a server of which no FTP session is to be had, and the report. Everything else is fine or `any`.
fn no_session(host: Ipv4Addr) -> (FlowResult, Report) {
    let begun = Instant::now();
    let (code, report) = probe(host, &[ONLY_FTP, &["--timeout=0.5"]].concat());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(
        (code, report.verdict, report.both_ends),
        (Some(1), Verdict::Fail, false)
    );
    let control = flow(&report, Flow::FtpControl).clone();
    assert_eq!(
        (control.state, control.verdict),
        (State::Open, Verdict::Fail),
        "{control:?}"
    );
    // Nothing is said about ports that could not be tried.
    assert_eq!(flow(&report, Flow::FtpPassive).verdict, Verdict::Inconclusive);
    let range = report.passive_range.as_ref().unwrap();
    assert!(range.open.is_empty() && range.blocked.is_empty(), "{range:?}");
    (control, report)
}

fn words(control: &FlowResult) -> &str {
    control.detail.as_deref().unwrap_or_default()
}

#[test]
fn what_speaks_another_protocol_on_2021_is_quoted_and_blames_the_forward_with_its_alternatives() {
    let speaks: [(u8, Answer, &str); 3] = [
        (
            201,
            |stream| {
                say(&stream, b"SSH-2.0-x\r\n");
                hold(stream)
            },
            "SSH-2.0-x",
        ),
        (
            202,
            |stream| say(&stream, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "HTTP/1.1 400",
        ),
        (
            203,
            |stream| {
                while (&stream).write_all(&[0xff; 10_000]).is_ok() {}
            },
            "does not speak FTP",
        ),
    ];
    for (last, answer, quoted) in speaks {
        let host = own_address(last);
        answers(host, answer);
        let (control, report) = no_session(host);
        assert!(words(&control).contains(quoted), "{control:?}");
        let [finding] = report.findings.as_slice() else {
            panic!("{:#?}", report.findings)
        };
        assert_eq!(
            (finding.id, finding.flow),
            (FindingId::ForwardWrongHost, Flow::FtpControl)
        );
        assert_eq!(finding.confidence, Confidence::Possible);
        assert!(
            finding.alternatives.contains(&FindingId::ServerNotListening),
            "{finding:#?}"
        );
        assert!(
            finding.evidence.iter().any(|line| line.contains(quoted)),
            "{finding:#?}"
        );
    }
}

/// None of these is certain to be anything; the report says what was seen, and when.
#[test]
fn a_server_that_is_silent_or_hangs_up_is_told_from_one_that_refuses() {
    let does: [(u8, Answer, Outcome, &str); 7] = [
        (211, hold, Outcome::Silent, "waiting for the greeting"),
        (
            212,
            drop,
            Outcome::Reset,
            "waiting for the greeting: the other end closed the connection",
        ),
        (
            213,
            |stream| {
                say(&stream, b"220-");
                hold(stream)
            },
            Outcome::Silent,
            "waiting for the greeting",
        ),
        (
            214,
            |stream| {
                say(&stream, b"220 hi\r\n");
                hold(stream)
            },
            Outcome::Silent,
            "the reply to USER drill",
        ),
        (
            215,
            |stream| {
                say(&stream, b"220 hi\r\n");
                let _ = (&stream).read(&mut [0; 100]);
            },
            Outcome::Reset,
            "USER drill",
        ),
        (
            216,
            |stream| say(&stream, b"421 too many connections\r\n"),
            Outcome::Open,
            "421 too many connections",
        ),
        (
            217,
            |stream| {
                say(&stream, b"220 hi\r\n");
                while (&stream).read(&mut [0; 100]).is_ok_and(|read| read > 0) {
                    say(&stream, b"530 not you\r\n");
                }
            },
            Outcome::Open,
            "530 not you",
        ),
    ];
    for (last, answer, outcome, said) in does {
        let host = own_address(last);
        answers(host, answer);
        let (control, report) = no_session(host);
        assert_eq!(control.outcome, outcome, "{control:?}");
        assert!(words(&control).contains(said), "{control:?}");
        // From this end alone nothing of it is sure; what names a cause says what else it may be.
        for finding in &report.findings {
            if finding.id != FindingId::ServerConnectionLimit {
                // A 421 is a server's own word; silence is anybody's.
                assert_eq!(finding.confidence, Confidence::Possible, "{finding:#?}");
                assert!(!finding.alternatives.is_empty(), "{finding:#?}");
            }
            let ids = [
                FindingId::ServerHung,
                FindingId::ProxyBackendDown,
                FindingId::ServerConnectionLimit,
            ];
            assert!(ids.contains(&finding.id), "{finding:#?}");
        }
    }
}
