//! One channel: its subscription, where it is, and what stands in its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use agent_lite_windows::event_log::Bookmark;
use agent_lite_windows::event_log::Event;
use agent_lite_windows::event_log::EventLogError;
use agent_lite_windows::event_log::Messages;
use agent_lite_windows::event_log::Renderer;
use agent_lite_windows::event_log::Signal;
use agent_lite_windows::event_log::Start;
use agent_lite_windows::event_log::Subscription;
use agent_lite_windows::event_log::newest;

use super::bookmarks::Left;
use super::gaps::Gaps;
use super::reader::Batch;
use crate::config::settings::ChannelQuery;
use crate::config::settings::ReadFrom;
use crate::counters::Loss;
use crate::counters::SourceTally;
use crate::events::Event as Say;
use crate::events::say;
use crate::parse::windows_event::WindowsEvent;
use crate::record::Frames;
use crate::record::Timestamp;

/// Most events that are taken from a channel at once.
const BATCH: usize = 128;
/// Bytes of records that end a batch before: 160 KiB.
const BATCH_BYTES: usize = 160 * 1024;
/// How long a channel that failed is left alone, at first and at most.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));

/// A channel of a source.
pub(super) struct Channel {
    wanted: ChannelQuery,
    from: ReadFrom,
    subscription: Option<Subscription>,
    bookmark: Option<Bookmark>,
    /// It was begun behind the newest event, which is to be written down.
    begun: bool,
    gaps: Gaps,
    /// The events before the next one are gone.
    gone: bool,
    most: usize,
    /// Events that did not fit the last batch.
    waiting: VecDeque<Event>,
    again: Instant,
    wait: Duration,
    failing: bool,
}

/// What the channels of a source share.
pub(super) struct Tools {
    pub(super) source: String,
    pub(super) tally: SourceTally,
    pub(super) renderer: Renderer,
    pub(super) messages: Messages,
}

impl Channel {
    /// Begins where it was left, if it was there before.
    pub(super) fn new(wanted: ChannelQuery, from: ReadFrom, left: Option<&Left>, tools: &Tools) -> Self {
        let bookmark = left.and_then(|left| match Bookmark::of_xml(&left.bookmark) {
            Ok(bookmark) => Some(bookmark),
            Err(error) => {
                let text =
                    format_args!("{}: its bookmark is none: {error}; it is begun anew", wanted.channel);
                say(Say::SourceTrouble, &tools.source, text);
                None
            }
        });
        let last = left.filter(|_| bookmark.is_some()).and_then(|left| left.record);
        Self {
            wanted,
            from,
            subscription: None,
            bookmark,
            begun: false,
            gaps: Gaps::behind(last),
            gone: false,
            most: BATCH,
            waiting: VecDeque::new(),
            again: Instant::now(),
            wait: WAITS.0,
            failing: false,
        }
    }

    /// Returns when a channel that failed is tried again.
    pub(super) fn again(&self) -> Option<Instant> {
        self.subscription.is_none().then_some(self.again)
    }

    /// Returns the next events, if there are any now.
    pub(super) fn turn(&mut self, tools: &mut Tools, signal: &Arc<Signal>) -> Option<Batch> {
        if self.subscription.is_none() {
            if Instant::now() < self.again {
                return None;
            }
            match self.open(signal, tools) {
                Ok(subscription) => self.subscription = Some(subscription),
                Err(error) => return self.failed(error, tools),
            }
        }
        if !self.waiting.is_empty() || std::mem::take(&mut self.begun) {
            return Some(self.batch(tools));
        }
        match self.subscription.as_mut()?.next(self.most) {
            Ok(events) => {
                self.works(tools);
                self.waiting.extend(events);
                (!self.waiting.is_empty()).then(|| self.batch(tools))
            }
            // The service's answer has a largest size: fewer events fit it.
            Err(EventLogError::Batch) if self.most > 1 => {
                (self.most, self.subscription) = (self.most / 2, None);
                None
            }
            Err(error) => self.failed(error, tools),
        }
    }

    fn open(&mut self, signal: &Arc<Signal>, tools: &Tools) -> Result<Subscription, EventLogError> {
        if self.bookmark.is_none() && self.from == ReadFrom::End {
            self.begin_at_the_end();
        }
        let ChannelQuery { channel, query } = &self.wanted;
        let Some(bookmark) = &self.bookmark else {
            let start = match self.from {
                ReadFrom::Beginning => Start::Oldest,
                ReadFrom::End => Start::Now,
            };
            return Subscription::open(channel, query, start, signal);
        };
        match Subscription::open(channel, query, Start::Behind(bookmark), signal) {
            Err(EventLogError::Gone) => {
                if !std::mem::replace(&mut self.gone, true) {
                    let text =
                        "the event at which it was left is gone: the log was cleared or has overwritten it";
                    say(Say::SourceTrouble, &tools.source, format_args!("{channel}: {text}"));
                }
                Subscription::open(channel, query, Start::BehindOrNext(bookmark), signal)
            }
            opened => opened,
        }
    }

    /// Makes the end of a channel a place: what is written from now on is read, also if the subscription fails before it
    /// gave anything. Where that cannot be told, the channel is begun with what comes next.
    fn begin_at_the_end(&mut self) {
        match newest(&self.wanted.channel, &self.wanted.query) {
            Ok(Some(bookmark)) => (self.bookmark, self.begun) = (Some(bookmark), true),
            // All events that it will ever have are new.
            Ok(None) => self.from = ReadFrom::Beginning,
            Err(_) => {}
        }
    }

    fn failed(&mut self, error: EventLogError, tools: &Tools) -> Option<Batch> {
        // Those that wait come again behind the bookmark.
        (self.subscription, self.waiting) = (None, VecDeque::new());
        self.again = Instant::now() + self.wait;
        let again = self.wait;
        self.wait = (self.wait * 2).min(WAITS.1);
        tools.tally.notes.say(&self.wanted.channel, format!("{error}; tried again after {again:?}"));
        if !std::mem::replace(&mut self.failing, true) {
            tools.tally.losses.add(Loss::Unreadable, 1);
            let text = format_args!("{}: {error}; the other channels go on", self.wanted.channel);
            say(Say::SourceTrouble, &tools.source, text);
        }
        None
    }

    fn works(&mut self, tools: &Tools) {
        self.wait = WAITS.0;
        if std::mem::take(&mut self.failing) {
            tools.tally.notes.take_back(&self.wanted.channel);
        }
    }

    /// Makes rows of the events that wait, as many as fit.
    fn batch(&mut self, tools: &mut Tools) -> Batch {
        let mut frames = Frames::default();
        while frames.bytes().len() < BATCH_BYTES {
            let Some(event) = self.waiting.pop_front() else { break };
            self.push(&event, &mut frames, tools);
            if let Err(error) = self.mark(&event) {
                let _ = self.failed(error, tools);
                break;
            }
        }
        let bookmark = match self.bookmark.as_mut().map(Bookmark::xml) {
            Some(Ok(bookmark)) => bookmark,
            // The rows go on without one: after a restart they would come again.
            Some(Err(error)) => {
                let _ = self.failed(error, tools);
                String::new()
            }
            None => String::new(),
        };
        let ChannelQuery { channel, query } = self.wanted.clone();
        Batch { frames, left: Left { channel, query, bookmark, record: self.gaps.last() } }
    }

    fn mark(&mut self, event: &Event) -> Result<(), EventLogError> {
        match &mut self.bookmark {
            Some(bookmark) => bookmark.move_behind(event),
            none => none.insert(Bookmark::new()?).move_behind(event),
        }
    }

    fn push(&mut self, event: &Event, frames: &mut Frames, tools: &mut Tools) {
        let now = Timestamp(jiff::Timestamp::now().as_microsecond());
        let xml = match tools.renderer.xml(event) {
            Ok(xml) => xml,
            Err(error) => {
                tools.tally.losses.add(Loss::Damaged, 1);
                say(Say::SourceTrouble, &tools.source, format_args!("{}: {error}", self.wanted.channel));
                return;
            }
        };
        let mut row = match WindowsEvent::parse(&xml) {
            Ok(row) => row,
            Err(_) => {
                tools.tally.losses.add(Loss::Unparsed, 1);
                WindowsEvent::unreadable(&xml, &self.wanted.channel, None)
            }
        };
        if row.description.is_none() {
            row.description = tools.messages.of(&row.source, event);
        }
        self.count_missed(&row, tools);
        row.write(frames, now);
    }

    /// Numbers tell what is missing only where all events of a channel are asked for, and only of the channel itself:
    /// a forwarded event has the number that it had on its own machine.
    fn count_missed(&mut self, row: &WindowsEvent, tools: &Tools) {
        let gone = std::mem::take(&mut self.gone);
        let Some(record) = row.record_id.filter(|_| row.event_log.eq_ignore_ascii_case(&self.wanted.channel))
        else {
            return tools.tally.losses.add(Loss::Missed, u64::from(gone));
        };
        let missing = self.gaps.step(record);
        let known = if self.wanted.query == "*" { missing } else { 0 };
        tools.tally.losses.add(Loss::Missed, known.max(u64::from(gone)));
    }
}
