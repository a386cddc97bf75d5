use windows_sys::Win32::Foundation::ERROR_INSUFFICIENT_BUFFER;
use windows_sys::Win32::Foundation::GetLastError;

use super::EventLogError;

/// UTF-16 units of a buffer in the beginning: 32 KiB.
const FIRST: u32 = 16 * 1024;
/// Most units of a buffer: 8 MiB. Windows writes at most 64 KiB of values into one event.
const MOST: u32 = 4 * 1024 * 1024;
/// How often a buffer grows for one text; each time the call says how much it needs.
const TRIES: u32 = 4;

/// Memory for texts, used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<u16>);

/// How a call that writes a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) success: bool,
    /// The call's error, if there is one.
    pub(super) code: u32,
    /// UTF-16 units that it wrote or needs, the 0 at the end with them.
    pub(super) units: u32,
}

impl Written {
    /// Joins what a call returned and what it left behind.
    pub(super) fn new(success: i32, units: u32) -> Self {
        // SAFETY: it reads a number of this thread.
        let code = if success == 0 { unsafe { GetLastError() } } else { 0 };
        Self { success: success != 0, code, units }
    }
}

impl Buffer {
    /// Makes a call that writes a text until the buffer holds it. `call` gets the buffer and its units, and writes no
    /// more than these. A text that is there in spite of an error with `accept` counts.
    pub(super) fn fill(
        &mut self,
        accept: fn(u32) -> bool,
        mut call: impl FnMut(*mut u16, u32) -> Written,
    ) -> Result<String, EventLogError> {
        self.0.resize(self.0.len().max(FIRST as usize), 0);
        for _ in 0..TRIES {
            let room = self.0.len() as u32;
            let written = call(self.0.as_mut_ptr(), room);
            if written.success || (accept(written.code) && written.units <= room) {
                let units = self.0.get(..written.units.min(room) as usize).unwrap_or_default();
                return Ok(crate::wide::text(units));
            }
            if written.code != ERROR_INSUFFICIENT_BUFFER {
                return Err(EventLogError::of(written.code));
            }
            let wanted = written.units.max(room.saturating_mul(2));
            if written.units > MOST || wanted > MOST && room >= MOST {
                return Err(EventLogError::Large(written.units.saturating_mul(2)));
            }
            self.0.resize(wanted.min(MOST) as usize, 0);
        }
        Err(EventLogError::of(ERROR_INSUFFICIENT_BUFFER))
    }

    /// Gives back what one large text needed.
    pub(super) fn shrink(&mut self) {
        self.0.truncate(FIRST as usize);
        self.0.shrink_to(FIRST as usize);
    }
}
