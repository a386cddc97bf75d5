//! What can go wrong, switched on and off while the services run.

use std::time::Duration;

use super::ledger::RetryAfter;
use super::place::Place;

/// Something that goes wrong, for the requests it is meant for.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) effect: Effect,
    workspace: Option<String>,
    place: Option<Place>,
    above: Option<u64>,
    containing: Option<String>,
    remaining: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Refuse,
    Garbage,
    Status { status: u16, retry_after: Option<RetryAfter> },
    ResetReading { after: u64 },
    SlowReading { bytes_per_second: u64 },
    LostAnswer,
    ResetAnswer,
    Delay { by: Duration },
    Trickle { pause: Duration },
    Chunked,
    Gzip,
    EmptyOk,
}

/// Names a fault that is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

impl Fault {
    /// The connection is closed as soon as the name in its ClientHello is known.
    pub fn refuse() -> Self {
        Self::new(Effect::Refuse)
    }

    /// After the handshake of TLS come bytes that are no HTTP, and the end; for connections that begin then.
    pub fn garbage() -> Self {
        Self::new(Effect::Garbage)
    }

    /// This status, and nothing is taken.
    pub fn status(status: u16) -> Self {
        Self::new(Effect::Status { status, retry_after: None })
    }

    /// The connection is reset after so many bytes of the request's body; nothing is taken.
    pub fn reset_reading(after: u64) -> Self {
        Self::new(Effect::ResetReading { after })
    }

    /// The request's body is read slowly.
    pub fn slow_reading(bytes_per_second: u64) -> Self {
        Self::new(Effect::SlowReading { bytes_per_second })
    }

    /// Everything is taken, and the connection is reset in the place of the answer.
    pub fn lost_answer() -> Self {
        Self::new(Effect::LostAnswer)
    }

    /// Everything is taken; the answer announces a body, and the connection is reset within it.
    pub fn reset_answer() -> Self {
        Self::new(Effect::ResetAnswer)
    }

    /// The answer comes later.
    pub fn delay(by: Duration) -> Self {
        Self::new(Effect::Delay { by })
    }

    /// The answer's body comes byte by byte, in chunks.
    pub fn trickle(pause: Duration) -> Self {
        Self::new(Effect::Trickle { pause })
    }

    /// The answer has no length: its body comes in chunks.
    pub fn chunked() -> Self {
        Self::new(Effect::Chunked)
    }

    /// The answer's body is compressed, asked for or not.
    pub fn gzip() -> Self {
        Self::new(Effect::Gzip)
    }

    /// An empty 200, and nothing is taken.
    pub fn empty_ok() -> Self {
        Self::new(Effect::EmptyOk)
    }

    /// Only for one workspace.
    pub fn of(mut self, workspace: &str) -> Self {
        self.workspace = Some(workspace.to_ascii_lowercase());
        self
    }

    /// Only at one place.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Only for bodies of more bytes than these on the wire.
    pub fn above(mut self, bytes: u64) -> Self {
        self.above = Some(bytes);
        self
    }

    /// Only for bodies that hold this text before `Content-Encoding`.
    pub fn containing(mut self, text: &str) -> Self {
        self.containing = Some(text.to_owned());
        self
    }

    /// Only so often.
    pub fn times(mut self, times: u64) -> Self {
        self.remaining = Some(times);
        self
    }

    /// With `Retry-After`; only a status has it.
    pub fn retry_after(mut self, wait: RetryAfter) -> Self {
        match &mut self.effect {
            Effect::Status { retry_after, .. } => *retry_after = Some(wait),
            other => panic!("{other:?} has no Retry-After"),
        }
        self
    }

    fn new(effect: Effect) -> Self {
        Self { effect, workspace: None, place: None, above: None, containing: None, remaining: None }
    }
}

/// The moment at which a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Connection,
    Head,
    Body,
}

impl Effect {
    fn moment(&self) -> Moment {
        match self {
            Self::Refuse | Self::Garbage => Moment::Connection,
            Self::ResetReading { .. } | Self::SlowReading { .. } => Moment::Head,
            Self::Status { .. } | Self::LostAnswer | Self::ResetAnswer | Self::Delay { .. } => Moment::Body,
            Self::Trickle { .. } | Self::Chunked | Self::Gzip | Self::EmptyOk => Moment::Body,
        }
    }
}

/// The request that may be struck, as far as it is known.
pub(super) struct Target<'a> {
    pub(super) workspace: Option<&'a str>,
    pub(super) place: Option<Place>,
    pub(super) body_bytes: u64,
    pub(super) content: &'a [u8],
}

#[derive(Default)]
pub(super) struct Faults {
    next: u64,
    on: Vec<(FaultId, Fault)>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(self.next);
        self.next += 1;
        self.on.push((id, fault));
        id
    }

    pub(super) fn remove(&mut self, id: FaultId) {
        self.on.retain(|(known, _)| *known != id);
    }

    pub(super) fn clear(&mut self) {
        self.on.clear();
    }

    /// Returns the first fault for this request at this moment, and counts it.
    pub(super) fn strike(&mut self, moment: Moment, target: &Target<'_>) -> Option<Effect> {
        let strikes = |fault: &Fault| fault.effect.moment() == moment && fault.strikes(target);
        let (_, fault) = self.on.iter_mut().find(|(_, fault)| strikes(fault))?;
        if let Some(remaining) = &mut fault.remaining {
            *remaining -= 1;
        }
        Some(fault.effect.clone())
    }
}

impl Fault {
    fn strikes(&self, target: &Target<'_>) -> bool {
        let holds = |text: &String| memchr::memmem::find(target.content, text.as_bytes()).is_some();
        self.remaining != Some(0)
            && self.workspace.as_deref().is_none_or(|workspace| Some(workspace) == target.workspace)
            && self.place.is_none_or(|place| Some(place) == target.place)
            && self.above.is_none_or(|bytes| target.body_bytes > bytes)
            && self.containing.as_ref().is_none_or(holds)
    }
}
