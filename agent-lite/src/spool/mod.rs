//! The disk queue of one workspace, and nothing else. `docs/spool.md` is its page.
//!
//! Start reading at [`Queue`]. Its state is `store`; `append`, `sync` and `recover` are the three things
//! that happen to it; `layout` names the files and `disk` touches them.

mod append;
mod aside;
mod books;
mod disk;
mod index;
mod inherit;
mod layout;
mod queue;
mod recover;
mod scan;
mod segment;
mod settings;
mod store;
mod sync;

pub use self::inherit::Contents;
pub use self::inherit::claim;
pub use self::inherit::contents;
pub use self::inherit::is_queue;
pub use self::inherit::take_over;
pub use self::queue::Queue;
pub use self::segment::Segment;
pub use self::settings::AppendError;
pub use self::settings::QueueSettings;
pub use self::settings::QueueState;
pub use self::settings::Receipt;
pub use self::settings::SpoolError;
pub use self::settings::WhenFull;

#[cfg(test)]
mod tests;
