//! Reads one file, apart from the runtime. Whatever is in it, the reader goes on behind it.

use std::fs::File;
use std::io::Seek;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use evtx::EvtxChunkData;
use evtx::EvtxParser;
use evtx::EvtxRecord;
use evtx::IntoIterChunks;
use evtx::ParserSettings;
use evtx::err::EvtxError;
use tokio::sync::mpsc;

use super::mark::Mark;
use crate::parse::windows_event::WindowsEvent;
use crate::record::Frames;
use crate::record::Timestamp;

/// How many bytes of records make a batch.
const BATCH: usize = 160 * 1024;
/// Bytes of a chunk of a file (MS-EVEN6, and every description of the format).
const CHUNK: u64 = 64 * 1024;
/// Most damaged pieces in a row before the rest of a file is left: a file of nothing else is none.
const MOST_DAMAGED: u64 = 100_000;

/// Some events, and where the reader is behind them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) frames: Frames,
    pub(super) mark: Mark,
    /// Events since the beginning of the file that were read now.
    pub(super) events: u64,
    /// Bytes of the file that were gone through.
    pub(super) read: u64,
    /// Pieces that cannot be read.
    pub(super) damaged: u64,
    /// Events that are kept as they came.
    pub(super) unparsed: u64,
}

/// The reading of one file.
pub(super) struct Import {
    /// Where earlier readings of files ended.
    marks: Vec<Mark>,
    size: u64,
    sender: mpsc::Sender<Batch>,
    batch: Batch,
    chunks: u64,
    gone: bool,
}

impl Import {
    pub(super) fn new(marks: Vec<Mark>, size: u64, sender: mpsc::Sender<Batch>) -> Self {
        Self { marks, size, sender, batch: Batch::default(), chunks: 0, gone: false }
    }

    /// Reads the file on from the furthest of the marks that it has, else from its beginning. Stops when nobody
    /// takes the batches any more.
    pub(super) fn read(mut self, file: File) -> Result<(), String> {
        let again = file.try_clone().map_err(|error| error.to_string())?;
        let skip = self.steps_to_a_mark(again)?;
        let (mut steps, mut damaged) = (0u64, 0u64);
        let mut chunks = Chunks::open(file)?;
        while let Some(chunk) = chunks.next() {
            self.chunks += 1;
            let begun = steps;
            let whole = chunk.is_ok_and(|mut chunk| {
                each(&mut chunk, |record| {
                    match record {
                        Ok(record) => {
                            steps += 1;
                            self.batch.mark.step(step(&record));
                            damaged = 0;
                            if steps > skip {
                                self.take(record);
                            }
                        }
                        Err(_) if steps >= skip => {
                            self.batch.damaged += 1;
                            damaged += 1;
                        }
                        Err(_) => {}
                    }
                    !self.gone
                })
            });
            if !whole && begun >= skip {
                self.batch.damaged += 1;
                damaged += 1;
            }
            if self.gone || damaged > MOST_DAMAGED {
                break;
            }
        }
        if chunks.broke {
            self.batch.damaged += 1;
        }
        self.send();
        Ok(())
    }

    /// Returns how many events of a file were read before.
    fn steps_to_a_mark(&self, file: File) -> Result<u64, String> {
        let mut marks: Vec<&Mark> = self.marks.iter().filter(|mark| !mark.is_empty()).collect();
        marks.sort_by_key(|mark| mark.last());
        let (mut way, mut steps, mut found) = (Mark::default(), 0u64, 0u64);
        if marks.is_empty() {
            return Ok(0);
        }
        let mut chunks = Chunks::open(file)?;
        while let Some(chunk) = chunks.next() {
            let Ok(mut chunk) = chunk else { continue };
            each(&mut chunk, |record| {
                if let Ok(record) = record {
                    let last = step(&record);
                    way.step(last);
                    steps += 1;
                    let from = marks.partition_point(|mark| mark.last() < Some(last));
                    let here = marks.iter().skip(from).take_while(|mark| mark.last() == Some(last));
                    if here.into_iter().any(|mark| mark.is_at(&way)) {
                        found = steps;
                    }
                }
                !self.sender.is_closed()
            });
        }
        Ok(found)
    }

    fn take(&mut self, record: EvtxRecord<'_>) {
        let (id, time) = step(&record);
        let event = match record.into_xml() {
            Ok(rendered) => WindowsEvent::parse(&rendered.data).unwrap_or_else(|_| {
                self.batch.unparsed += 1;
                WindowsEvent::unreadable(&rendered.data, "", Some(id))
            }),
            Err(_) => {
                self.batch.damaged += 1;
                return;
            }
        };
        event.write(&mut self.batch.frames, Timestamp(time));
        self.batch.events += 1;
        if self.batch.frames.bytes().len() >= BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        let next = Batch { mark: self.batch.mark.clone(), events: self.batch.events, ..Batch::default() };
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.read = (self.chunks * CHUNK).min(self.size);
        self.gone |= self.sender.blocking_send(batch).is_err();
    }
}

/// What the reading of a whole file gave. For the fuzzer.
#[cfg(fuzzing)]
#[derive(Debug)]
pub struct Whole {
    /// The records, in batches.
    pub frames: Vec<Frames>,
    /// Events that were read.
    pub events: u64,
    /// Events that another reading finds, from where this one ended.
    pub again: u64,
    /// Pieces that cannot be read.
    pub damaged: u64,
}

/// Reads a whole file as a source does, and once more from where that ended.
#[cfg(fuzzing)]
pub fn read_whole(file: &File, size: u64) -> Result<Whole, String> {
    let read = |marks| {
        let file = file.try_clone().map_err(|error| error.to_string())?;
        let (sender, mut receiver) = mpsc::channel(super::AHEAD);
        let reader = std::thread::spawn(move || Import::new(marks, size, sender).read(file));
        let batches: Vec<Batch> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        reader.join().map_err(|_| "the reader broke off".to_owned())??;
        Ok::<_, String>(batches)
    };
    let batches = read(Vec::new())?;
    let last = |batches: &[Batch]| {
        batches.last().map_or((0, Mark::default()), |last| (last.events, last.mark.clone()))
    };
    let (events, mark) = last(&batches);
    let again = if mark.is_empty() { 0 } else { last(&read(vec![mark])?).0 };
    let damaged = batches.iter().map(|batch| batch.damaged).sum();
    Ok(Whole { frames: batches.into_iter().map(|batch| batch.frames).collect(), events, again, damaged })
}

fn step(record: &EvtxRecord<'_>) -> (u64, i64) {
    (record.event_record_id, record.timestamp.as_microsecond())
}

/// The chunks of a file in the order of their events.
struct Chunks {
    chunks: IntoIterChunks<File>,
    broke: bool,
}

impl Chunks {
    fn open(mut file: File) -> Result<Self, String> {
        file.rewind().map_err(|error| error.to_string())?;
        let opened = behind_a_wall(|| EvtxParser::from_read_seek(file).map(EvtxParser::into_chunks));
        match opened {
            Some(Ok(chunks)) => Ok(Self { chunks, broke: false }),
            Some(Err(error)) => Err(format!("it is no event log: {}", causes(&error))),
            None => Err("it is no event log: its head makes the reader break off".to_owned()),
        }
    }

    fn next(&mut self) -> Option<Result<EvtxChunkData, EvtxError>> {
        let next = behind_a_wall(|| self.chunks.next());
        self.broke |= next.is_none();
        next.flatten()
    }
}

/// Goes over the records of a chunk while they are taken; returns whether the chunk could be read at all.
fn each(chunk: &mut EvtxChunkData, mut take: impl FnMut(Result<EvtxRecord<'_>, EvtxError>) -> bool) -> bool {
    let settings = Arc::new(ParserSettings::new().indent(false));
    let read = behind_a_wall(|| {
        let Ok(mut chunk) = chunk.parse(settings) else { return false };
        for record in chunk.iter() {
            if !take(record) {
                break;
            }
        }
        true
    });
    read.unwrap_or(false)
}

/// Runs the foreign reader. It forbids itself unsafe code and bounds its work, but nobody vows that no bytes make it
/// panic; that must cost a chunk and not the source. What is borrowed holds plain counts and whole records.
fn behind_a_wall<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
