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
        let mut attempt = |limit| {
            let mut packing = self.start(form, agent, *batch, limit);
            while packing.step() == Step::More {}
            packing.finish()
        };
        let parcel = attempt(*limit);
        match limit.holds(&parcel) {
            true => parcel,
            false => attempt(limit.incompressible()),
        }
    }

    /// Begins what [`Self::pack`] does, to be done in steps: whoever has other work does it in between.
    pub fn start<'a>(
        &'a mut self,
        form: &'a Form,
        agent: &'a Agent,
        batch: Batch<'a>,
        limit: Limit,
    ) -> Packing<'a> {
        let shape = Shape::new(form, agent, batch.table);
        self.prepare(&shape);
        self.rows.extend_from_slice(shape.opening());
        let body = Body {
            rows: &mut self.rows,
            squeeze: self.squeeze.as_mut().filter(|_| shape.encoding().is_some()),
            out: Vec::new(),
            raw: 0,
            most: limit.raw,
        };
        Packing { shape, body, parcel: Parcel::default(), batch, limit }
    }

    /// Gives memory back; the next body asks for it again.
    pub fn shrink(&mut self) {
        *self = Self::default();
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

/// Whether there is more to pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is.
    More,
    /// There is not: [`Packing::finish`] follows.
    Done,
}

/// One body in the making, see [`Packer::start`].
pub struct Packing<'a> {
    shape: Shape<'a>,
    body: Body<'a>,
    parcel: Parcel,
    batch: Batch<'a>,
    limit: Limit,
}

impl Packing<'_> {
    /// Packs some records: about 16 KiB of rows.
    pub fn step(&mut self) -> Step {
        let most = self.limit.records.max(1);
        fill(&mut self.parcel, &mut self.body, &self.shape, &self.batch, most)
    }

    /// Ends the body. One that [`Limit::holds`] not is to be packed again, see [`Limit::incompressible`].
    pub fn finish(self) -> Parcel {
        let Self { shape, mut body, mut parcel, .. } = self;
        if parcel.sent > 0 {
            parcel.encoding = body.squeeze.as_ref().map(|squeeze| squeeze.encoding().name());
            (parcel.body, parcel.raw) = body.finish(shape.closing());
        }
        body.rows.clear();
        body.rows.shrink_to(KEPT);
        parcel
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

    /// Hands rows on when there are enough of them, and says whether.
    fn flow(&mut self) -> bool {
        if self.rows.len() < PIECE {
            return false;
        }
        self.raw += self.rows.len();
        match &mut self.squeeze {
            Some(squeeze) => squeeze.feed(self.rows, &mut self.out),
            None => self.out.extend_from_slice(self.rows),
        }
        self.rows.clear();
        true
    }

    fn finish(&mut self, closing: &[u8]) -> (Bytes, usize) {
        self.rows.extend_from_slice(closing);
        self.raw += self.rows.len();
        match &mut self.squeeze {
            Some(squeeze) => squeeze.finish(self.rows, &mut self.out),
            None => self.out.extend_from_slice(self.rows),
        }
        (Bytes::from(std::mem::take(&mut self.out)), self.raw)
    }
}

/// Takes records until a piece is full or one has no place any more.
fn fill(parcel: &mut Parcel, body: &mut Body<'_>, shape: &Shape<'_>, batch: &Batch<'_>, most: u32) -> Step {
    while parcel.records < most {
        let rest = batch.frames.get(parcel.consumed..).unwrap_or_default();
        if rest.is_empty() {
            return Step::Done;
        }
        let Ok(frame) = frame_at(rest) else {
            parcel.consumed = batch.frames.len();
            (parcel.records, parcel.damaged) = (parcel.records + 1, parcel.damaged + 1);
            return Step::Done;
        };
        let taken = match Record::decode(frame.payload) {
            Ok(record) => {
                let index = batch.first.wrapping_add(parcel.records);
                if !same_file(parcel, batch.table, shape, &record) {
                    return Step::Done;
                }
                place(body, shape, &record, sequence(batch.number, index), parcel.sent)
            }
            Err(_) => Place::Never,
        };
        match taken {
            Place::Later => return Step::Done,
            Place::Never => parcel.damaged += 1,
            Place::Whole => parcel.sent += 1,
            Place::Cut => (parcel.sent, parcel.shortened) = (parcel.sent + 1, parcel.shortened + 1),
        }
        (parcel.records, parcel.consumed) = (parcel.records + 1, parcel.consumed + frame.length);
        if body.flow() {
            return Step::More;
        }
    }
    Step::Done
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
