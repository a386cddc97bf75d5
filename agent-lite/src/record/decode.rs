use super::Column;
use super::Kind;
use super::Timestamp;

/// A record that was read back: every column known, every value of its column's kind, all text UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    time: Timestamp,
    columns: &'a [u8],
}

/// A value of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// UTF-8 text.
    Text(&'a str),
    /// A signed integer.
    Integer(i64),
    /// A finite number.
    Real(f64),
    /// A time.
    Time(Timestamp),
    /// JSON, already written.
    Json(&'a str),
}

/// A payload that is no record: its checksum is right, so another version of this program wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record has a column or value that this version does not know")]
pub struct DecodeError;

impl<'a> Record<'a> {
    /// Reads a frame's payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (time, columns) = payload.split_at_checked(8).ok_or(DecodeError)?;
        let record = Self { time: Timestamp(long(time).ok_or(DecodeError)?), columns };
        let mut values = Values { rest: columns };
        while !values.rest.is_empty() {
            values.step().ok_or(DecodeError)?;
        }
        Ok(record)
    }

    /// Returns when the record was made.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the columns and values in the order in which they were written.
    pub fn values(&self) -> impl Iterator<Item = (Column, Value<'a>)> + use<'a> {
        Values { rest: self.columns }
    }

    /// Returns the first value of a text column.
    pub fn text(&self, wanted: Column) -> Option<&'a str> {
        self.values().find_map(|(column, value)| match value {
            Value::Text(text) | Value::Json(text) if column == wanted => Some(text),
            _ => None,
        })
    }
}

struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    fn step(&mut self) -> Option<(Column, Value<'a>)> {
        let (number, rest) = self.rest.split_first()?;
        let column = Column::of_number(*number)?;
        let (length, rest) = match column.kind() {
            Kind::Text | Kind::Json => {
                let (length, rest) = rest.split_at_checked(4)?;
                (u32::from_le_bytes(length.try_into().ok()?) as usize, rest)
            }
            Kind::Integer | Kind::Real | Kind::Time => (8, rest),
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        let value = match column.kind() {
            Kind::Text => Value::Text(str::from_utf8(value).ok()?),
            Kind::Json => Value::Json(str::from_utf8(value).ok()?),
            Kind::Integer => Value::Integer(long(value)?),
            Kind::Real => Value::Real(f64::from_bits(long(value)? as u64)),
            Kind::Time => Value::Time(Timestamp(long(value)?)),
        };
        Some((column, value))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = (Column, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.step()
    }
}

fn long(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(record) = Record::decode(&bytes) {
                let _ = record.values().count();
            }
        }
    }
}
