use bytes::Bytes;

use super::Agent;
use super::Batch;
use super::Form;
use super::Limit;
use super::Parcel;
use super::rows::Row;
use super::rows::Shape;
use super::squeeze::Squeeze;
use crate::record::Column;
use crate::record::Record;
use crate::record::Table;
use crate::record::frame_at;

/// Bytes of rows that are gathered before the compressor gets them: 16 KiB.
const PIECE: usize = 16 * 1024;
/// Most memory for rows that is kept from one body to the next: 64 KiB.
const KEPT: usize = 64 * 1024;

/// Writes bodies. It keeps a compressor and a buffer, which are used again.
#[derive(Default)]
pub struct Packer {
    rows: Vec<u8>,
    squeeze: Option<Squeeze>,
}

impl Packer {
    /// Makes one that owns nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Packs as many records from the front of a batch as one request may hold, at least one if there is one.
    ///
    /// A record that is too large alone is made smaller: its texts are cut and marked. A record that cannot be
    /// read is passed over and counted; where a frame is broken, nothing after it can be read, and the rest of
    /// the batch counts as one.
    pub fn pack(&mut self, form: &Form, agent: &Agent, batch: &Batch<'_>, limit: &Limit) -> Parcel {
        let parcel = self.attempt(form, agent, batch, limit);
        if parcel.body.len() <= limit.raw {
            return parcel;
        }
        // What cannot be compressed grows: at the worst from 8 to 9 bits a byte, by the fixed codes of deflate.
        let raw = limit.raw.saturating_sub(limit.raw / 8 + 64);
        self.attempt(form, agent, batch, &Limit { raw, ..*limit })
    }

    /// Gives memory back; the next body asks for it again.
    pub fn shrink(&mut self) {
        *self = Self::default();
    }

    fn attempt(&mut self, form: &Form, agent: &Agent, batch: &Batch<'_>, limit: &Limit) -> Parcel {
        let shape = Shape::new(form, agent, batch.table);
        self.prepare(&shape);
        let mut body = Body {
            rows: &mut self.rows,
            squeeze: self.squeeze.as_mut().filter(|_| shape.encoding().is_some()),
            out: Vec::new(),
            raw: 0,
            most: limit.raw,
        };
        let mut parcel = Parcel::default();
        body.rows.extend_from_slice(shape.opening());
        fill(&mut parcel, &mut body, &shape, batch, limit.records.max(1));
        if parcel.sent > 0 {
            parcel.encoding = body.squeeze.as_ref().map(|squeeze| squeeze.encoding().name());
            (parcel.body, parcel.raw) = body.finish(shape.closing());
        }
        self.rows.clear();
        self.rows.shrink_to(KEPT);
        parcel
    }

    fn prepare(&mut self, shape: &Shape<'_>) {
        self.rows.clear();
        let Some(encoding) = shape.encoding() else { return };
        match &mut self.squeeze {
            Some(squeeze) if squeeze.encoding() == encoding => squeeze.reset(),
            other => *other = Some(Squeeze::new(encoding)),
        }
    }
}

/// A body in the making.
struct Body<'a> {
    /// Rows that are written and not in `out` yet.
    rows: &'a mut Vec<u8>,
    squeeze: Option<&'a mut Squeeze>,
    out: Vec<u8>,
    /// Bytes that left `rows` for `out`, before compression.
    raw: usize,
    most: usize,
}

impl Body<'_> {
    /// Returns whether the body stays within its limit if it ends now.
    fn fits(&self, closing: &[u8]) -> bool {
        self.raw + self.rows.len() + closing.len() <= self.most
    }

    /// Hands rows on when there are enough of them.
    fn flow(&mut self) {
        if self.rows.len() < PIECE {
            return;
        }
        self.raw += self.rows.len();
        match &mut self.squeeze {
            Some(squeeze) => squeeze.feed(self.rows, &mut self.out),
            None => self.out.extend_from_slice(self.rows),
        }
        self.rows.clear();
    }

    fn finish(mut self, closing: &[u8]) -> (Bytes, usize) {
        self.rows.extend_from_slice(closing);
        self.raw += self.rows.len();
        match &mut self.squeeze {
            Some(squeeze) => squeeze.finish(self.rows, &mut self.out),
            None => self.out.extend_from_slice(self.rows),
        }
        (Bytes::from(self.out), self.raw)
    }
}

/// Takes records until one has no place any more.
fn fill(parcel: &mut Parcel, body: &mut Body<'_>, shape: &Shape<'_>, batch: &Batch<'_>, most: u32) {
    while parcel.records < most {
        let rest = batch.frames.get(parcel.consumed..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        let Ok(frame) = frame_at(rest) else {
            parcel.consumed = batch.frames.len();
            (parcel.records, parcel.damaged) = (parcel.records + 1, parcel.damaged + 1);
            return;
        };
        let taken = match Record::decode(frame.payload) {
            Ok(record) => {
                let index = batch.first.wrapping_add(parcel.records);
                if !same_file(parcel, batch.table, shape, &record) {
                    return;
                }
                place(body, shape, &record, sequence(batch.number, index), parcel.sent)
            }
            Err(_) => Place::Never,
        };
        match taken {
            Place::Later => return,
            Place::Never => parcel.damaged += 1,
            Place::Whole => parcel.sent += 1,
            Place::Cut => (parcel.sent, parcel.shortened) = (parcel.sent + 1, parcel.shortened + 1),
        }
        (parcel.records, parcel.consumed) = (parcel.records + 1, parcel.consumed + frame.length);
        body.flow();
    }
}

/// Returns the number of a record that stays the same however often it is sent: one segment has fewer than
/// 2^20 records.
fn sequence(segment: u64, index: u32) -> i64 {
    (segment << 20).wrapping_add(index.into()) as i64
}

/// What became of one record.
enum Place {
    Whole,
    Cut,
    Later,
    Never,
}

fn place(body: &mut Body<'_>, shape: &Shape<'_>, record: &Record<'_>, sequence: i64, sent: u32) -> Place {
    let begins = body.rows.len();
    let mut most = shape.largest_field();
    let mut cut = false;
    loop {
        if sent > 0 {
            body.rows.extend_from_slice(shape.separator());
        }
        let row = shape.write(record, sequence, most, body.rows);
        if row != Row::Nothing && body.fits(shape.closing()) {
            return if cut || row == Row::Cut { Place::Cut } else { Place::Whole };
        }
        body.rows.truncate(begins);
        if row == Row::Nothing || most == 0 {
            return Place::Never;
        }
        if sent > 0 {
            return Place::Later;
        }
        (most, cut) = (most.min(body.most) / 2, true);
    }
}

/// Returns whether a record may stand in the same blob as those before it, and notes its file.
fn same_file(parcel: &mut Parcel, table: &Table, shape: &Shape<'_>, record: &Record<'_>) -> bool {
    if !shape.is_blob() {
        return true;
    }
    let path = record.text(Column::FilePath).unwrap_or_else(|| table.name());
    match &parcel.file_path {
        Some(known) => known == path,
        None => {
            parcel.file_path = Some(path.to_owned());
            true
        }
    }
}

#[cfg(test)]
mod tests;
