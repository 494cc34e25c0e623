//! Which clients would work on this path, and why: real clients hide faults, each in its own way.
//!
//! Pure: from the same observations as the diagnosis. A family of which the observations do not tell is left out.

mod families;

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::estate::{Estate, Tls};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::{ClientResult, Outcome};

use crate::diagnosis::is_private;
use crate::observation::{Attempt, FtpTalk, Observations, PassiveCommand, PassiveTalk};
use families::{Address, After, FAMILIES, Family, Mode};

/// What each family of FTP clients would meet. `blocked`: the ports of the passive range that let nothing through.
pub fn results(estate: &Estate, seen: &Observations, blocked: &PortSet) -> Vec<ClientResult> {
    let Some(dialled) = seen.resolution.addresses.first().copied() else {
        return Vec::new();
    };
    if !estate.ftp.enabled {
        return Vec::new();
    }
    let path = Path {
        estate,
        seen,
        blocked,
        dialled,
    };
    let result = |family: &Family| {
        let met = path.meets(family)?;
        Some(ClientResult {
            client: family.name.to_owned(),
            works: met.works,
            why: met.why,
        })
    };
    FAMILIES.iter().filter_map(result).collect()
}

struct Path<'a> {
    estate: &'a Estate,
    seen: &'a Observations,
    blocked: &'a PortSet,
    dialled: IpAddr,
}

/// What becomes of a client, or of one thing that it tries.
struct Met {
    works: bool,
    why: String,
    /// Whether it was the server's reply that ended it.
    refused: bool,
}

impl Met {
    fn works(why: impl Into<String>) -> Option<Met> {
        Some(Met {
            works: true,
            why: why.into(),
            refused: false,
        })
    }

    fn fails(why: impl Into<String>) -> Option<Met> {
        Some(Met {
            works: false,
            why: why.into(),
            refused: false,
        })
    }

    fn refused(why: impl Into<String>) -> Option<Met> {
        Some(Met {
            works: false,
            why: why.into(),
            refused: true,
        })
    }
}

impl Path<'_> {
    /// `None` where the observations do not tell.
    fn meets(&self, family: &Family) -> Option<Met> {
        let talk = match self.control()? {
            Ok(talk) => talk,
            Err(why) => return Met::fails(why),
        };
        if self.estate.ftp.tls == Tls::Required && !family.tls {
            return Met::fails("the server requires TLS, which it does not speak");
        }
        let over_ipv6 = [families::Step {
            mode: Mode::Epsv,
            after: After::Failure,
        }];
        let steps = if self.dialled.is_ipv6() {
            &over_ipv6
        } else {
            family.steps
        };
        let mut tried: Vec<Met> = Vec::new();
        for step in steps {
            match tried.last() {
                Some(last) if step.after == After::Refusal && !last.refused => continue,
                _ => {}
            }
            let met = self.tries(step.mode, talk)?;
            let works = met.works;
            tried.push(met);
            if works {
                break;
            }
        }
        let works = tried.last()?.works;
        let why: Vec<String> = tried.into_iter().map(|met| met.why).collect();
        let why = why.join("; ");
        if works && !self.blocked.is_empty() {
            return Met::fails(format!(
                "only while the server chooses a port that is let through: {} are not",
                self.blocked
            ));
        }
        Some(Met {
            works,
            why,
            refused: false,
        })
    }

    /// The session that every client needs first: the dialogue, or why there is none.
    fn control(&self) -> Option<Result<&FtpTalk, String>> {
        let attempt = self.seen.attempts.get(&Flow::FtpControl)?;
        if !attempt.stood() {
            let known = attempt.outcome != Outcome::CheckFailed;
            return known.then(|| Err(format!("no control connection: {}", ended(attempt))));
        }
        let talk = self.seen.ftp.as_ref()?;
        if talk.logged_in_as.is_some() {
            return Some(Ok(talk));
        }
        let trouble = talk.trouble.as_ref()?;
        Some(Err(format!("no session: {}: {}", trouble.during, trouble.text)))
    }

    fn tries(&self, mode: Mode, talk: &FtpTalk) -> Option<Met> {
        let of = |command| talk.passive.iter().find(|passive| passive.command == command);
        match mode {
            Mode::Epsv => self.passive(of(PassiveCommand::Epsv)?, Address::Told),
            Mode::Pasv(address) => self.passive(of(PassiveCommand::Pasv)?, address),
            Mode::StrictPasv => {
                let pasv = of(PassiveCommand::Pasv)?;
                let text = pasv.reply.as_ref().map(|reply| reply.text());
                if text.is_some_and(|text| !text.contains('(')) && pasv.told.is_some() {
                    return Met::fails("the 227 has no parentheses");
                }
                self.passive(pasv, Address::Told)
            }
            Mode::Active if self.estate.ftp.active => None,
            Mode::Active => Met::fails("active mode is not offered"),
        }
    }

    fn passive(&self, passive: &PassiveTalk, rule: Address) -> Option<Met> {
        let command = passive.command.name();
        let Some(told) = passive.told else {
            return match (&passive.reply, &passive.trouble) {
                (Some(reply), _) if reply.code >= 400 => {
                    Met::refused(format!("{command} is answered by {}", reply.code))
                }
                (_, Some(trouble)) => Met::fails(format!("{command} fails: {}", trouble.text)),
                _ => None,
            };
        };
        let dials = match rule {
            Address::Told => told.ip(),
            Address::Controls => self.dialled,
            Address::ControlsIfPrivate if is_private(told.ip()) && !is_private(self.dialled) => self.dialled,
            Address::ControlsIfPrivate => told.ip(),
        };
        if dials == told.ip() {
            return self.as_told(passive, told);
        }
        let instead = format!("it dials {dials} instead of {} in the 227", told.ip());
        let there = passive.at_control_address.as_ref()?;
        match there.outcome {
            Outcome::CheckFailed => None,
            Outcome::Open => Met::works(format!("{command} works, for {instead}")),
            _ => Met::fails(format!("{command} fails, although {instead}: {}", ended(there))),
        }
    }

    fn as_told(&self, passive: &PassiveTalk, told: SocketAddr) -> Option<Met> {
        let command = passive.command.name();
        let data = passive.data.as_ref()?;
        if data.outcome == Outcome::CheckFailed {
            return None;
        }
        let own = if told.ip() == self.dialled { "" } else { " in the 227" };
        if !data.stood() {
            return Met::fails(format!("{command} fails: {}{own}", ended(data)));
        }
        if passive.worked() {
            return Met::works(format!("{command} works"));
        }
        let trouble = passive.trouble.as_ref()?;
        if trouble.outcome == Outcome::CheckFailed {
            return None;
        }
        Met::fails(format!("{command}: the data connection stands, but {}", trouble.text))
    }
}

fn ended(attempt: &Attempt) -> String {
    let how = match attempt.outcome {
        Outcome::Timeout => "does not answer",
        Outcome::Refused => "refuses",
        Outcome::Unreachable => "is unreachable",
        _ => attempt.outcome.name(),
    };
    format!("TCP {} at {} {how}", attempt.to.port(), attempt.to.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::testing::{at, attempt, blocked_range, healthy};
    use fwdrill_protocol::ftp_reply::Reply;

    fn results_of(seen: &Observations) -> Vec<ClientResult> {
        results(&Estate::default(), seen, &PortSet::default())
    }

    /// The families that work, and those that do not.
    fn split(results: &[ClientResult]) -> (Vec<&str>, Vec<&str>) {
        let (works, fails): (Vec<_>, Vec<_>) = results.iter().partition(|result| result.works);
        (
            works.into_iter().map(client).collect(),
            fails.into_iter().map(client).collect(),
        )
    }

    fn client(result: &ClientResult) -> &'static str {
        FAMILIES
            .iter()
            .find(|family| family.name == result.client)
            .unwrap()
            .name
    }

    fn advertised(address: &str, there: Outcome, at_control: Outcome) -> Observations {
        let mut seen = healthy();
        let pasv = &mut seen.ftp.as_mut().unwrap().passive[1];
        let told = SocketAddr::new(address.parse().unwrap(), 3101);
        let SocketAddr::V4(v4) = told else { unreachable!() };
        pasv.reply = Some(Reply::passive(v4));
        pasv.told = Some(told);
        pasv.data = Some(attempt(told, there));
        pasv.at_control_address = Some(attempt(at(3101), at_control));
        pasv.transfer = None;
        seen
    }

    #[test]
    fn on_a_healthy_path_every_client_works() {
        let results = results_of(&healthy());
        assert_eq!(results.len(), FAMILIES.len());
        assert_eq!(split(&results).1, Vec::<&str>::new());
    }

    #[test]
    fn behind_a_closed_range_none_does_and_the_port_is_named() {
        let results = results_of(&blocked_range());
        assert_eq!(split(&results).0, Vec::<&str>::new());
        assert!(
            results[0].why.contains("TCP 3100") && results[0].why.contains("TCP 3101"),
            "{results:#?}"
        );
    }

    #[test]
    fn a_private_address_in_the_227_stops_those_that_dial_it() {
        let seen = advertised("10.20.0.10", Outcome::Timeout, Outcome::Open);
        let results = results_of(&seen);
        assert_eq!(
            split(&results).1,
            [
                "wget",
                "curl --disable-epsv --no-ftp-skip-pasv-ip",
                "WinINET and others that take the 227 literally"
            ]
        );
    }

    #[test]
    fn a_wrong_public_address_stops_also_those_that_replace_private_ones_only() {
        let seen = advertised("198.51.100.77", Outcome::Timeout, Outcome::Open);
        let results = results_of(&seen);
        let (_, fails) = split(&results);
        assert!(fails.contains(&"lftp") && fails.contains(&"FileZilla") && !fails.contains(&"Python ftplib"));
    }

    #[test]
    fn what_was_not_seen_is_left_out() {
        let mut seen = advertised("10.20.0.10", Outcome::Timeout, Outcome::Open);
        seen.ftp.as_mut().unwrap().passive[1].at_control_address = None;
        let results = results_of(&seen);
        assert!(results.iter().all(|result| result.client != "Python ftplib"));
        seen.ftp = None;
        assert_eq!(results_of(&seen), []);
    }

    #[test]
    fn a_range_with_holes_works_for_nobody_all_the_time() {
        let results = results(&Estate::default(), &healthy(), &"3123-4022".parse().unwrap());
        assert!(
            results
                .iter()
                .all(|result| !result.works && result.why.contains("3123-4022"))
        );
    }

    #[test]
    fn a_227_without_parentheses_stops_who_takes_it_literally() {
        let mut seen = healthy();
        seen.ftp.as_mut().unwrap().passive[1].reply = Some(Reply::new(227, "Entering Passive Mode 203,0,113,2,12,29"));
        assert_eq!(
            split(&results_of(&seen)).1,
            ["WinINET and others that take the 227 literally"]
        );
    }

    #[test]
    fn a_server_that_requires_tls_is_nothing_for_clients_without() {
        let mut estate = Estate::default();
        estate.ftp.tls = Tls::Required;
        let results = results(&estate, &healthy(), &PortSet::default());
        assert_eq!(
            split(&results).1,
            ["tnftp", "WinINET and others that take the 227 literally"]
        );
    }
}
