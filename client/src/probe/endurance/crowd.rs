//! Many control connections at once, held; then again with all others closed. Everything that is opened here is closed here.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join_all;
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::report::Outcome;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::super::connect::connect;
use super::super::evidence::{fetch, services};
use super::super::{Site, services_that_answered};
use crate::connection::ConnectionError;
use crate::observation::endurance::{Crowd, Member};
use crate::observation::{Attempt, EvidenceFetch, Observations};

/// How many come at once: a few more than the limits that firewalls and servers have for one address, mostly 10 or 20.
const MEMBERS: usize = 24;

/// How long a member is dialled: a SYN, and what the kernel repeats after one and two (or three) seconds.
const DIALLED: Duration = Duration::from_millis(2500);

/// How long the server has for its greeting.
const GREETING: Duration = Duration::from_millis(1500);

/// Less than the second after which a SYN is repeated: who stands by then was let in at once.
const AT_ONCE: Duration = Duration::from_millis(900);

/// How long another service is dialled meanwhile, and asked: a SYN and one repetition.
const ELSEWHERE: Duration = Duration::from_millis(1500);

/// How many other services.
const OTHERS: usize = 3;

/// What a firewall needs at least to see that connections are closed.
const CLOSED: Duration = Duration::from_millis(300);

/// How many come one by one at last, and with which distance: limits count by the second.
const APART: (usize, Duration) = (3, Duration::from_millis(1100));

/// Gathers a crowd at the control port; `besides` so many control connections that this client has already.
pub(super) async fn gather(site: &Site<'_>, seen: &Observations, besides: usize) -> Crowd {
    let to = site.at(site.plan.estate.ftp.port);
    let ask = async || ask(site, seen).await;
    let before = ask().await;
    let (together, held) = come(site, to, MEMBERS, DIALLED).await;
    let mut crowd = Crowd::of(to, besides, together);
    let hindered = !crowd.together.iter().all(Member::served) || crowd.late() > 0;
    if !hindered {
        return crowd;
    }
    let (elsewhere, there) = tokio::join!(dial_elsewhere(seen, to), ask());
    crowd.elsewhere = elsewhere;
    note(&mut crowd, before, there);
    drop(held);
    if crowd.doubtful() {
        sleep(CLOSED.max(round_trip(&crowd) * 2)).await;
        crowd.again = come(site, to, MEMBERS, DIALLED).await.0;
    }
    if crowd.lossy().is_some() {
        return crowd;
    }
    sleep(CLOSED.max(round_trip(&crowd) * 2)).await;
    // Only where some came to nothing; to be late or turned away is clear by itself.
    if crowd.together.iter().any(|member| !member.attempt.stood()) {
        let as_many = crowd.served().saturating_sub(besides).max(1);
        crowd.after = come(site, to, as_many, AT_ONCE).await.0;
        if !crowd.after.iter().all(|member| member.attempt.stood()) {
            crowd.apart = one_by_one(site, to).await;
        }
    } else if crowd.late() * 3 < MEMBERS && !crowd.shaken() {
        // A few that are late may be a limit, or chance.
        crowd.after = come(site, to, MEMBERS, DIALLED).await.0;
    }
    crowd
}

/// So many at once. All of them stand until what is returned is dropped.
async fn come(site: &Site<'_>, to: SocketAddr, count: usize, dialled: Duration) -> (Vec<Member>, Vec<TcpStream>) {
    let limit = dialled.min(site.limits.connect);
    let came = join_all((0..count).map(|_| member(to, limit))).await;
    let (members, held): (Vec<Member>, Vec<Option<TcpStream>>) = came.into_iter().unzip();
    (members, held.into_iter().flatten().collect())
}

async fn one_by_one(site: &Site<'_>, to: SocketAddr) -> Vec<Member> {
    let (count, distance) = APART;
    let mut members = Vec::new();
    for _ in 0..count {
        sleep(distance).await;
        members.extend(come(site, to, 1, AT_ONCE).await.0);
    }
    members
}

/// Whether one more connection is greeted.
pub(in super::super) async fn greets(to: SocketAddr) -> bool {
    member(to, GREETING).await.0.greeting.is_some()
}

async fn member(to: SocketAddr, limit: Duration) -> (Member, Option<TcpStream>) {
    let (attempt, stream) = connect(to, limit).await;
    let mut member = Member {
        attempt,
        greeting: None,
        greeted_ms: None,
        ended: None,
    };
    let Some(mut stream) = stream else {
        return (member, None);
    };
    let stood = Instant::now();
    match timeout(GREETING, greeting(&mut stream)).await {
        Ok(Ok(reply)) => {
            member.greeting = Some(reply);
            member.greeted_ms = Some((stood.elapsed().as_secs_f64() * 1e4).round() / 10.0);
        }
        Ok(Err(error)) => member.ended = Some(error.outcome()),
        Err(_) => member.ended = Some(Outcome::Silent),
    }
    (member, Some(stream))
}

async fn greeting(stream: &mut TcpStream) -> Result<Reply, ConnectionError> {
    let mut received = BytesMut::new();
    loop {
        if let Ok(Some((reply, _))) = Reply::parse(&received) {
            return Ok(reply);
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(ConnectionError::Closed);
        }
    }
}

async fn dial_elsewhere(seen: &Observations, control: SocketAddr) -> Vec<Attempt> {
    let others = services_that_answered(seen).into_iter().filter(|to| *to != control);
    join_all(
        others
            .take(OTHERS)
            .map(|to| async move { connect(to, ELSEWHERE).await.0 }),
    )
    .await
}

/// The server's evidence, where it can be had over another port than this one.
async fn ask(site: &Site<'_>, seen: &Observations) -> Option<Evidence> {
    if !site.plan.evidence || services(seen).is_empty() {
        return None;
    }
    match timeout(ELSEWHERE, fetch(site, seen)).await {
        Ok(EvidenceFetch::Joined(evidence)) => Some(evidence),
        _ => None,
    }
}

fn note(crowd: &mut Crowd, before: Option<Evidence>, there: Option<Evidence>) {
    let (Some(before), Some(there)) = (before, there) else {
        return;
    };
    let unnamed = |evidence: &Evidence| evidence.unnamed.get(&Flow::FtpControl).copied().unwrap_or(0);
    crowd.accepted = Some(unnamed(&there).saturating_sub(unnamed(&before)));
    let (Some(before), Some(there)) = (before.host, there.host) else {
        return;
    };
    let port = crowd.to.port();
    let listeners = there
        .listening
        .iter()
        .filter(|listener| listener.address.port() == port);
    crowd.waiting = listeners.map(|listener| listener.waiting).max();
    let half_open = there.half_open.iter().filter(|half| half.local.port() == port);
    crowd.half_open = Some(half_open.count() as u64);
    crowd.counted = Some(there.counters.since(&before.counters));
}

fn round_trip(crowd: &Crowd) -> Duration {
    let times = crowd.together.iter().filter_map(|member| member.attempt.rtt_ms);
    let fastest = times.fold(f64::INFINITY, f64::min);
    Duration::from_secs_f64(if fastest.is_finite() { fastest / 1000.0 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_member_tells_a_greeting_from_a_refusal_and_from_a_closed_door() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            for words in ["220-one\r\n220 ready\r\n", "421 too many\r\n", ""] {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(words.as_bytes()).await.unwrap();
            }
        });
        let limit = Duration::from_secs(5);
        let (welcome, _held) = member(to, limit).await;
        assert!(welcome.served() && welcome.greeted_ms.is_some(), "{welcome:?}");
        assert!(member(to, limit).await.0.turned_away());
        assert_eq!(member(to, limit).await.0.ended, Some(Outcome::Reset));
        server.await.unwrap();
    }
}
