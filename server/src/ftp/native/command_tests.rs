use proptest::prelude::*;

use super::*;

fn parsed(line: &str) -> Command {
    line.parse().unwrap_or_else(|reply| panic!("{line}: {reply:?}"))
}

fn code(line: &str) -> u16 {
    line.parse::<Command>().map_or_else(|reply| reply.code(), |_| 0)
}

#[test]
fn verbs_are_read_in_any_case_and_arguments_kept_as_they_are() {
    assert!(parsed("retr a  b ") == Command::Retr("a  b ".to_owned()));
    assert!(parsed("uSeR drill") == Command::User("drill".to_owned()));
    assert!(parsed("PASS  two words ") == Command::Pass(" two words ".to_owned()));
    assert!(parsed("PASS") == Command::Pass(String::new()));
    assert!(parsed("xpwd") == Command::Pwd);
    assert!(parsed("type l 8") == Command::Type(Type::Image));
    assert!(parsed("TYPE A N") == Command::Type(Type::Ascii));
    assert!(parsed("EPSV all") == Command::Epsv(Epsv::All));
    assert!(parsed("EPSV 2") == Command::Epsv(Epsv::Protocol(2)));
    assert!(parsed("opts utf8 on") == Command::OptsUtf8);
}

#[test]
fn the_switches_of_ls_are_not_taken_for_a_path() {
    assert!(parsed("LIST -la") == Command::List(String::new()));
    assert!(parsed("LIST -l -a /signatures") == Command::List("/signatures".to_owned()));
    assert!(parsed("NLST a-b") == Command::Nlst("a-b".to_owned()));
}

#[test]
fn what_is_wrong_is_told_apart() {
    for line in ["", "FOO", "RETRIEVE x", " NOOP", "GET / HTTP/1.1"] {
        assert_eq!(code(line), 500, "{line}");
    }
    for line in ["STOU", "SMNT /", "ACCT x"] {
        assert_eq!(code(line), 502, "{line}");
    }
    for line in [
        "RETR",
        "CWD  ",
        "REST x",
        "REST -1",
        "TYPE X",
        "MODE SS",
        "OPTS FOO",
        "SITE DRILL 12",
        "EPSV x",
        "PBSZ x",
    ] {
        assert_eq!(code(line), 501, "{line}");
    }
    for line in ["TYPE E", "TYPE L 7", "TYPE A C", "SITE CHMOD 777 x"] {
        assert_eq!(code(line), 504, "{line}");
    }
}

#[test]
fn a_password_is_never_logged() {
    assert_eq!(loggable("pass s3cret"), "PASS ****");
    assert_eq!(loggable("RETR a\0b"), "RETR a\\0b");
}

proptest! {
    #[test]
    fn whatever_is_said_is_understood_or_answered_by_a_permanent_error(line in "\\PC{0,60}|[A-Za-z]{3,4} ?\\PC{0,60}") {
        if let Err(reply) = line.parse::<Command>() {
            prop_assert!((500..=504).contains(&reply.code()));
            prop_assert!(reply.to_string().lines().count() == 1);
        }
    }
}
