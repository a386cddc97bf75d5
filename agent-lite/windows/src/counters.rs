//! Performance counters by their English names, whatever language Windows speaks (Performance Data Helper).

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use windows_sys::Win32::System::Performance::PDH_CSTATUS_NEW_DATA;
use windows_sys::Win32::System::Performance::PDH_CSTATUS_VALID_DATA;
use windows_sys::Win32::System::Performance::PDH_FMT_COUNTERVALUE;
use windows_sys::Win32::System::Performance::PDH_FMT_COUNTERVALUE_ITEM_W;
use windows_sys::Win32::System::Performance::PDH_FMT_DOUBLE;
use windows_sys::Win32::System::Performance::PDH_FMT_LARGE;
use windows_sys::Win32::System::Performance::PDH_HCOUNTER;
use windows_sys::Win32::System::Performance::PDH_HQUERY;
use windows_sys::Win32::System::Performance::PDH_MORE_DATA;
use windows_sys::Win32::System::Performance::PdhAddEnglishCounterW;
use windows_sys::Win32::System::Performance::PdhCloseQuery;
use windows_sys::Win32::System::Performance::PdhCollectQueryData;
use windows_sys::Win32::System::Performance::PdhGetFormattedCounterArrayW;
use windows_sys::Win32::System::Performance::PdhGetFormattedCounterValue;
use windows_sys::Win32::System::Performance::PdhOpenQueryW;

use crate::wide::text_at;
use crate::wide::wide;

/// Percentages of several processors together may be more than 100.
const NO_CAP: u32 = 0x8000;
/// Largest answer of one counter for all its instances, in bytes.
const LARGEST_ANSWER: u32 = 16 * 1024 * 1024;
/// How often the size of an answer may have grown between the question and the answer.
const TRIES: usize = 4;
/// What is said of a counter of another query: PDH's word for a handle that is none.
const NOT_MINE: PdhError = PdhError(0xC000_0BBC);

/// How many queries were opened: the next one's number.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// What PDH says when it has no value: one of its codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PdhError(pub u32);

impl fmt::Display for PdhError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0 {
            0xC000_0BB8 => "there is no such object",
            0xC000_0BB9 => "there is no such counter",
            0x8000_07D1 => "there is no such instance",
            0xC000_0BC0 => "this is no path of a counter",
            0x8000_07D5 => "there is no data yet",
            0xC000_0BC6 | 0xC000_0BBA => "its data is not valid",
            _ => return write!(f, "PDH answers with {:#010x}", self.0),
        };
        write!(f, "{what} ({:#010x})", self.0)
    }
}

impl std::error::Error for PdhError {}

/// Some counters that are collected together; closed when dropped.
#[derive(Debug)]
pub struct Query {
    handle: PDH_HQUERY,
    /// No other query has it, also not one that is closed already.
    number: u64,
    buffer: Vec<u64>,
}

// SAFETY: a query is no thread's own. All calls take it by `&mut`, so that no two threads are in it at once.
unsafe impl Send for Query {}

/// One counter of a query, or one for each instance. It belongs to the query that made it.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    handle: PDH_HCOUNTER,
    query: u64,
}

// SAFETY: it is passed to PDH only by the query that made it, which is open and borrowed then.
unsafe impl Send for Counter {}

impl Query {
    /// Opens an empty query of this machine.
    pub fn open() -> Result<Self, PdhError> {
        let mut handle = ptr::null_mut();
        // SAFETY: null means live data, and `handle` is a place for a handle.
        checked(unsafe { PdhOpenQueryW(ptr::null(), 0, &mut handle) })?;
        Ok(Self { handle, number: OPENED.fetch_add(1, Ordering::Relaxed), buffer: Vec::new() })
    }

    /// Adds a counter by its English path: `\Processor(_Total)\% Processor Time`; an instance may be `*`.
    pub fn add(&mut self, path: &str) -> Result<Counter, PdhError> {
        const BAD_PATH: PdhError = PdhError(0xC000_0BC0);
        let path = wide(path).map_err(|_: io::Error| BAD_PATH)?;
        let mut counter = ptr::null_mut();
        // SAFETY: the query is open, the path ends in 0, and `counter` is a place for a handle.
        checked(unsafe { PdhAddEnglishCounterW(self.handle, path.as_ptr(), 0, &mut counter) })?;
        Ok(Counter { handle: counter, query: self.number })
    }

    /// Reads all counters now: a rate is between this reading and the one before. May take long.
    pub fn collect(&mut self) -> Result<(), PdhError> {
        // SAFETY: the query is open.
        checked(unsafe { PdhCollectQueryData(self.handle) })
    }

    /// Returns the value of a counter that has one.
    pub fn value(&mut self, counter: Counter) -> Result<f64, PdhError> {
        let value = self.formatted(counter, PDH_FMT_DOUBLE | NO_CAP)?;
        // SAFETY: asked for as a double, the value is one, and every pattern of its bits is.
        let double = unsafe { value.Anonymous.doubleValue };
        if !double.is_subnormal() {
            return Ok(double);
        }
        // No counter is so small: Wine puts the bits of the whole number there.
        let value = self.formatted(counter, PDH_FMT_LARGE | NO_CAP)?;
        // SAFETY: asked for as a whole number, the value is one.
        Ok(unsafe { value.Anonymous.largeValue } as f64)
    }

    /// Returns instances and their values of a counter that was added with `*`. Some may have none, and stay away.
    pub fn values(&mut self, counter: Counter) -> Result<Vec<(String, f64)>, PdhError> {
        if counter.query != self.number {
            return Err(NOT_MINE);
        }
        let mut count = 0;
        for _ in 0..TRIES {
            let mut bytes = u32::try_from(self.buffer.len() * 8).unwrap_or_default();
            let place = if bytes == 0 { ptr::null_mut() } else { self.buffer.as_mut_ptr().cast() };
            let format = PDH_FMT_DOUBLE | NO_CAP;
            // SAFETY: the counter is this query's, which is open; the buffer is writable for so many bytes, and aligned for the items, that begin with a pointer.
            let code = unsafe {
                PdhGetFormattedCounterArrayW(counter.handle, format, &mut bytes, &mut count, place)
            };
            match code {
                0 => return Ok(self.items(count)),
                PDH_MORE_DATA if bytes <= LARGEST_ANSWER => {
                    self.buffer.resize((bytes as usize).div_ceil(8), 0);
                }
                code => return Err(PdhError(code)),
            }
        }
        Err(PdhError(PDH_MORE_DATA))
    }

    fn formatted(&self, counter: Counter, format: u32) -> Result<PDH_FMT_COUNTERVALUE, PdhError> {
        if counter.query != self.number {
            return Err(NOT_MINE);
        }
        let mut value = PDH_FMT_COUNTERVALUE::default();
        // SAFETY: the counter is this query's, which is open; the type is not asked for; `value` is a place for it.
        checked(unsafe { PdhGetFormattedCounterValue(counter.handle, format, ptr::null_mut(), &mut value) })?;
        match is_valid(value.CStatus) {
            true => Ok(value),
            false => Err(PdhError(value.CStatus)),
        }
    }

    fn items(&self, count: u32) -> Vec<(String, f64)> {
        let room = self.buffer.len() * 8 / size_of::<PDH_FMT_COUNTERVALUE_ITEM_W>();
        let count = (count as usize).min(room);
        // SAFETY: PDH has just put so many items at the beginning, they fit, and their names lie behind them.
        let items: &[PDH_FMT_COUNTERVALUE_ITEM_W] =
            unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast(), count) };
        let of = |item: &PDH_FMT_COUNTERVALUE_ITEM_W| {
            is_valid(item.FmtValue.CStatus).then(|| {
                // SAFETY: the name is in the buffer, ends in 0, and the buffer is not touched meanwhile.
                let name = unsafe { text_at(item.szName) };
                // SAFETY: asked for as doubles, the values are.
                (name, unsafe { item.FmtValue.Anonymous.doubleValue })
            })
        };
        items.iter().filter_map(of).collect()
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        // SAFETY: it is open, and used no more; its counters go with it.
        unsafe { PdhCloseQuery(self.handle) };
    }
}

fn is_valid(status: u32) -> bool {
    status == PDH_CSTATUS_VALID_DATA || status == PDH_CSTATUS_NEW_DATA
}

fn checked(code: u32) -> Result<(), PdhError> {
    if code == 0 { Ok(()) } else { Err(PdhError(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_the_start_and_the_load_are_numbers_that_can_be() {
        let mut query = Query::open().unwrap();
        let up = query.add(r"\System\System Up Time").unwrap();
        let load = query.add(r"\Processor(_Total)\% Processor Time").unwrap();
        query.collect().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        query.collect().unwrap();
        let (up, load) = (query.value(up).unwrap(), query.value(load).unwrap());
        assert!((1.0..4e9).contains(&up), "{up}");
        assert!((0.0..=100.0).contains(&load), "{load}");
    }

    #[test]
    fn a_counter_of_another_query_or_of_one_that_is_closed_is_refused() {
        let mut first = Query::open().unwrap();
        let mut second = Query::open().unwrap();
        let up = first.add(r"\System\System Up Time").unwrap();
        first.collect().unwrap();
        first.collect().unwrap();
        first.value(up).unwrap();
        drop(first);
        assert_eq!(second.value(up), Err(NOT_MINE));
        assert_eq!(second.values(up), Err(NOT_MINE));
    }

    #[test]
    fn a_counter_that_is_not_there_is_named_so() {
        let mut query = Query::open().unwrap();
        let error = query.add(r"\No Such Object\No Such Counter").unwrap_err();
        assert!(error.to_string().starts_with("there is no such"), "{error}");
        assert!(query.add("no path").is_err() && query.add("\\A\0B\\C").is_err());
    }
}
