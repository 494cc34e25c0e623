//! With which TTL an answer arrives, found by asking the kernel to drop answers that come from farther (IP_MINTTL).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use fwdrill_protocol::report::Outcome;

use super::connect::connect_as_far_as;
use super::socket::Reach;
use crate::observation::path::AnswerTtl;

/// How many thresholds are tried at once.
const AT_ONCE: u8 = 3;

/// The TTL of the answer of a port that is known to answer with `outcome` (open or refused), each time within `patience`.
/// `None` if it does not, or the system cannot tell.
pub(super) async fn answer_ttl(to: SocketAddr, outcome: Outcome, patience: Duration) -> Option<AnswerTtl> {
    // It arrives with at least `least` and with less than `most`.
    let (mut least, mut most) = (1_u8, None::<u8>);
    loop {
        let between = most.map_or(u16::from(u8::MAX) + 1, u16::from) - u16::from(least);
        if between <= 1 {
            break;
        }
        let step = between.div_ceil(u16::from(AT_ONCE) + 1);
        let tried: Vec<u8> = (1..=u16::from(AT_ONCE))
            .map(|n| u16::from(least) + n * step)
            .take_while(|threshold| *threshold < u16::from(least) + between)
            .filter_map(|threshold| u8::try_from(threshold).ok())
            .collect();
        let arrived = join_all(tried.iter().map(|threshold| arrives(to, outcome, patience, *threshold))).await;
        for (threshold, arrived) in tried.into_iter().zip(arrived) {
            if arrived {
                least = least.max(threshold);
            } else {
                most = Some(most.map_or(threshold, |most| most.min(threshold)));
            }
        }
        if most.is_some_and(|most| most <= least) {
            // What comes from near arrives and what comes from farther does too: it does not always answer.
            return None;
        }
    }
    // Nobody at all would have looked like the smallest one.
    (least > 1).then_some(AnswerTtl {
        to,
        outcome,
        ttl: least,
    })
}

/// Whether the answer arrives if it must have this TTL at least. Two attempts at once: a lost packet must not lie.
async fn arrives(to: SocketAddr, outcome: Outcome, patience: Duration, least: u8) -> bool {
    let reach = Reach {
        min_ttl: Some(least),
        ..Reach::default()
    };
    let attempt = || async move { connect_as_far_as(to, patience, reach).await.0.outcome == outcome };
    let (first, second) = tokio::join!(attempt(), attempt());
    first || second
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn answers_of_this_host_arrive_with_the_ttl_it_sends_with() {
        let sent: u8 = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let patience = Duration::from_millis(500);
        let open = answer_ttl(to, Outcome::Open, patience).await.unwrap();
        assert_eq!((open.ttl, open.distance()), (sent, 1));
        drop(listener);
        let refused = answer_ttl(to, Outcome::Refused, patience).await.unwrap();
        assert_eq!(refused.ttl, sent);
        assert_eq!(
            answer_ttl(to, Outcome::Open, patience).await,
            None,
            "a port that does not answer so has no TTL"
        );
    }
}
