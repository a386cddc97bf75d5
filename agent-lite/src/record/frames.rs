//! Records in a row, as they lie on the disk.
//!
//! ```text
//! frame   = length:u32le  crc:u32le  payload      crc is CRC-32 of the payload
//! payload = time:i64le  *( column:u8  value )
//! value   = Text, Json: length:u32le bytes | Integer: i64le | Real: f64le | Time: i64le
//! ```

use super::Column;
use super::Kind;
use super::Timestamp;

/// Bytes before a payload.
pub const FRAME_HEAD: usize = 8;
/// Most bytes of one text value, the mark of a cut included: 64 KiB (Logs Ingestion API, size of a field).
pub const LARGEST_FIELD: usize = 64 * 1024;
/// Most bytes of a payload: 256 KiB.
pub const LARGEST_RECORD: usize = 256 * 1024;
/// What stands at the end of a text that was cut.
const CUT: &str = "…[cut by agent-lite]";

/// Records that were collected together and go to the disk together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    bytes: Vec<u8>,
    count: u32,
    cut: u32,
}

/// A record in the making: dropped without [`Pending::finish`], it was never there.
#[derive(Debug)]
pub struct Pending<'a> {
    frames: &'a mut Frames,
    begins: usize,
    cut: bool,
    finished: bool,
}

impl Frames {
    /// Begins a record. Every record must be ended by [`Pending::finish`].
    pub fn begin(&mut self, time: Timestamp) -> Pending<'_> {
        let begins = self.bytes.len();
        self.bytes.extend_from_slice(&[0; FRAME_HEAD]);
        self.bytes.extend_from_slice(&time.0.to_le_bytes());
        Pending { frames: self, begins, cut: false, finished: false }
    }

    /// Returns the frames as they lie on the disk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of records.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the number of records with a text that was cut at [`LARGEST_FIELD`].
    pub fn cut(&self) -> u32 {
        self.cut
    }

    /// Returns whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes all records out and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.cut) = (0, 0);
    }

    /// Gives memory back beyond this many bytes; only of empty frames.
    pub fn shrink(&mut self, bytes: usize) {
        if self.is_empty() {
            self.bytes.shrink_to(bytes);
        }
    }
}

impl Pending<'_> {
    /// Adds a text; one longer than [`LARGEST_FIELD`] is cut at a character, marked and counted.
    pub fn text(mut self, column: Column, text: &str) -> Self {
        debug_assert!(matches!(column.kind(), Kind::Text | Kind::Json));
        if text.len() <= LARGEST_FIELD {
            return self.blob(column, text.as_bytes(), b"");
        }
        let kept = text.floor_char_boundary(LARGEST_FIELD - CUT.len());
        self.cut = true;
        self.blob(column, text.get(..kept).unwrap_or_default().as_bytes(), CUT.as_bytes())
    }

    /// Adds a text whose end is missing because the source could not hold it all: marked and counted.
    pub fn cut_text(mut self, column: Column, text: &str) -> Self {
        debug_assert_eq!(column.kind(), Kind::Text);
        let kept = text.floor_char_boundary(LARGEST_FIELD - CUT.len());
        self.cut = true;
        self.blob(column, text.get(..kept).unwrap_or_default().as_bytes(), CUT.as_bytes())
    }

    /// Adds a text if there is one.
    pub fn text_if(self, column: Column, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(column, text),
            None => self,
        }
    }

    /// Adds an integer.
    pub fn integer(self, column: Column, value: i64) -> Self {
        debug_assert_eq!(column.kind(), Kind::Integer);
        self.number(column, value.to_le_bytes())
    }

    /// Adds a number; one that is not finite is left out, because JSON has none.
    pub fn real(self, column: Column, value: f64) -> Self {
        debug_assert_eq!(column.kind(), Kind::Real);
        match value.is_finite() {
            true => self.number(column, value.to_le_bytes()),
            false => self,
        }
    }

    /// Adds a time.
    pub fn time(self, column: Column, value: Timestamp) -> Self {
        debug_assert_eq!(column.kind(), Kind::Time);
        self.number(column, value.0.to_le_bytes())
    }

    /// Ends the record. A payload longer than [`LARGEST_RECORD`] is impossible: the columns of one record
    /// and [`LARGEST_FIELD`] see to it.
    pub fn finish(mut self) {
        let payload = self.frames.bytes.get(self.begins + FRAME_HEAD..).unwrap_or_default();
        debug_assert!(payload.len() <= LARGEST_RECORD);
        let (length, crc) = (payload.len() as u32, crc32fast::hash(payload));
        if let Some(head) = self.frames.bytes.get_mut(self.begins..self.begins + FRAME_HEAD) {
            let (first, second) = head.split_at_mut(4);
            first.copy_from_slice(&length.to_le_bytes());
            second.copy_from_slice(&crc.to_le_bytes());
        }
        self.frames.count += 1;
        self.frames.cut += u32::from(self.cut);
        self.finished = true;
    }

    fn blob(self, column: Column, bytes: &[u8], end: &[u8]) -> Self {
        let length = (bytes.len() + end.len()) as u32;
        self.frames.bytes.push(column as u8);
        self.frames.bytes.extend_from_slice(&length.to_le_bytes());
        self.frames.bytes.extend_from_slice(bytes);
        self.frames.bytes.extend_from_slice(end);
        self
    }

    fn number(self, column: Column, bytes: [u8; 8]) -> Self {
        self.frames.bytes.push(column as u8);
        self.frames.bytes.extend_from_slice(&bytes);
        self
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.frames.bytes.truncate(self.begins);
        }
    }
}

/// One frame at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What [`super::Record::decode`] reads.
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub length: usize,
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end within the frame; so many more are needed at least.
    #[error("a record is not all there, {0} more bytes are needed")]
    Torn(usize),
    /// A length that no record has.
    #[error("a record says it is {0} bytes long")]
    Length(u32),
    /// The checksum is another one.
    #[error("a record's checksum is wrong")]
    Checksum,
}

/// Returns the frame at the beginning, its checksum proven.
pub fn frame_at(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (Some(length), Some(crc)) = (word(bytes, 0), word(bytes, 4)) else {
        return Err(FrameError::Torn(FRAME_HEAD - bytes.len().min(FRAME_HEAD)));
    };
    if !(8..=LARGEST_RECORD as u32).contains(&length) {
        return Err(FrameError::Length(length));
    }
    let whole = FRAME_HEAD + length as usize;
    let Some(payload) = bytes.get(FRAME_HEAD..whole) else {
        return Err(FrameError::Torn(whole - bytes.len()));
    };
    match crc32fast::hash(payload) == crc {
        true => Ok(Frame { payload, length: whole }),
        false => Err(FrameError::Checksum),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::record::Value;

    fn sample() -> Frames {
        let mut frames = Frames::default();
        frames
            .begin(Timestamp(1_767_225_600_000_000))
            .time(Column::EventTime, Timestamp(-5))
            .text(Column::Facility, "local0")
            .integer(Column::ProcessId, -7)
            .real(Column::CounterValue, 0.5)
            .text(Column::SyslogMessage, "ein Gruß")
            .finish();
        frames
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let frames = sample();
        let frame = frame_at(frames.bytes()).unwrap();
        assert_eq!((frame.length, frames.count()), (frames.bytes().len(), 1));
        let record = Record::decode(frame.payload).unwrap();
        let values: Vec<_> = record.values().collect();
        assert_eq!(record.time(), Timestamp(1_767_225_600_000_000));
        assert_eq!(
            values,
            [
                (Column::EventTime, Value::Time(Timestamp(-5))),
                (Column::Facility, Value::Text("local0")),
                (Column::ProcessId, Value::Integer(-7)),
                (Column::CounterValue, Value::Real(0.5)),
                (Column::SyslogMessage, Value::Text("ein Gruß")),
            ]
        );
    }

    #[test]
    fn a_record_that_was_not_finished_was_never_there() {
        let mut frames = sample();
        let before = frames.clone();
        drop(frames.begin(Timestamp(1)).text(Column::RawData, "half"));
        assert_eq!(frames, before);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let frames = sample();
        for length in 0..frames.bytes().len() {
            assert!(matches!(frame_at(&frames.bytes()[..length]), Err(FrameError::Torn(_))), "{length}");
        }
        for at in 0..frames.bytes().len() {
            let mut changed = frames.bytes().to_vec();
            changed[at] ^= 1;
            assert!(frame_at(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_marked() {
        let mut frames = Frames::default();
        frames.begin(Timestamp(1)).text(Column::RawData, &"ß".repeat(LARGEST_FIELD)).finish();
        let record = Record::decode(frame_at(frames.bytes()).unwrap().payload).unwrap();
        let Some((_, Value::Text(text))) = record.values().next() else { panic!("a text") };
        assert!(text.len() <= LARGEST_FIELD && text.len() > LARGEST_FIELD - 3, "{}", text.len());
        assert!(text.ends_with("ß…[cut by agent-lite]"));
        assert_eq!(frames.cut(), 1);
    }
}
