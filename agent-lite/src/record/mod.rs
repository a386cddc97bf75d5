//! One collected record, apart from any source and any transport.
//!
//! A record has a table, the time it was made, and values of columns that have Azure Monitor's own
//! names. Sources write records into [`Frames`]; those bytes go to the disk as they are, and a
//! transport reads them back with [`Record::decode`]. The form on the disk knows no transport, so a
//! queue outlives a change of the transport.

mod column;
mod decode;
mod frames;
mod table;

pub use self::column::Column;
pub use self::column::Kind;
pub use self::decode::DecodeError;
pub use self::decode::Record;
pub use self::decode::Value;
pub use self::frames::FRAME_HEAD;
pub use self::frames::Frame;
pub use self::frames::FrameError;
pub use self::frames::Frames;
pub use self::frames::LARGEST_FIELD;
pub use self::frames::LARGEST_RECORD;
pub use self::frames::Pending;
pub use self::frames::frame_at;
pub use self::table::Table;
pub use self::table::TableError;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);
