//! The disk queue of one workspace, and nothing else. `docs/spool.md` is its page.

mod queue;

pub use self::queue::AppendError;
pub use self::queue::Queue;
pub use self::queue::QueueSettings;
pub use self::queue::QueueState;
pub use self::queue::Receipt;
pub use self::queue::Segment;
pub use self::queue::SpoolError;
pub use self::queue::WhenFull;
