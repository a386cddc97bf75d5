//! A folder of logs, a reader with a queue, and what has arrived.

use std::fs;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Context as TaskContext;
use std::task::Poll;
use std::task::Waker;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use agent_lite::collect::files::Context;
use agent_lite::collect::files::run;
use agent_lite::collect::inlet::Inlet;
use agent_lite::config::settings::Encoding;
use agent_lite::config::settings::FilesSettings;
use agent_lite::config::settings::ReadFrom;
use agent_lite::config::settings::RecordStart;
use agent_lite::counters::Counters;
use agent_lite::counters::Loss;
use agent_lite::record::Column;
use agent_lite::record::Record;
use agent_lite::record::frame_at;
use agent_lite::spool::Queue;
use agent_lite::spool::QueueSettings;
use agent_lite::spool::WhenFull;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// How long a condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of logs, a reader with a queue, and what has arrived.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) settings: FilesSettings,
    pub(crate) counters: Counters,
    pub(crate) queue: Queue,
    pub(crate) arrived: Mutex<Vec<(String, String)>>,
    _tender: Tender,
}

/// Tends the queue as long as the stage is there.
struct Tender(CancellationToken);

impl Drop for Tender {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A reader in a thread of its own.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    thread: thread::JoinHandle<()>,
}

impl Stage {
    pub(crate) fn new(pattern: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        let settings = FilesSettings {
            paths: vec![folder.path().join("logs").join(pattern).to_str().unwrap().to_owned()],
            table: "App_CL".parse().unwrap(),
            record: RecordStart::NewLine,
            encoding: Encoding::Utf8,
            from: ReadFrom::Beginning,
            look: Duration::from_millis(400),
            flush_after: Duration::from_secs(1),
        };
        let counters = Counters::new();
        let queue = QueueSettings {
            folder: folder.path().join("queue"),
            cap: 1 << 30,
            when_full: WhenFull::Block,
            sync: Duration::from_millis(100),
            seal_after: Duration::from_millis(100),
            segment: 1 << 20,
        };
        let queue = Queue::open(queue, counters.workspace("w")).unwrap();
        let (tended, stop) = (queue.clone(), CancellationToken::new());
        let stopped = stop.clone();
        thread::spawn(move || runtime().block_on(stopped.run_until_cancelled(tended.tend())));
        Self { folder, settings, counters, queue, arrived: Mutex::default(), _tender: Tender(stop) }
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(name)
    }

    pub(crate) fn positions(&self) -> PathBuf {
        self.folder.path().join("state/positions/files.app.json")
    }

    pub(crate) fn task(&self, stop: &CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let context = Context { state: self.folder.path().join("state"), source: "files.app".to_owned() };
        let inlet = Inlet::new(vec![self.queue.clone()], self.counters.source("files.app"));
        run(self.settings.clone(), context, inlet, stop.clone())
    }

    pub(crate) fn start(&self) -> Running {
        let stop = CancellationToken::new();
        let task = self.task(&stop);
        let thread = thread::spawn(move || runtime().block_on(task));
        Running { stop, thread }
    }

    /// Takes out of the queue what is there.
    pub(crate) fn drain(&self) {
        let mut context = TaskContext::from_waker(Waker::noop());
        let mut arrived = self.arrived.lock().unwrap();
        let mut bytes = Vec::new();
        runtime().block_on(self.queue.flush());
        while let Poll::Ready(segment) = pin!(self.queue.next()).poll(&mut context) {
            runtime().block_on(segment.load(&mut bytes)).unwrap();
            let mut rest = bytes.as_slice();
            while let Ok(frame) = frame_at(rest) {
                let record = Record::decode(frame.payload).unwrap();
                let said = record.text(Column::RawData).or_else(|| record.text(Column::CsUriStem)).unwrap();
                let path = record.text(Column::FilePath).unwrap();
                arrived.push((said.to_owned(), path.to_owned()));
                rest = &rest[frame.length..];
            }
            self.queue.remove(&segment);
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.drain();
        self.arrived.lock().unwrap().iter().map(|(text, _)| text.clone()).collect()
    }

    /// Waits until so many records have arrived.
    pub(crate) fn wait(&self, count: usize) -> Vec<String> {
        self.until(&format!("{count} records"), || self.texts().len() >= count);
        self.texts()
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            let texts = self.texts();
            let tail = &texts[texts.len().saturating_sub(5)..];
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: {} records, {tail:?}; {:?}; {}",
                texts.len(),
                self.counters.losses(),
                fs::read_to_string(self.positions()).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the text stands in the positions so many times.
    pub(crate) fn until_saved(&self, text: &str, times: usize) {
        let holds =
            || fs::read_to_string(self.positions()).unwrap_or_default().matches(text).count() == times;
        self.until(&format!("{times} times {text} in the positions"), holds);
    }

    pub(crate) fn lost(&self, loss: Loss) -> u64 {
        self.counters.source("files.app").losses.count(loss)
    }
}

impl Running {
    pub(crate) fn stop(self) {
        self.stop.cancel();
        self.thread.join().unwrap();
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
}
