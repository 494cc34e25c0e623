//! The image: how it is built without a registry, and what it promises.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::engine::{Container, docker, ended, everything, run, tell, until};

const MEGABYTE: u64 = 1_000_000;

/// The images of this run; removed when dropped.
pub(crate) struct Images {
    pub(crate) fwdrill: Image,
    pub(crate) lab: Image,
    /// Debian as the Dockerfiles expect it from a registry, and what the labs' hosts need.
    pub(crate) base: Image,
}

pub(crate) struct Image(pub(crate) String);

impl Drop for Image {
    fn drop(&mut self) {
        ended(&mut docker(&["rmi", "--force", &self.0]));
    }
}

impl Images {
    pub(crate) fn build() -> Images {
        let started = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        let name = |what: &str| Image(format!("fwdrill-test-{}-{what}", std::process::id()));
        let binary = directory.path().join("fwdrill");
        build_binary(&binary);

        let base = name("base");
        debian(directory.path(), &base.0);

        // A base for the builder that has the program already: no compiler and no crates are needed in there.
        let builder = name("builder");
        let dockerfile = format!("FROM {}\nCOPY fwdrill /usr/local/bin/fwdrill\n", base.0);
        let context = directory.path().join("builder");
        std::fs::create_dir(&context).unwrap();
        std::fs::copy(&binary, context.join("fwdrill")).unwrap();
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        build(&builder, &context, "Dockerfile", &[], &[]);

        // The classic builder would leave the first stage behind without a name to remove it by.
        let stage = name("stage");
        let fwdrill = name("fwdrill");
        let bases = [
            format!("BUILDER_BASE={}", builder.0),
            format!("RUNTIME_BASE={}", base.0),
        ];
        build(&stage, &root(), "docker/Dockerfile", &bases, &["--target=builder"]);
        build(&fwdrill, &root(), "docker/Dockerfile", &bases, &[]);
        let lab = name("lab");
        build(
            &lab,
            &root().join("docker/labs/router"),
            "Dockerfile",
            &[format!("BASE={}", base.0)],
            &[],
        );
        tell(&format!(
            "ok     the images are built ({:.1} s)",
            started.elapsed().as_secs_f64()
        ));
        Images { fwdrill, lab, base }
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The program as it is released, without what only debuggers read: as docker/build-binary makes it.
fn build_binary(to: &Path) {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args([
        "build",
        "--release",
        "--locked",
        "--message-format=json-render-diagnostics",
    ]);
    let built = run(&mut command);
    let binary = built.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "fwdrill").then(|| message["executable"].as_str().map(str::to_owned))?
    });
    run(Command::new("strip").arg("-o").arg(to).arg(binary.unwrap()));
}

/// This machine's own Debian, from the mirror that it uses itself.
fn debian(directory: &Path, name: &str) {
    let release = std::fs::read_to_string("/etc/os-release").unwrap();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap();
    let sources = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(CODENAME) $(REPO_URI)",
        "Created-By: Packages",
    ]));
    let mirror = sources
        .lines()
        .find_map(|line| line.strip_prefix(codename)?.strip_prefix(' '));
    let mirror = mirror.unwrap_or_else(|| panic!("apt has no source for {codename}: {sources}"));
    let tree = directory.join("debian");
    run(Command::new("debootstrap")
        .args(["--variant=minbase", "--include=nftables,iproute2", codename])
        .arg(&tree)
        .arg(mirror));
    let archive = directory.join("debian.tar");
    run(Command::new("tar")
        .arg("-C")
        .arg(&tree)
        .arg("-cf")
        .arg(&archive)
        .arg("."));
    run(docker(&["import"]).arg(&archive).arg(name));
}

fn build(image: &Image, context: &Path, dockerfile: &str, arguments: &[String], more: &[&str]) {
    let mut command = docker(&["build", "--force-rm", "--tag", &image.0]);
    command.arg("--file").arg(context.join(dockerfile));
    for argument in arguments {
        command.arg("--build-arg").arg(argument);
    }
    run(command.args(more).arg(context));
}

/// Under 40 MB beyond its base.
pub(crate) fn is_small(images: &Images) {
    let size = |image: &Image| -> u64 {
        run(&mut docker(&["image", "inspect", "--format", "{{.Size}}", &image.0]))
            .parse()
            .unwrap()
    };
    let beyond = size(&images.fwdrill) - size(&images.base);
    tell(&format!(
        "       beyond its base: {:.1} MB",
        beyond as f64 / MEGABYTE as f64
    ));
    assert!(beyond < 40 * MEGABYTE, "{beyond} bytes beyond the base");
}

/// As the documentation tells people to run it.
const HARDENED: &[&str] = &["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];

/// Under 2 s from `docker run` to healthy, read-only, without capabilities and without root.
pub(crate) fn is_healthy_soon(images: &Images) {
    let started = Instant::now();
    let server = Container::start(&[HARDENED, &[&images.fwdrill.0]].concat());
    let healthy = || (server.inspect("{{.State.Health.Status}}") == "healthy").then(|| started.elapsed());
    let took = until(Duration::from_secs(30), "healthy", healthy);
    tell(&format!("       healthy after {:.2} s", took.as_secs_f64()));
    assert!(took < Duration::from_secs(2), "{took:?}\n{}", server.logs());

    let status = everything(&server.exec(&["cat", "/proc/1/status"]));
    let value = |key: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_ne!(value("Uid:").split_whitespace().next(), Some("0"), "{status}");
    assert_eq!(value("CapEff:"), "0000000000000000", "{status}");
    assert_eq!(value("Name:"), "fwdrill", "{status}");
    let written = server.exec(&["touch", "/usr/written"]);
    assert!(!written.status.success(), "the root file system can be written to");
}

/// As process 1: SIGTERM ends it in order, and quickly.
pub(crate) fn stops_when_told(images: &Images) {
    let server = Container::start(&[HARDENED, &[&images.fwdrill.0]].concat());
    until(Duration::from_secs(30), "healthy", || {
        (server.inspect("{{.State.Health.Status}}") == "healthy").then_some(())
    });
    let started = Instant::now();
    run(&mut docker(&["stop", "--time=20", &server.0]));
    let took = started.elapsed();
    assert_eq!(server.inspect("{{.State.ExitCode}}"), "0", "{}", server.logs());
    assert!(took < Duration::from_secs(5), "{took:?}\n{}", server.logs());
    assert!(server.logs().contains("stopped"), "{}", server.logs());
}

/// The names that people have in compose files already, and our own.
pub(crate) fn understands_every_name(images: &Images) {
    let addresses = [
        "PASV_ADDRESS",
        "PUBLICHOST",
        "ADDRESS",
        "PUBLIC_IP",
        "FWDRILL_FTP_ADVERTISED_ADDRESS",
    ];
    for name in addresses {
        let told = announced(images, &[&format!("{name}=203.0.113.2")]);
        let reply = told.log_of_pasv;
        assert!(reply.contains("(203,0,113,2,"), "{name}: {reply}");
    }
    let ranges: [&[&str]; 4] = [
        &["PASV_MIN_PORT=30000", "PASV_MAX_PORT=30009"],
        &["MIN_PORT=30000", "MAX_PORT=30009"],
        &["FTP_PASSIVE_PORTS=30000:30009"],
        &["FWDRILL_FTP_PASSIVE_PORTS=30000-30009"],
    ];
    for names in ranges {
        let told = announced(images, names);
        assert_eq!(told.announcement["passive_ports"], "30000-30009", "{names:?}");
    }
    let users: [&[&str]; 2] = [
        &["FTP_USER=scan", "FTP_PASS=secret"],
        &["USERS=scan|secret|/home/scan|1000"],
    ];
    for names in users {
        let names = [names, &["FWDRILL_FTP_ANONYMOUS=no"]].concat();
        assert!(announced(images, &names).log_of_pasv.contains("227 "), "{names:?}");
    }
}

struct Told {
    announcement: serde_json::Value,
    log_of_pasv: String,
}

/// A server with this environment: what it announces, and what it answers to PASV.
fn announced(images: &Images, environment: &[&str]) -> Told {
    let mut arguments = HARDENED.to_vec();
    for setting in environment {
        arguments.extend(["--env", setting]);
    }
    arguments.extend([images.fwdrill.0.as_str(), "serve", "--announce"]);
    let server = Container::start(&arguments);
    let line = until(Duration::from_secs(20), "the announcement", || {
        let told = ended(&mut docker(&["logs", &server.0])).stdout;
        String::from_utf8_lossy(&told).lines().next().map(str::to_owned)
    });
    let announcement = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", server.logs()));
    let address = server.inspect("{{.NetworkSettings.IPAddress}}");
    let named = environment
        .iter()
        .any(|setting| setting.starts_with("FTP_USER") || setting.starts_with("USERS"));
    let user = if named { "scan:secret" } else { "anonymous:x" };
    // --verbose, because the reply is what is asked for; the transfer is tried where the server says it is.
    let talk = ended(
        Command::new("curl")
            .args([
                "--silent",
                "--verbose",
                "--disable-epsv",
                "--max-time",
                "10",
                "--user",
                user,
            ])
            .arg(format!("ftp://{address}:2021/manifest.json")),
    );
    Told {
        announcement,
        log_of_pasv: everything(&talk),
    }
}

/// Two names that say different things end the start, and the message has both.
pub(crate) fn refuses_conflicts(images: &Images) {
    let pairs: [&[&str]; 3] = [
        &["PASV_ADDRESS=203.0.113.2", "PUBLICHOST=203.0.113.3"],
        &[
            "FTP_PASSIVE_PORTS=30000:30009",
            "PASV_MIN_PORT=40000",
            "PASV_MAX_PORT=40009",
        ],
        &["FTP_USER=one", "FTP_PASS=1", "USERS=two|2"],
    ];
    for names in pairs {
        let mut command = docker(&["run", "--rm"]);
        for setting in names {
            command.args(["--env", setting]);
        }
        let output = ended(command.arg(&images.fwdrill.0));
        let told = everything(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for name in names {
            let (name, _) = name.split_once('=').unwrap();
            assert!(told.contains(name), "{name} is not in: {told}");
        }
    }
}
