//! Who may log in.

use std::fmt;

use fwdrill_protocol::drill::{DRILL_USER, DrillId};
use fwdrill_protocol::estate::Ftp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The names that need no password (RFC 1635 section 2; `ftp` by long custom).
const ANONYMOUS: [&str; 2] = ["anonymous", "ftp"];

/// The users of the estate.
pub struct Access {
    anonymous: bool,
    users: Vec<User>,
}

/// Digests are all of one length, so comparing them tells nothing about the lengths of what they stand for.
struct User {
    name: String,
    name_digest: [u8; 32],
    password_digest: [u8; 32],
}

/// Somebody who has logged in.
#[derive(Clone, PartialEq, Eq)]
pub enum Visitor {
    /// Anybody.
    Anonymous,
    /// A drill: the session belongs to it.
    Drill(DrillId),
    /// A configured user.
    User(String),
}

impl Access {
    /// Reads the estate.
    pub fn new(ftp: &Ftp) -> Self {
        let user = |user: &fwdrill_protocol::estate::User| User {
            name: user.name.clone(),
            name_digest: digest(&user.name),
            password_digest: digest(&user.password),
        };
        Access {
            anonymous: ftp.anonymous,
            users: ftp.users.iter().map(user).collect(),
        }
    }

    /// Who this is; `None` for whoever may not come in, with nothing said about why. An unknown user costs exactly the
    /// time of a wrong password.
    pub fn admit(&self, name: &str, password: &str) -> Option<Visitor> {
        if ANONYMOUS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return self.anonymous.then_some(Visitor::Anonymous);
        }
        if name == DRILL_USER {
            return password.parse().ok().map(Visitor::Drill);
        }
        let (name, password) = (digest(name), digest(password));
        let (mut known, mut index) = (Choice::from(0), 0_u64);
        for (at, user) in self.users.iter().enumerate() {
            let is_this = user.name_digest.ct_eq(&name) & user.password_digest.ct_eq(&password);
            known |= is_this;
            index.conditional_assign(&(at as u64), is_this);
        }
        let user = self.users.get(usize::try_from(index).ok()?)?;
        bool::from(known).then(|| Visitor::User(user.name.clone()))
    }
}

impl Visitor {
    /// The drill that the login named.
    pub fn drill(&self) -> Option<DrillId> {
        match self {
            Visitor::Drill(drill) => Some(*drill),
            Visitor::Anonymous | Visitor::User(_) => None,
        }
    }

    /// The login name.
    pub fn name(&self) -> &str {
        match self {
            Visitor::Anonymous => "anonymous",
            Visitor::Drill(_) => DRILL_USER,
            Visitor::User(name) => name,
        }
    }
}

/// The login name.
impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The login name: a drill's id is its password.
impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Visitor").field(&self.name()).finish()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.users.iter().map(|user| user.name.as_str()).collect();
        f.debug_struct("Access")
            .field("anonymous", &self.anonymous)
            .field("users", &names)
            .finish()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::estate::{Estate, User};

    use super::*;

    fn access(anonymous: bool) -> Access {
        let mut ftp = Estate::default().ftp;
        ftp.anonymous = anonymous;
        ftp.users = [("scan", "s3cret"), ("agent", "other"), ("empty", "")]
            .map(|(name, password)| User {
                name: name.to_owned(),
                password: password.to_owned(),
            })
            .into();
        Access::new(&ftp)
    }

    #[test]
    fn anonymous_and_ftp_need_no_password_if_the_estate_lets_them_in() {
        for name in ["anonymous", "ftp", "FTP", "Anonymous"] {
            assert_eq!(access(true).admit(name, ""), Some(Visitor::Anonymous));
            assert_eq!(access(true).admit(name, "me@example.net"), Some(Visitor::Anonymous));
            assert_eq!(access(false).admit(name, "me@example.net"), None);
        }
    }

    #[test]
    fn the_password_of_a_drill_is_its_id() {
        let drill = DrillId::random();
        let visitor = access(false).admit("drill", &drill.to_string()).unwrap();
        assert_eq!(visitor.drill(), Some(drill));
        assert_eq!(format!("{visitor} {visitor:?}"), r#"drill Visitor("drill")"#);
        assert_eq!(access(true).admit("drill", "not an id"), None);
        assert_eq!(access(true).admit("drill", ""), None);
    }

    #[test]
    fn a_user_needs_the_right_password_whatever_the_place_in_the_list() {
        for (name, password) in [("scan", "s3cret"), ("agent", "other"), ("empty", "")] {
            assert_eq!(access(true).admit(name, password), Some(Visitor::User(name.to_owned())));
        }
        for (name, password) in [
            ("scan", "other"),
            ("scan", ""),
            ("Scan", "s3cret"),
            ("nobody", "s3cret"),
            ("", ""),
        ] {
            assert_eq!(access(true).admit(name, password), None, "{name}");
        }
    }

    #[test]
    fn nobody_is_let_in_where_there_are_no_users() {
        let mut ftp = Estate::default().ftp;
        ftp.anonymous = false;
        assert_eq!(Access::new(&ftp).admit("scan", "s3cret"), None);
    }

    #[test]
    fn no_password_is_ever_shown() {
        assert!(!format!("{:?}", access(true)).contains("s3cret"));
    }
}
