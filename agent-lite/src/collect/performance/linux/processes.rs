use std::cmp::Reverse;
use std::collections::HashMap;

use rustix::param::clock_ticks_per_second;
use rustix::param::page_size;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::rows::Rows;
use super::sampler::Tables;
use super::system::processes;
use crate::parse::proc::process;
use crate::parse::proc::process::Process;
use crate::parse::proc::reading::Reading;

/// Most processes that are looked at.
const MOST_PROCESSES: usize = 8192;
/// Most names of processes at one sampling: those that used the processors most, then the largest.
const MOST_NAMES: usize = 200;
/// After so many processes others get their turn.
const TURN: usize = 64;
/// The place of `Virtual Shared Memory`, which costs a file more for each process.
const SHARED: usize = 3;

/// What the object `Process` keeps: the ticks of each process, by its number and its start.
pub(super) struct Processes {
    at: Option<Instant>,
    seen: HashMap<(u32, u64), (u64, u64)>,
    newest: u64,
}

/// The processes of one name together.
#[derive(Default)]
struct Sum {
    user: u64,
    system: u64,
    resident: u64,
    shared: u64,
}

impl Processes {
    pub(super) fn new() -> Self {
        Self { at: None, seen: HashMap::new(), newest: 0 }
    }

    pub(super) async fn sample(&mut self, tables: &mut Tables, now: Instant, rows: &mut Rows<'_>) {
        let Ok(found) = processes(&tables.roots.proc) else { return rows.lose(1) };
        let numbers: Vec<u32> = found.take(MOST_PROCESSES + 1).collect();
        rows.lose(numbers.len().saturating_sub(MOST_PROCESSES));
        let mut next = HashMap::with_capacity(numbers.len().min(MOST_PROCESSES));
        let mut sums: HashMap<String, Sum> = HashMap::new();
        let mut newest = 0;
        for (at, number) in numbers.iter().take(MOST_PROCESSES).enumerate() {
            if at % TURN == TURN - 1 {
                yield_now().await;
            }
            let folder = tables.roots.proc.join(number.to_string());
            // One that has ended meanwhile is nobody's loss.
            let Ok(text) = tables.buffer.fill_from(&folder.join("stat")) else { continue };
            let Some(process) = Process::read(text).filter(|process| !process.kernel) else { continue };
            let name = String::from_utf8_lossy(process.name).into_owned();
            let key = (*number, process.started);
            next.insert(key, (process.user, process.system));
            newest = newest.max(process.started);
            if !rows.selection().has_instance(&name) {
                continue;
            }
            let grown = self.grown(key, &process);
            let resident = process.resident;
            let sum = sums.entry(name).or_default();
            sum.add(grown, resident);
            if rows.selection().has_counter(SHARED) {
                let text = tables.buffer.fill_from(&folder.join("statm")).ok();
                sum.shared += text.and_then(process::shared).unwrap_or_default();
            }
        }
        self.report(sums, now, rows);
        *self = Self { at: Some(now), seen: next, newest };
    }

    /// Returns the ticks since the sampling before. All those of a process that started since; none of one that
    /// was not seen though it was there.
    fn grown(&self, key: (u32, u64), process: &Process<'_>) -> (u64, u64) {
        match self.seen.get(&key) {
            Some((user, system)) => {
                (process.user.saturating_sub(*user), process.system.saturating_sub(*system))
            }
            None if process.started >= self.newest => (process.user, process.system),
            None => (0, 0),
        }
    }

    fn report(&self, sums: HashMap<String, Sum>, now: Instant, rows: &mut Rows<'_>) {
        let mut sums: Vec<(String, Sum)> = sums.into_iter().collect();
        let rank =
            |name: &str, sum: &Sum| (Reverse(sum.user + sum.system), Reverse(sum.resident), name.to_owned());
        if sums.len() > MOST_NAMES {
            sums.sort_by_cached_key(|(name, sum)| rank(name, sum));
            rows.lose(sums.split_off(MOST_NAMES).len());
        }
        let seconds = self.at.map(|at| now.duration_since(at).as_secs_f64());
        let ticks = clock_ticks_per_second() as f64;
        let percent = |grown: u64| match seconds {
            Some(seconds) if seconds > 0.0 => Reading::Value(grown as f64 * 100.0 / ticks / seconds),
            _ => Reading::Absent,
        };
        let kibibytes = |pages: u64| Reading::Value(pages as f64 * page_size() as f64 / 1024.0);
        for (name, sum) in sums {
            let readings =
                [percent(sum.user), percent(sum.system), kibibytes(sum.resident), kibibytes(sum.shared)];
            rows.add(&name, &readings);
        }
    }
}

impl Sum {
    fn add(&mut self, (user, system): (u64, u64), resident: u64) {
        self.user = self.user.saturating_add(user);
        self.system = self.system.saturating_add(system);
        self.resident = self.resident.saturating_add(resident);
    }
}
