//! What shows only in numbers or over time: many connections at once, a connection held idle, a large transfer.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::host::Counters;
use fwdrill_protocol::report::Outcome;

use super::Attempt;

/// All of it is absent where nobody asked: it takes many connections, or seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Endurance {
    /// Many control connections at once.
    #[serde(default)]
    pub crowd: Option<Crowd>,
    /// Control connections on which nothing was said for a while.
    #[serde(default)]
    pub idle: Option<Idle>,
    /// How fast a larger file came.
    #[serde(default)]
    pub speed: Vec<Speed>,
}

/// Many control connections at once, then again with all others closed. Who answers when tells a limit on how many there
/// are from one on how fast they come, and both from lost packets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// The control port.
    pub to: SocketAddr,
    /// How many other control connections this client held meanwhile.
    #[serde(default)]
    pub besides: usize,
    /// Dialled at once, and held until the last of them was served or given up.
    pub together: Vec<Member>,
    /// A second crowd, with the first one closed, where the first left it to chance whether packets are lost.
    #[serde(default)]
    pub again: Vec<Member>,
    /// While they were held: one connection to each of a few other services, which had answered before.
    #[serde(default)]
    pub elsewhere: Vec<Attempt>,
    /// With all of them closed: as many at once as had been served together, so that a limit on their number lets them in.
    #[serde(default)]
    pub after: Vec<Member>,
    /// Then a few one by one, more than a second apart.
    #[serde(default)]
    pub apart: Vec<Member>,
    /// How many connections to the control port the server accepted from here while they were made and held.
    #[serde(default)]
    pub accepted: Option<u64>,
    /// How many wait at the server's host for its program to accept them.
    #[serde(default)]
    pub waiting: Option<u64>,
    /// How many are half open there.
    #[serde(default)]
    pub half_open: Option<u64>,
    /// What the server's host counted meanwhile.
    #[serde(default)]
    pub counted: Option<Counters>,
}

/// How much later than others a handshake is whose SYN, or the answer to it, was lost: the kernel repeats a SYN after a
/// second (RFC 6298 section 2.1).
const SYN_AGAIN_MS: f64 = 700.0;

/// The same for a greeting: the least time after which Linux sends a segment again is 200 ms (TCP_RTO_MIN).
const SEGMENT_AGAIN_MS: f64 = 190.0;

impl Crowd {
    /// Those that came at once, and nothing known of what follows.
    pub fn of(to: SocketAddr, besides: usize, together: Vec<Member>) -> Self {
        Crowd {
            to,
            besides,
            together,
            again: Vec::new(),
            elsewhere: Vec::new(),
            after: Vec::new(),
            apart: Vec::new(),
            accepted: None,
            waiting: None,
            half_open: None,
            counted: None,
        }
    }

    /// How many connections were served at once, this client's others among them.
    pub fn served(&self) -> usize {
        self.besides + self.together.iter().filter(|member| member.served()).count()
    }

    /// Handshakes that stood, but only after a SYN was repeated.
    pub fn late(&self) -> usize {
        late_handshakes(&self.together)
    }

    /// The same of both crowds, where there was another one.
    pub fn late_in_all(&self) -> usize {
        self.late() + late_handshakes(&self.again)
    }

    /// Whether new connections fare so badly, for a limit or for lost packets, that one more that fails says nothing new.
    pub fn hindered(&self) -> bool {
        let dropped = self.together.iter().filter(|member| !member.attempt.stood()).count();
        dropped * 10 >= self.together.len() || self.lossy().is_some()
    }

    /// Greetings on connections that stood, late by the time after which a lost segment is sent again.
    pub fn late_greetings(&self) -> usize {
        let late_of = |members: &[Member]| {
            let times: Vec<f64> = members.iter().filter_map(|member| member.greeted_ms).collect();
            late(times.into_iter(), SEGMENT_AGAIN_MS)
        };
        late_of(&self.together) + late_of(&self.after)
    }

    /// Whether packets were lost of connections that stood, as far as anybody can tell.
    pub fn shaken(&self) -> bool {
        self.counted
            .map_or(self.late_greetings() > 0, |counted| counted.sent_again > 0)
    }

    /// How many handshakes of a hundred lost a packet, where packets are lost at random: connections that stand suffer from
    /// it as much as new ones, which no limit on connections explains. One crowd is enough only where two of five suffer:
    /// of those that lose one packet in twenty, one crowd in forty looks as if it lost twice as many.
    pub fn lossy(&self) -> Option<f64> {
        let suffered = Suffered::of(&self.together) + Suffered::of(&self.again);
        // Who loses nothing sends nothing again.
        let sent_again = self.counted.is_none_or(|counted| counted.sent_again > 2);
        let enough = if self.again.is_empty() { 40 } else { 25 };
        let lossy = suffered.like_lost_packets() && suffered.percent() >= enough && sent_again;
        lossy.then(|| 100.0 * suffered.handshakes as f64 / suffered.all as f64)
    }

    /// Whether another crowd has to tell lost packets from a path that loses a few, as many do.
    pub fn doubtful(&self) -> bool {
        let suffered = Suffered::of(&self.together);
        self.again.is_empty() && suffered.like_lost_packets() && (20..40).contains(&suffered.percent())
    }
}

/// How many members of a crowd suffered as if a packet of theirs had been lost.
#[derive(Debug, Clone, Copy)]
struct Suffered {
    all: usize,
    /// Of all: late by a repeated SYN, or not there in time.
    handshakes: usize,
    stood: usize,
    /// Of those that stood: late by a repeated segment, or not there in time.
    greetings: usize,
}

impl Suffered {
    fn of(members: &[Member]) -> Self {
        let count = |holds: fn(&Member) -> bool| members.iter().filter(|member| holds(member)).count();
        let dropped = count(|member| member.attempt.outcome == Outcome::Timeout);
        let mute = count(|member| member.ended == Some(Outcome::Silent));
        let greeted = members.iter().filter_map(|member| member.greeted_ms);
        Suffered {
            all: members.len(),
            handshakes: dropped + late_handshakes(members),
            stood: greeted.clone().count() + mute,
            greetings: mute + late(greeted, SEGMENT_AGAIN_MS),
        }
    }

    /// New connections and those that stand alike.
    fn like_lost_packets(self) -> bool {
        self.handshakes > 0
            && self.greetings > 0
            && self.handshakes * 8 >= self.all
            && self.greetings * 10 >= self.stood
    }

    fn percent(self) -> usize {
        100 * (self.handshakes + self.greetings) / (self.all + self.stood).max(1)
    }
}

impl std::ops::Add for Suffered {
    type Output = Suffered;

    fn add(self, other: Suffered) -> Suffered {
        Suffered {
            all: self.all + other.all,
            handshakes: self.handshakes + other.handshakes,
            stood: self.stood + other.stood,
            greetings: self.greetings + other.greetings,
        }
    }
}

fn late_handshakes(members: &[Member]) -> usize {
    let stood = members
        .iter()
        .map(|member| &member.attempt)
        .filter(|attempt| attempt.stood());
    late(stood.filter_map(|attempt| attempt.rtt_ms), SYN_AGAIN_MS)
}

/// How many of these took that much longer than the fastest.
pub(crate) fn late(times: impl Iterator<Item = f64> + Clone, than: f64) -> usize {
    let fastest = times.clone().fold(f64::INFINITY, f64::min);
    times.filter(|time| *time >= fastest + than).count()
}

/// Whether some of these handshakes needed another SYN while others did not.
pub(crate) fn some_are_late<'a>(attempts: impl Iterator<Item = &'a Attempt> + Clone) -> bool {
    let stood = attempts.filter(|attempt| attempt.stood());
    late(stood.filter_map(|attempt| attempt.rtt_ms), SYN_AGAIN_MS) > 0
}

/// One connection of a crowd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The attempt to connect.
    pub attempt: Attempt,
    /// What the server said first.
    #[serde(default)]
    pub greeting: Option<Reply>,
    /// How long after the handshake it said so, milliseconds.
    #[serde(default)]
    pub greeted_ms: Option<f64>,
    /// How the wait for that ended where nothing was said: reset, silent.
    #[serde(default)]
    pub ended: Option<Outcome>,
}

impl Member {
    /// Whether the server bids it welcome (220; 120 says that it will).
    pub fn served(&self) -> bool {
        self.greeting.as_ref().is_some_and(|greeting| greeting.code < 400)
    }

    /// Whether the server has no room for it (421).
    pub fn turned_away(&self) -> bool {
        self.greeting.as_ref().is_some_and(|greeting| greeting.code >= 400)
    }
}

/// Control connections on which nothing was said for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// One for each end that may speak first.
    pub trials: Vec<IdleTrial>,
    /// Whether a new connection was greeted afterwards: the server lives, and its port is open. Asked only where one of the
    /// trials failed.
    #[serde(default)]
    pub still_open: Option<bool>,
}

/// A control connection that was held idle, and who broke the silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdleTrial {
    /// Which end spoke first afterwards.
    pub first: Speaker,
    /// How long nothing was said, milliseconds.
    pub idle_ms: u64,
    /// How it ended: open where the other end heard it and answered.
    pub outcome: Outcome,
    /// What was said before the silence was over, such as 421.
    #[serde(default)]
    pub interrupted: Option<Reply>,
    /// Whether the connection ended during the silence.
    #[serde(default)]
    pub ended_meanwhile: bool,
    /// In words what went wrong.
    #[serde(default)]
    pub text: Option<String>,
    /// Where the server was to speak first: how many bytes its data connection brought, and whether that ended in order.
    #[serde(default)]
    pub data: Option<(u64, bool)>,
    /// Where it did not: how the client fared that spoke then.
    #[serde(default)]
    pub then: Option<Outcome>,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaker {
    /// The client: a command.
    Client,
    /// The server: the reply to a transfer that took long.
    Server,
}

/// How fast a larger file came. It need not have come as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speed {
    /// Over which flow.
    pub flow: Flow,
    /// The port it came from.
    pub from: SocketAddr,
    /// Which file.
    pub path: String,
    /// How many bytes came.
    pub bytes: u64,
    /// In which time, milliseconds.
    pub elapsed_ms: u64,
    /// How many bytes came in each quarter of a second.
    pub steps: Vec<u64>,
    /// Whether it came to its end, or was still coming when it was broken off from here.
    pub in_order: bool,
    /// How many packets this host received out of order meanwhile: behind one that was lost.
    #[serde(default)]
    pub out_of_order: Option<u64>,
    /// How many segments the server's host had to send again meanwhile.
    #[serde(default)]
    pub sent_again: Option<u64>,
}
