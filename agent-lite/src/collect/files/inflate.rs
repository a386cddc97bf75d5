//! A compressed file as a content that is read from its beginning to its end once.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::identity::HEAD;
use crate::parse::lines::WINDOW;
use crate::system;

/// Bytes that are decompressed at most before others have their turn.
const TURN: usize = 1024 * 1024;
/// Bytes of compressed data that are read at once.
const INPUT: usize = 16 * 1024;

/// A file that is being decompressed.
#[derive(Debug)]
pub(super) struct Inflating {
    decoder: MultiGzDecoder<BufReader<Cursor>>,
    /// Where the bytes lie in the content.
    at: u64,
    bytes: Vec<u8>,
    ended: bool,
    /// Why it could not be decompressed further.
    broken: Option<Broken>,
}

/// Where a file cannot be decompressed further.
#[derive(Debug)]
struct Broken {
    kind: io::ErrorKind,
    why: String,
    /// From where the bytes before it were shown.
    shown: Option<u64>,
}

/// Bytes of compressed data in which something must be: a file of nothing but empty members would be read through at
/// once.
const MOST_FRUITLESS: u64 = 1024 * 1024;

/// What a turn gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflated {
    /// Not there yet.
    Underway,
    /// Bytes up to the end of the content.
    Last,
    /// Bytes, and there are more.
    Some,
}

/// Reads from a position of its own, so that the handle can be shared.
#[derive(Debug)]
struct Cursor {
    file: File,
    at: u64,
    /// Bytes that were read since something came out.
    fruitless: u64,
}

impl Cursor {
    fn new(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, at: 0, fruitless: 0 })
    }
}

impl Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.fruitless >= MOST_FRUITLESS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is nothing in 1 MiB of it"));
        }
        let count = system::read_at(&self.file, into, self.at)?;
        self.at += count as u64;
        self.fruitless += count as u64;
        Ok(count)
    }
}

impl Inflating {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(INPUT, Cursor::new(file)?));
        Ok(Self { decoder, at: 0, bytes: Vec::new(), ended: false, broken: None })
    }

    /// Returns how many bytes of the compressed file were read.
    pub(super) fn consumed(&self) -> u64 {
        self.decoder.get_ref().get_ref().at
    }

    /// Appends up to so many bytes from a position, which never goes back.
    ///
    /// What stands before a place that cannot be decompressed is shown; the error comes when the position has not
    /// moved since.
    pub(super) fn read(&mut self, from: u64, most: usize, into: &mut Vec<u8>) -> io::Result<Inflated> {
        let mut budget = TURN;
        loop {
            let skip =
                usize::try_from(from.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.bytes.len());
            self.bytes.drain(..skip);
            self.at += skip as u64;
            let over = self.ended || self.broken.is_some();
            if over || (self.at == from && self.bytes.len() >= most) {
                break;
            }
            if budget == 0 {
                return Ok(Inflated::Underway);
            }
            let begins = self.bytes.len();
            self.bytes.resize(begins + budget.min(WINDOW), 0);
            let count = self.decoder.read(self.bytes.get_mut(begins..).unwrap_or_default());
            self.bytes.truncate(begins + *count.as_ref().unwrap_or(&0));
            let count = match count {
                Ok(count) => count,
                Err(error) => {
                    self.broken = Some(Broken { kind: error.kind(), why: error.to_string(), shown: None });
                    continue;
                }
            };
            self.decoder.get_mut().get_mut().fruitless = 0;
            self.ended = count == 0;
            budget = budget.saturating_sub(count.max(1));
        }
        if let Some(broken) = &mut self.broken {
            let moved = broken.shown.is_none_or(|shown| shown < from);
            if self.at != from || self.bytes.is_empty() || !moved {
                return Err(io::Error::new(broken.kind, broken.why.clone()));
            }
            broken.shown = Some(from);
        }
        let shown = if self.at == from { self.bytes.len().min(most) } else { 0 };
        into.extend_from_slice(self.bytes.get(..shown).unwrap_or_default());
        Ok(if self.ended && shown == self.bytes.len() { Inflated::Last } else { Inflated::Some })
    }
}

/// Returns whether a file begins as compressed ones do (RFC 1952).
pub(super) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b, 8])
}

/// Returns the beginning of the content and, modulo 2³², its length as the last member says (RFC 1952, `ISIZE`).
pub(super) fn peek(file: &File, size: u64) -> io::Result<(Vec<u8>, u32)> {
    let mut head = Vec::new();
    MultiGzDecoder::new(BufReader::with_capacity(4096, Cursor::new(file)?))
        .take(HEAD as u64)
        .read_to_end(&mut head)?;
    let mut length = [0; 4];
    system::read_exact_at(file, &mut length, size.saturating_sub(4))?;
    Ok((head, u32::from_le_bytes(length)))
}

/// Reads a compressed file as a source does, in pieces; returns its content, at most so much, and how it ended. For
/// the fuzzer.
#[cfg(fuzzing)]
pub fn inflate_whole(file: &File, piece: usize, most: usize) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    let mut inflating = match Inflating::new(file) {
        Ok(inflating) => inflating,
        Err(error) => return (all, Err(error)),
    };
    while all.len() < most {
        match inflating.read(all.len() as u64, piece, &mut all) {
            Ok(Inflated::Last) => break,
            Ok(_) => {}
            Err(error) => return (all, Err(error)),
        }
    }
    (all, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_of_empty_members_is_not_read_through() {
        let empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()).finish().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&empty.repeat(2 * MOST_FRUITLESS as usize / empty.len())).unwrap();
        let size = file.metadata().unwrap().len();
        assert_eq!(peek(&file, size).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let read = Inflating::new(&file).unwrap().read(0, 10, &mut Vec::new());
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_stands_before_a_damage_is_read_and_then_the_damage_is_said() {
        let lines: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(lines.as_bytes()).unwrap();
        let whole = encoder.finish().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&whole[..whole.len() * 9 / 10]).unwrap();
        let mut known = Vec::new();
        let kind =
            MultiGzDecoder::new(&whole[..whole.len() * 9 / 10]).read_to_end(&mut known).unwrap_err().kind();
        let (mut inflating, mut all) = (Inflating::new(&file).unwrap(), Vec::new());
        let error = loop {
            match inflating.read(all.len() as u64, WINDOW, &mut all) {
                Ok(inflated) => assert_ne!(inflated, Inflated::Last),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), kind);
        assert!(all.len() > WINDOW && all == known, "{} of {} bytes", all.len(), known.len());
        // Whoever cannot use what is left is not shown it for ever.
        let (mut inflating, mut rest) = (Inflating::new(&file).unwrap(), Vec::new());
        let from = known.len() as u64 - 3;
        while inflating.read(from, WINDOW, &mut rest).is_ok() {}
        assert_eq!(rest, known[known.len() - 3..]);
    }

    #[test]
    fn much_that_is_hard_to_compress_is_read_to_its_end() {
        let mut noise: u32 = 1;
        let bytes: Vec<u8> = (0..3 * MOST_FRUITLESS)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        let mut encoder =
            flate2::write::GzEncoder::new(tempfile::tempfile().unwrap(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        let mut inflating = Inflating::new(&encoder.finish().unwrap()).unwrap();
        let mut all = Vec::new();
        while inflating.read(all.len() as u64, WINDOW, &mut all).unwrap() != Inflated::Last {}
        assert!(all == bytes);
    }
}
