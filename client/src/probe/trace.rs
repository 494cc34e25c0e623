//! A traceroute to the very port, by connection attempts whose packets go only so far: no privilege needed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use fwdrill_protocol::report::Outcome;
use tokio::time::sleep;

use super::connect::connect_as_far_as;
use super::socket::Reach;
use crate::observation::path::{Trace, TraceEnd};
use crate::observation::{Attempt, Icmp};

/// How many hops are asked at once.
const WINDOW: usize = 4;

/// No path is longer than this.
const FARTHEST: usize = 32;

/// Routers send about one ICMP error a second to the same address after the first six (icmp_ratelimit, ip-sysctl.rst): who
/// was silent is asked again after this long.
const REFILL: Duration = Duration::from_millis(1100);

/// A SYN and its repetition after a second.
const REPEATED: Duration = Duration::from_millis(1300);

/// How much an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Who is silent is silent, but for the last before the port itself.
    Light,
    /// Who is silent is asked once more, a second later.
    Full,
}

/// Traces the path to a port. Each hop gets `patience` to answer.
pub(super) async fn trace(to: SocketAddr, patience: Duration, care: Care) -> Trace {
    let mut walk = Walk {
        to,
        patience,
        answers: Vec::new(),
    };
    walk.on().await;
    match care {
        Care::Full if !walk.unclear().is_empty() => {
            sleep(REFILL).await;
            walk.again(walk.unclear()).await;
            walk.on().await;
        }
        Care::Full => {}
        Care::Light => {
            // A lost SYN must not make the port look farther than it is: here the kernel has time to repeat it.
            walk.patience = walk.patience.max(REPEATED);
            walk.again(walk.before_the_end()).await;
        }
    }
    walk.trace()
}

struct Walk {
    to: SocketAddr,
    patience: Duration,
    /// By TTL, from 1.
    answers: Vec<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Hop(IpAddr),
    End(TraceEnd),
    Nothing,
}

impl Walk {
    /// Goes on from where it stands, window by window, until the port answers or a whole window is silent.
    async fn on(&mut self) {
        // The silent tail is beyond the last one who answered: walked again only if there is news.
        while !self.ended() && self.answers.len() < FARTHEST {
            let silent_tail = self
                .answers
                .iter()
                .rev()
                .take_while(|answer| **answer == Answer::Nothing)
                .count();
            if silent_tail >= WINDOW {
                return;
            }
            let first = self.answers.len() + 1;
            let asked = self.ask(first..first + WINDOW).await;
            self.answers.extend(asked);
        }
    }

    async fn again(&mut self, unclear: Vec<usize>) {
        let answers = self.ask(unclear.iter().copied()).await;
        for (ttl, answer) in unclear.into_iter().zip(answers) {
            if let Some(known) = self.answers.get_mut(ttl - 1) {
                *known = answer;
            }
        }
    }

    async fn ask(&self, ttls: impl IntoIterator<Item = usize>) -> Vec<Answer> {
        join_all(ttls.into_iter().filter_map(|ttl| {
            let hop = u8::try_from(ttl).ok()?;
            let reach = Reach {
                ttl: Some(hop),
                ..Reach::default()
            };
            Some(async move {
                let (attempt, _stream) = connect_as_far_as(self.to, self.patience, reach).await;
                answer(hop, &attempt)
            })
        }))
        .await
    }

    fn ended(&self) -> bool {
        self.answers.iter().any(|answer| matches!(answer, Answer::End(_)))
    }

    /// Silent TTLs before the end, or the next two after the last hop that answered.
    fn unclear(&self) -> Vec<usize> {
        let end = self.answers.iter().position(|answer| matches!(answer, Answer::End(_)));
        let last = self.answers.iter().rposition(|answer| matches!(answer, Answer::Hop(_)));
        let most = end.unwrap_or_else(|| last.map_or(0, |last| last + 1) + 2);
        self.answers
            .iter()
            .take(most)
            .enumerate()
            .filter(|(_, answer)| **answer == Answer::Nothing)
            .map(|(at, _)| at + 1)
            .collect()
    }

    /// Silent TTLs right before the port's own answer: from there it may have answered, too.
    fn before_the_end(&self) -> Vec<usize> {
        let end = self.answers.iter().position(|answer| matches!(answer, Answer::End(_)));
        let before = self.answers.iter().take(end.unwrap_or(0)).enumerate().rev();
        before
            .take_while(|(_, answer)| **answer == Answer::Nothing)
            .map(|(at, _)| at + 1)
            .collect()
    }

    fn trace(self) -> Trace {
        let end = self.answers.iter().position(|answer| matches!(answer, Answer::End(_)));
        let hops = self
            .answers
            .iter()
            .take(end.unwrap_or(self.answers.len()))
            .map(|answer| match answer {
                Answer::Hop(who) => Some(*who),
                Answer::End(_) | Answer::Nothing => None,
            })
            .collect();
        let end = match end.and_then(|at| self.answers.get(at)) {
            Some(Answer::End(end)) => *end,
            _ => TraceEnd::Silence,
        };
        Trace { to: self.to, hops, end }
    }
}

fn answer(hop: u8, attempt: &Attempt) -> Answer {
    match (attempt.outcome, attempt.icmp) {
        (Outcome::Unreachable, Some(icmp)) if is_time_exceeded(icmp, attempt.to) => {
            icmp.offender.map_or(Answer::Nothing, Answer::Hop)
        }
        (Outcome::Unreachable, Some(icmp)) => Answer::End(TraceEnd::Error { hop, icmp }),
        (Outcome::Open | Outcome::Reset, _) => Answer::End(TraceEnd::Answered {
            hop,
            outcome: Outcome::Open,
        }),
        (Outcome::Refused, _) => Answer::End(TraceEnd::Answered {
            hop,
            outcome: Outcome::Refused,
        }),
        _ => Answer::Nothing,
    }
}

/// RFC 792: 11/0 time to live exceeded in transit; RFC 4443: 3/0.
fn is_time_exceeded(icmp: Icmp, to: SocketAddr) -> bool {
    icmp.kind == if to.is_ipv4() { 11 } else { 3 } && icmp.code == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn on_one_host_the_first_hop_is_the_port_itself() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).await.unwrap();
            let to = listener.local_addr().unwrap();
            let open = trace(to, PATIENCE, Care::Full).await;
            assert_eq!((open.answered(), open.hops.len()), (Some(1), 0), "{open:?}");
            drop(listener);
            let refused = trace(to, PATIENCE, Care::Full).await;
            let outcome = Outcome::Refused;
            assert_eq!(refused.end, TraceEnd::Answered { hop: 1, outcome });
        }
    }

    fn walk(answers: &[Answer]) -> Walk {
        Walk {
            to: "203.0.113.2:2021".parse().unwrap(),
            patience: PATIENCE,
            answers: answers.to_vec(),
        }
    }

    #[test]
    fn what_is_asked_again_is_every_gap_and_the_edge_of_silence() {
        let hop = Answer::Hop([198, 51, 100, 1].into());
        let end = Answer::End(TraceEnd::Answered {
            hop: 3,
            outcome: Outcome::Open,
        });
        use Answer::Nothing;
        assert_eq!(
            walk(&[hop, Nothing, hop, Nothing, Nothing, Nothing, Nothing]).unclear(),
            [2, 4, 5]
        );
        assert_eq!(walk(&[Nothing; 4]).unclear(), [1, 2]);
        assert_eq!(walk(&[hop, Nothing, end]).unclear(), [2]);
        assert_eq!(walk(&[hop, hop, end, end]).unclear(), [0; 0]);
        assert_eq!(walk(&[Nothing, hop, Nothing, Nothing, end]).before_the_end(), [4, 3]);
        assert_eq!(walk(&[hop, end, end]).before_the_end(), [0; 0]);
        assert_eq!(walk(&[hop, Nothing]).before_the_end(), [0; 0]);
    }
}
