//! The thread that goes round the channels, and the task that takes what it reads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use agent_lite_windows::event_log::Messages;
use agent_lite_windows::event_log::Renderer;
use agent_lite_windows::event_log::Signal;
use tokio::sync::mpsc;
use tokio::task;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::bookmarks;
use super::bookmarks::Bookmarks;
use super::bookmarks::Left;
use super::channel::Channel;
use super::channel::Tools;
use crate::collect::apart::apart;
use crate::collect::inlet::Inlet;
use crate::config::settings::ChannelQuery;
use crate::config::settings::WindowsEventsSettings;
use crate::events::Event;
use crate::events::say;
use crate::record::Frames;
use crate::record::Table;

/// Most batches that are read ahead of the queues.
const AHEAD: usize = 2;
/// How long the reader waits for the event log's signal before it asks for events without one.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long bookmarks that cannot be read, or a signal that cannot be made, are waited for.
const AGAIN_LATER: Duration = Duration::from_secs(10);

/// What a source has besides its settings.
#[derive(Clone, Debug)]
pub struct Context {
    /// The state folder; bookmarks lie in `positions/` below.
    pub state: PathBuf,
    /// The source's name.
    pub source: String,
}

/// Some events of one channel, and where it is behind them.
pub(super) struct Batch {
    pub(super) frames: Frames,
    pub(super) left: Left,
}

/// Reads channels until it is stopped.
pub async fn run(settings: WindowsEventsSettings, context: Context, inlet: Inlet, stop: CancellationToken) {
    let work = async {
        let bookmarks = Bookmarks::new(&context.state, &context.source);
        let left = load(&bookmarks, &context.source).await;
        inlet.tally().notes.clear();
        let signal = signal(&context.source).await;
        let (sender, receiver) = mpsc::channel(AHEAD);
        // Whoever drops this wakes the thread, which finds nobody who takes its batches.
        let _awake = Awake(Arc::clone(&signal));
        let tools = Tools {
            source: context.source.clone(),
            tally: inlet.tally().clone(),
            renderer: Renderer::default(),
            messages: Messages::default(),
        };
        let (known, wanted) = (left.clone(), settings.queries.clone());
        match apart("windows_events", move || read(&settings, &known, tools, &signal, &sender)) {
            Ok(reading) => {
                take(&inlet, &context.source, bookmarks, wanted, left, receiver).await;
                if reading.await.is_err() {
                    let text = "its reader broke off: this is a mistake in agent-lite, please report it";
                    say(Event::SourceFailed, &context.source, text);
                }
            }
            Err(error) => say(Event::SourceFailed, &context.source, error),
        }
    };
    stop.run_until_cancelled(work).await;
}

struct Awake(Arc<Signal>);

impl Drop for Awake {
    fn drop(&mut self) {
        // Without it the thread looks by itself, within a second.
        let _ = self.0.give();
    }
}

async fn load(bookmarks: &Bookmarks, source: &str) -> Vec<Left> {
    let mut said = false;
    loop {
        match bookmarks.load() {
            Ok((left, None)) => return left,
            Ok((left, Some(damage))) => {
                say(Event::SourceTrouble, source, format_args!("{damage}; channels are begun anew"));
                return left;
            }
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    say(Event::SourceFailed, source, format_args!("its bookmarks cannot be read: {error}"));
                }
                time::sleep(AGAIN_LATER).await;
            }
        }
    }
}

async fn signal(source: &str) -> Arc<Signal> {
    let mut said = false;
    loop {
        match Signal::new() {
            Ok(signal) => return Arc::new(signal),
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    say(
                        Event::SourceFailed,
                        source,
                        format_args!("Windows gives it no event object: {error}"),
                    );
                }
                time::sleep(AGAIN_LATER).await;
            }
        }
    }
}

/// Goes round the channels until nobody takes the batches any more.
fn read(
    settings: &WindowsEventsSettings,
    left: &[Left],
    mut tools: Tools,
    signal: &Arc<Signal>,
    sender: &mpsc::Sender<Batch>,
) {
    let channel = |wanted: &ChannelQuery| {
        let left = left.iter().find(|left| left.channel == wanted.channel && left.query == wanted.query);
        Channel::new(wanted.clone(), settings.from, left, &tools)
    };
    let mut channels: Vec<Channel> = settings.queries.iter().map(channel).collect();
    while !sender.is_closed() {
        // What comes while the channels are looked at gives it again.
        let _ = signal.take_back();
        let mut more = false;
        for channel in &mut channels {
            if let Some(batch) = channel.turn(&mut tools, signal) {
                more = true;
                if sender.blocking_send(batch).is_err() {
                    return;
                }
            }
        }
        if !more && !sender.is_closed() {
            let again = channels.iter().filter_map(Channel::again).min();
            let wait = again.map_or(LONGEST_WAIT, |again| again.saturating_duration_since(Instant::now()));
            signal.wait(wait.min(LONGEST_WAIT));
        }
    }
}

async fn take(
    inlet: &Inlet,
    source: &str,
    bookmarks: Bookmarks,
    wanted: Vec<ChannelQuery>,
    mut left: Vec<Left>,
    mut batches: mpsc::Receiver<Batch>,
) {
    let mut failed = false;
    while let Some(batch) = batches.recv().await {
        let delivery = inlet.deliver(&Table::Event, &batch.frames).await;
        inlet.durable(&delivery).await;
        if batch.left.bookmark.is_empty() {
            continue;
        }
        bookmarks::put(&mut left, batch.left);
        bookmarks::forget(&mut left, &wanted);
        let (place, image) = (bookmarks.clone(), left.clone());
        match task::spawn_blocking(move || place.save(&image)).await {
            Ok(Ok(())) => failed = false,
            Ok(Err(error)) if !std::mem::replace(&mut failed, true) => {
                say(Event::SourceFailed, source, format_args!("its bookmarks cannot be written: {error}"));
            }
            _ => {}
        }
    }
}
