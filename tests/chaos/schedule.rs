//! Which fault comes when, for how long, and to whom: drawn from the seed before anything runs.
//!
//! Kinds come in rounds, each round in another order, so that a short run has met each kind about as often as any
//! other. Nobody has two faults at once; several suffer at the same time.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::draw::Draw;

/// Who suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// An agent.
    Agent(usize),
    /// A gateway.
    Gateway(usize),
    /// The link between the agents and a gateway.
    Inner(usize),
    /// The link between a gateway and the internet.
    Outer(usize),
    /// The name server.
    Names,
    /// The service.
    Service,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// SIGKILL; started again after a while.
    Kill,
    /// SIGTERM; started again after a while.
    Stop,
    /// SIGSTOP, SIGCONT.
    Freeze,
    /// SIGHUP with the same configuration.
    Reload,
    /// SIGHUP with another configuration of the sources.
    ReloadChanged,
    /// SIGHUP with a configuration that is wrong, then with the right one.
    ReloadBroken,
    /// SIGUSR2: a new program takes over.
    Upgrade,
    /// The disk of the queue is full.
    DiskFull,
    /// No more files may be opened.
    Descriptors,
    /// The memory control group allows a little more than is used now.
    Memory,
    /// The clock is off by hours.
    Clock,
    /// The log is renamed, and a new one begun.
    RotateRename,
    /// The log is copied and truncated.
    RotateCopy,
    /// Packets vanish.
    Cut,
    /// Connections are reset.
    Reset,
    /// One packet in five vanishes.
    Loss,
    /// A few KB a second get through.
    Slow,
    /// SERVFAIL.
    NoHelp,
    /// NXDOMAIN.
    NoName,
    /// No answer.
    Silence,
    /// An answer that cannot be read.
    Malformed,
    /// The address of a machine that is not there.
    WrongAddress,
    /// 429 with Retry-After.
    Throttled,
    /// 500.
    Failing,
    /// 503.
    Unavailable,
    /// 413 for bodies above 2 KB.
    TooLarge,
    /// Tokens are revoked.
    Revoked,
    /// Bytes that are no HTTP.
    Garbage,
    /// An answer comes much too late.
    Late,
    /// What came is taken, but the answer is lost.
    LostAnswer,
    /// What came is taken, but the answer breaks off.
    BrokenAnswer,
    /// A request's body breaks off.
    BrokenRequest,
    /// A request's body is read slowly.
    SlowRequest,
    /// Connections are closed at the ClientHello.
    Refused,
    /// Every connection is closed once.
    Closed,
    /// The certificate is another's.
    Certificate,
}

/// One fault of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// From the beginning.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) who: Who,
    pub(crate) fault: Fault,
}

/// How much there is to draw from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    pub(crate) agents: usize,
    pub(crate) gateways: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Agent,
    Gateway,
    Inner,
    Outer,
    Names,
    Service,
}

/// Every kind, and how long it lasts at least and at most, in milliseconds.
const KINDS: [(Class, Fault, u64, u64); 47] = [
    (Class::Agent, Fault::Kill, 0, 3000),
    (Class::Agent, Fault::Kill, 0, 500),
    (Class::Agent, Fault::Stop, 0, 3000),
    (Class::Agent, Fault::Freeze, 500, 5000),
    (Class::Agent, Fault::Reload, 100, 500),
    (Class::Agent, Fault::ReloadChanged, 100, 500),
    (Class::Agent, Fault::ReloadBroken, 500, 2000),
    (Class::Agent, Fault::DiskFull, 2000, 6000),
    (Class::Agent, Fault::DiskFull, 2000, 6000),
    (Class::Agent, Fault::Descriptors, 2000, 5000),
    (Class::Agent, Fault::Memory, 2000, 5000),
    (Class::Agent, Fault::Clock, 1000, 5000),
    (Class::Agent, Fault::RotateRename, 0, 100),
    (Class::Agent, Fault::RotateRename, 0, 100),
    (Class::Agent, Fault::RotateCopy, 0, 100),
    (Class::Agent, Fault::RotateCopy, 0, 100),
    (Class::Gateway, Fault::Kill, 0, 3000),
    (Class::Gateway, Fault::Stop, 0, 2000),
    (Class::Gateway, Fault::Freeze, 500, 5000),
    (Class::Gateway, Fault::Upgrade, 100, 500),
    (Class::Gateway, Fault::Reload, 100, 500),
    (Class::Gateway, Fault::ReloadBroken, 500, 2000),
    (Class::Gateway, Fault::Descriptors, 2000, 5000),
    (Class::Gateway, Fault::Memory, 2000, 5000),
    (Class::Inner, Fault::Cut, 1000, 6000),
    (Class::Inner, Fault::Reset, 1000, 4000),
    (Class::Inner, Fault::Loss, 2000, 6000),
    (Class::Outer, Fault::Cut, 1000, 6000),
    (Class::Outer, Fault::Reset, 1000, 4000),
    (Class::Outer, Fault::Slow, 2000, 6000),
    (Class::Names, Fault::NoHelp, 1000, 4000),
    (Class::Names, Fault::NoName, 1000, 3000),
    (Class::Names, Fault::Silence, 1000, 5000),
    (Class::Names, Fault::Malformed, 1000, 4000),
    (Class::Names, Fault::WrongAddress, 1000, 3000),
    (Class::Service, Fault::Throttled, 1000, 4000),
    (Class::Service, Fault::Failing, 1000, 4000),
    (Class::Service, Fault::Unavailable, 1000, 4000),
    (Class::Service, Fault::TooLarge, 1000, 5000),
    (Class::Service, Fault::Revoked, 0, 100),
    (Class::Service, Fault::Garbage, 1000, 3000),
    (Class::Service, Fault::Late, 1000, 4000),
    (Class::Service, Fault::LostAnswer, 500, 2000),
    (Class::Service, Fault::BrokenAnswer, 500, 2000),
    (Class::Service, Fault::BrokenRequest, 500, 3000),
    (Class::Service, Fault::SlowRequest, 1000, 4000),
    (Class::Service, Fault::Closed, 0, 100),
];
/// Kinds that are drawn seldom, for what they cost afterwards: a fifth of the rounds.
const SELDOM: [(Class, Fault, u64, u64); 3] = [
    (Class::Service, Fault::Refused, 1000, 3000),
    (Class::Service, Fault::Certificate, 1000, 3000),
    (Class::Service, Fault::Clock, 1000, 4000),
];
/// How long who suffered is left in peace.
const PEACE: Duration = Duration::from_millis(1500);
/// How often another target is drawn before a kind is put off.
const TRIES: usize = 8;

/// Draws the faults of a run: one each `every` on average, all of which end before `within`.
pub(crate) fn draw(seed: u64, cast: Cast, within: Duration, every: Duration) -> Vec<Step> {
    let mut draw = Draw::new(seed);
    let mut busy: HashMap<Who, Duration> = HashMap::new();
    let (mut steps, mut round, mut rounds, mut at) = (Vec::new(), Vec::new(), 0, Duration::ZERO);
    loop {
        at += draw.between(Duration::ZERO, every * 2);
        if at >= within {
            return steps;
        }
        if round.is_empty() {
            round.extend(KINDS);
            if rounds % 5 == 1 {
                round.extend(SELDOM);
            }
            rounds += 1;
            draw.shuffle(&mut round);
        }
        let Some((class, fault, least, most)) = round.pop() else { return steps };
        let lasts = draw.between(Duration::from_millis(least), Duration::from_millis(most));
        for _ in 0..TRIES {
            let who = class.one(&mut draw, cast);
            let free = busy.get(&who).is_none_or(|until| *until <= at);
            if free && at + lasts < within {
                busy.insert(who, at + lasts + PEACE);
                steps.push(Step { at, lasts, who, fault });
                break;
            }
        }
    }
}

impl Class {
    fn one(self, draw: &mut Draw, cast: Cast) -> Who {
        match self {
            Self::Agent => Who::Agent(draw.below(cast.agents)),
            Self::Gateway => Who::Gateway(draw.below(cast.gateways)),
            Self::Inner => Who::Inner(draw.below(cast.gateways)),
            Self::Outer => Who::Outer(draw.below(cast.gateways)),
            Self::Names => Who::Names,
            Self::Service => Who::Service,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(number) => write!(f, "agent {number}"),
            Self::Gateway(number) => write!(f, "gateway {number}"),
            Self::Inner(number) => write!(f, "inner link {number}"),
            Self::Outer(number) => write!(f, "outer link {number}"),
            Self::Names => f.write_str("name server"),
            Self::Service => f.write_str("service"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const CAST: Cast = Cast { agents: 12, gateways: 3 };

    fn an_hour(seed: u64) -> Vec<Step> {
        draw(seed, CAST, Duration::from_secs(3600), Duration::from_millis(800))
    }

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_another_seed_another() {
        assert_eq!(an_hour(1), an_hour(1));
        assert_ne!(an_hour(1), an_hour(2));
    }

    #[test]
    fn an_hour_has_every_kind_everybody_suffers_and_all_ends_in_time() {
        let steps = an_hour(7);
        let kinds: HashSet<Fault> = steps.iter().map(|step| step.fault).collect();
        let meant: HashSet<Fault> = KINDS.iter().chain(&SELDOM).map(|kind| kind.1).collect();
        assert_eq!(kinds, meant);
        let all: HashSet<Who> = steps.iter().map(|step| step.who).collect();
        assert_eq!(all.len(), CAST.agents + 3 * CAST.gateways + 2);
        assert!(steps.iter().all(|step| step.at + step.lasts < Duration::from_secs(3600)));
    }

    #[test]
    fn nobody_has_two_faults_at_once() {
        let mut until: HashMap<Who, Duration> = HashMap::new();
        for step in an_hour(3) {
            let before = until.insert(step.who, step.at + step.lasts);
            assert!(before.is_none_or(|end| end + PEACE <= step.at), "{step:?}");
        }
    }
}
