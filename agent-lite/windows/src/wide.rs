//! Text as Windows has it: UTF-16 that ends in 0.

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;

/// Returns a text for Windows; one with a 0 in it would be another text there.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = text.as_ref().encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is a 0 in the text"));
    }
    wide.push(0);
    Ok(wide)
}

/// Returns the text of a buffer up to its first 0.
pub(crate) fn text(wide: &[u16]) -> String {
    let end = wide.iter().position(|unit| *unit == 0).unwrap_or(wide.len());
    String::from_utf16_lossy(wide.get(..end).unwrap_or_default())
}

/// Returns the text at a place.
///
/// # Safety
///
/// `start` is null, or units that end in a 0 begin there and stay as they are meanwhile.
pub(crate) unsafe fn text_at(start: *const u16) -> String {
    if start.is_null() {
        return String::new();
    }
    let mut length = 0;
    loop {
        // SAFETY: no unit before this one was 0, so this one is still of the text, or its end.
        let unit = unsafe { start.add(length) };
        // SAFETY: the place was just shown to be of the text.
        if unsafe { *unit } == 0 {
            break;
        }
        length += 1;
    }
    // SAFETY: that many units were just read.
    text(unsafe { std::slice::from_raw_parts(start, length) })
}

/// Returns success, or what Windows says of the call just made.
pub(crate) fn checked(success: i32) -> io::Result<()> {
    if success == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
