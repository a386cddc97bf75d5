use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

use super::layout::HEAD;
use super::layout::HEAD_BYTES;
use crate::record::FRAME_HEAD;
use crate::record::LARGEST_RECORD;

/// Memory of a scan, however large the file.
const BUFFER: usize = 64 * 1024;

/// What a segment that was open is found to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Bytes up to the end of the last whole record, the head included.
    pub(super) good: u64,
    /// Whole records.
    pub(super) records: u32,
    /// How it ends.
    pub(super) end: End,
}

/// What stands behind the last whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Whole,
    /// What a crash leaves behind: a part of a record, or blocks that were never written.
    Torn,
    /// Something else.
    Damaged,
    /// All of it is of another version, or no segment.
    Foreign,
}

/// Reads a segment frame by frame.
pub(super) fn scan(file: impl Read, length: u64) -> io::Result<Scan> {
    let mut reader = BufReader::with_capacity(BUFFER, file.take(length));
    let mut scan = Scan { good: 0, records: 0, end: End::Whole };
    let mut head = [0; HEAD.len()];
    let read = read_up_to(&mut reader, &mut head)?;
    if read == 0 {
        return Ok(scan);
    }
    if head != HEAD {
        let begun = head.get(..read) == HEAD.get(..read) || head.iter().all(|byte| *byte == 0);
        scan.end = if begun && only_zeros(&mut reader)? { End::Torn } else { End::Foreign };
        return Ok(scan);
    }
    scan.good = HEAD_BYTES;
    loop {
        let mut head = [0; FRAME_HEAD];
        let read = read_up_to(&mut reader, &mut head)?;
        if read < FRAME_HEAD {
            scan.end = if read == 0 { End::Whole } else { End::Torn };
            return Ok(scan);
        }
        let head_word = u64::from_le_bytes(head);
        let (payload, crc) = (head_word as u32, (head_word >> 32) as u32);
        if !(8..=LARGEST_RECORD as u32).contains(&payload) {
            let zeros = head == [0; FRAME_HEAD] && only_zeros(&mut reader)?;
            scan.end = if zeros { End::Torn } else { End::Damaged };
            return Ok(scan);
        }
        let whole = scan.good + FRAME_HEAD as u64 + u64::from(payload);
        if whole > length || checksum(&mut reader, payload)? != crc {
            scan.end = if whole >= length { End::Torn } else { End::Damaged };
            return Ok(scan);
        }
        scan.good = whole;
        scan.records += 1;
    }
}

fn read_up_to(reader: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn checksum(reader: &mut impl BufRead, length: u32) -> io::Result<u32> {
    let (mut hasher, mut left) = (crc32fast::Hasher::new(), length as usize);
    while left > 0 {
        let buffer = reader.fill_buf()?;
        let piece = buffer.get(..left.min(buffer.len())).unwrap_or_default();
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(piece);
        let length = piece.len();
        reader.consume(length);
        left -= length;
    }
    Ok(hasher.finalize())
}

fn only_zeros(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(true);
        }
        if buffer.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let length = buffer.len();
        reader.consume(length);
    }
}
