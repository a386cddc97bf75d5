use std::fmt::Write;
use std::net::IpAddr;
use std::time::SystemTime;

use super::Context;
use crate::collect::inlet::Inlet;
use crate::counters::Loss;
use crate::counters::SourceTally;
use crate::parse::syslog::Arrival;
use crate::parse::syslog::End;
use crate::parse::syslog::Filter;
use crate::parse::syslog::Form;
use crate::parse::syslog::Outcome;
use crate::parse::syslog::Parser;
use crate::parse::syslog::Place;
use crate::parse::syslog::Sender;
use crate::parse::syslog::Text;
use crate::record::Frames;
use crate::record::Table;
use crate::record::Timestamp;

/// From how many bytes of records on they go to the queues without waiting for more.
const FULL: usize = 128 * 1024;
/// How many bytes of memory for records stay after a peak.
const KEPT: usize = 64 * 1024;

/// Makes records of messages and gathers them.
pub(super) struct Intake {
    parser: Parser,
    frames: Frames,
    inlet: Inlet,
    computer: String,
    address: String,
    /// The sender of the last message, and its address as text.
    peer: Option<IpAddr>,
    peer_text: String,
}

/// Who sent a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// A process at a unix socket.
    #[cfg_attr(windows, allow(dead_code, reason = "there are none"))]
    Unix,
    /// Somebody in the network.
    Peer(IpAddr),
}

impl Intake {
    pub(super) fn new(context: &Context, filter: Filter, inlet: Inlet) -> Self {
        Self {
            parser: Parser::new(context.zone.clone(), filter),
            frames: Frames::default(),
            inlet,
            computer: context.computer.clone(),
            address: context.address.clone(),
            peer: None,
            peer_text: String::new(),
        }
    }

    /// Takes a message.
    pub(super) fn take(&mut self, bytes: &[u8], end: End, origin: Origin, received: Timestamp) {
        let own = |place| Sender { name: self.computer.as_str(), address: self.address.as_str(), place };
        let sender = match origin {
            Origin::Unix => own(Place::Local),
            Origin::Peer(address) if address.is_loopback() => own(Place::Network),
            Origin::Peer(address) => {
                if self.peer != Some(address) {
                    self.peer_text.clear();
                    let _ = write!(self.peer_text, "{address}");
                    self.peer = Some(address);
                }
                Sender { name: &self.peer_text, address: &self.peer_text, place: Place::Network }
            }
        };
        let arrival = Arrival { bytes, end, received, sender };
        if let Outcome::Written { form, text } = self.parser.record(&arrival, &mut self.frames) {
            if form == Form::Unknown {
                self.inlet.tally().losses.add(Loss::Unparsed, 1);
            }
            if text == Text::Replaced {
                self.inlet.tally().losses.add(Loss::InvalidText, 1);
            }
        }
    }

    /// Counts a loss.
    pub(super) fn lose(&self, loss: Loss, count: u64) {
        self.inlet.tally().losses.add(loss, count);
    }

    /// Returns whether there are enough records to hand them on.
    pub(super) fn is_full(&self) -> bool {
        self.frames.bytes().len() >= FULL
    }

    /// Hands the records on without waiting.
    pub(super) fn offer(&mut self) {
        self.inlet.offer(&Table::Syslog, &self.frames);
        self.frames.clear();
    }

    /// Hands the records on when the queues have room.
    pub(super) async fn deliver(&mut self) {
        self.inlet.deliver(&Table::Syslog, &self.frames).await;
        self.frames.clear();
    }

    /// Gives up the records that no queue took.
    pub(super) fn give_up(&mut self) {
        self.lose(Loss::Refused, self.frames.count().into());
        self.frames.clear();
    }

    /// Takes out the records that no queue took.
    pub(super) fn take_out(&mut self) -> Frames {
        std::mem::take(&mut self.frames)
    }

    /// Takes records that were taken out of another.
    pub(super) fn put_back(&mut self, records: Frames) {
        self.frames = records;
    }

    /// Returns what the source counts.
    pub(super) fn tally(&self) -> &SourceTally {
        self.inlet.tally()
    }

    /// Gives memory back after a peak.
    pub(super) fn shrink(&mut self) {
        self.frames.shrink(KEPT);
    }
}

/// Returns the time.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or_default())
}
