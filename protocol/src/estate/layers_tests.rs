use super::*;
use crate::estate::{HttpTls, Tls};
use crate::flow::Expected;

fn file(text: &str) -> Result<Estate, String> {
    Layers::new()
        .file("fwdrill.toml", text)
        .resolve()
        .map_err(|mistakes| mistakes.to_string())
}

#[test]
fn a_renumbered_range_has_as_many_ports_on_either_side() {
    let estate = |listen: &str| {
        Layers::new()
            .set("ftp.passive_ports=40000-40009")
            .set(&format!("ftp.passive_listen={listen}"))
            .resolve()
    };
    assert_eq!(estate("30000-30009").unwrap().renumbering().listened(40003), 30003);
    let mistakes = estate("30000-30008").unwrap_err().to_string();
    assert!(
        mistakes.contains("expected as many ports as ftp.passive_ports has, 10 instead of 9"),
        "{mistakes}"
    );
}

#[test]
fn an_empty_file_is_the_guides_estate() {
    assert_eq!(file("").unwrap(), Estate::default());
}

#[test]
fn the_contracts_example_is_read() {
    let estate = file(
        r#"
        mode = "ftp"
        clients = 100
        [server]
        host = "update.example.net"
        bind = "0.0.0.0"
        [ftp]
        port = 2021
        passive_ports = "3023-4022"
        advertised_address = "203.0.113.2"
        advertised_for = [{ network = "10.20.0.0/24", address = "10.20.0.10" }]
        tls = "required"
        [ports]
        version = 3333
        [expect.outside]
        console = "closed"
        "#,
    )
    .unwrap();
    assert_eq!(estate.ftp.advertised_for[0].network.to_string(), "10.20.0.0/24");
    assert_eq!(estate.ftp.tls, Tls::Required);
    assert_eq!(estate.expected("outside", Flow::Console), Expected::Closed);
    assert_eq!(estate.expected("inside", Flow::Console), Expected::Open);
}

#[test]
fn the_estate_written_out_reads_back_the_same() {
    let estate = file("mode = \"http\"\n[ftp]\nenabled = false\nadvertised_address = \"ftp.example.net\"\n[expect.inside]\nself_events = \"any\"").unwrap();
    assert_eq!(file(&toml::to_string(&estate).unwrap()).unwrap(), estate);
}

#[test]
fn later_layers_win() {
    let estate = Layers::new()
        .eserv_ini(
            "eserv.ini",
            b"[General]\nAddPassivePort=1\nStartingPassivePort=1000\nNoofPassivePorts=10\nSer_Pasv_IPAddr=192.0.2.1",
        )
        .file("fwdrill.toml", "[ftp]\npassive_ports = \"2000-2009\"\nport = 21")
        .environment([("FWDRILL_FTP_PORT".to_owned(), "22".to_owned())])
        .set("ftp.port = 23")
        .resolve()
        .unwrap();
    assert_eq!(estate.ftp.passive_ports.to_string(), "2000-2009");
    assert_eq!(estate.ftp.advertised_address.unwrap().to_string(), "192.0.2.1");
    assert_eq!(estate.ftp.port, 23);
}

#[test]
fn every_boolean_can_be_set_both_ways_by_a_flag() {
    let both = |value: &str| {
        Layers::new()
            .file("f", "[ftp]\nanonymous = false")
            .set(&format!("ftp.anonymous={value}"))
            .resolve()
            .unwrap()
    };
    assert!(both("true").ftp.anonymous && both("on").ftp.anonymous);
    assert!(!both("false").ftp.anonymous && !both("off").ftp.anonymous);
}

#[test]
fn all_mistakes_of_all_layers_come_at_once() {
    let error = Layers::new()
        .eserv_ini("eserv.ini", b"[General]\nSer_Pasv_IPAddr=192.x.x.x")
        .file("fwdrill.toml", "colour = 1\n[ftp]\nport = 70000\npasive_ports = \"1-2\"\npassive_ports = \"4022-3023\"\nusers = [{ name = \"a\", pasword = \"hush\" }]\n[expect.outside]\nconsle = \"open\"\nconsole = \"ajar\"")
        .set("clients=0")
        .set("mode")
        .resolve()
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"
    10 mistakes in the configuration
      - eserv.ini: [General] Ser_Pasv_IPAddr = 192.x.x.x: expected the public IPv4 address of the server, such as 203.0.113.2
      - --set: mode: expected section.key=value
      - fwdrill.toml: colour: unknown key
      - fwdrill.toml: expect.outside.consle: unknown key `outside.consle` under expect: expected a vantage and one of ftp_control, ftp_passive, version, http, agent, events, system, self_events, console, tasks
      - fwdrill.toml: expect.outside.console = "ajar": expected "open", "closed" or "any"
      - fwdrill.toml: ftp.pasive_ports: unknown key, did you mean `ftp.passive_ports`?
      - fwdrill.toml: ftp.passive_ports = "4022-3023": the range 4022-3023 is reversed, write 3023-4022; expected ranges such as "3023-3332,3334-4022"
      - fwdrill.toml: ftp.port = 70000: expected a port, 1-65535 (0: any free port)
      - fwdrill.toml: ftp.users = (not shown): unknown field `pasword`, expected `name` or `password`; expected a list such as [{ name = "scan", password = "..." }], without "anonymous" and "drill"
      - --set: clients = "0": expected a number of clients, 1 or more
    "#);
}

#[test]
fn broken_toml_names_its_line() {
    assert!(
        file("mode = \"ftp\"\n[ftp\n")
            .unwrap_err()
            .starts_with("fwdrill.toml: line 2: not TOML:")
    );
}

#[test]
fn contradictions_of_the_whole_are_found() {
    insta::assert_snapshot!(file("[ports]\nhttp = 3333\n[ftp]\npassive_ports = \"2222\"\nenabled = false").unwrap_err(), @r#"
    3 mistakes in the configuration
      - estate: ports.http = 3333: expected a port of its own, but ports.version has it
      - estate: ftp.passive_ports = 2222: expected at least one port that no other listener owns
      - estate: ftp.enabled = false: expected mode = "http", or clients have nothing to download over
    "#);
}

#[test]
fn ports_left_to_the_kernel_do_not_collide() {
    assert!(file("[ports]\nhttp = 0\nversion = 0").is_ok());
}

#[test]
fn a_password_never_stands_in_a_mistake() {
    let error = file("[[ftp.users]]\nname = \"scan\"\npassword = 20211234").unwrap_err();
    assert!(!error.contains("20211234"), "{error}");
}

#[test]
fn every_limit_of_ftp_and_of_the_drop_box_is_a_key() {
    let estate = file(
        "[ftp]\nactive = true\n[ftp.limits]\nsessions = 7\nline_bytes = 512\nidle_seconds = 0.5\nlogin_failures = 3\n\
         [dropbox]\nfile_bytes = 1000\nclients = 2\n",
    )
    .unwrap();
    assert!(estate.ftp.active);
    let limits = estate.ftp.limits;
    assert_eq!((limits.sessions, limits.line_bytes, limits.login_failures), (7, 512, 3));
    assert_eq!(limits.idle, std::time::Duration::from_millis(500));
    assert_eq!((estate.dropbox.file_bytes, estate.dropbox.clients), (1000, 2));
}

#[test]
fn a_limit_that_is_none_is_a_mistake() {
    let mistakes = file(
        "[ftp.limits]\nsessions = 0\nline_bytes = 100\nidle_seconds = 0\nstall_seconds = \"nan\"\nlogin_seconds = 1e9\n\
         [dropbox]\nclient_bytes = -1\n",
    )
    .unwrap_err();
    for key in [
        "sessions",
        "line_bytes",
        "idle_seconds",
        "stall_seconds",
        "login_seconds",
        "client_bytes",
    ] {
        assert!(mistakes.contains(key), "{key} is missing: {mistakes}");
    }
}

#[test]
fn https_has_its_keys_and_the_certificate_is_shared_with_ftps() {
    assert_eq!(Estate::default().http.tls, HttpTls::Off);
    let pin = "AB:CD".to_owned() + &":00".repeat(30);
    let text =
        format!("[http]\ntls = \"required\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\nfingerprint = \"{pin}\"");
    let estate = file(&text).unwrap();
    assert_eq!(estate.http.tls, HttpTls::Required);
    assert_eq!(estate.tls.certificate.as_deref(), Some("c.pem".as_ref()));
    assert!(estate.tls.fingerprint.unwrap().to_string().starts_with("abcd0000"));
    assert_eq!(file(&toml::to_string(&estate).unwrap()).unwrap(), estate);
    let environment = [("FWDRILL_HTTP_TLS".to_owned(), "required".to_owned())];
    let estate = Layers::new().environment(environment).resolve().unwrap();
    assert_eq!(estate.http.tls, HttpTls::Required);
}

#[test]
fn mistakes_about_tls_are_told_with_what_was_expected() {
    let told = file("[http]\ntls = \"optional\"\n[tls]\nfingerprint = \"abcd\"\ncertificat = \"c.pem\"").unwrap_err();
    for word in [
        "3 mistakes",
        "\"off\" or \"required\"",
        "64 hexadecimal",
        "did you mean `tls.certificate`?",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    for (key, other) in [("certificate", "key"), ("key", "certificate")] {
        let told = file(&format!("[tls]\n{key} = \"x.pem\"")).unwrap_err();
        assert!(told.contains(&format!("expected tls.{other} beside it")), "{told}");
    }
}
