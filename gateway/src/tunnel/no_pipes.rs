//! On Windows the kernel moves no bytes through pipes: there are none, and every tunnel is copied.

use std::sync::Arc;

use crate::observe::metrics::PipeMetrics;

/// What the kernel allows: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelLimits(());

impl KernelLimits {
    /// Reads nothing.
    pub fn read() -> Self {
        Self(())
    }
}

/// How many pipes there may be: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(());

impl Budget {
    /// Divides nothing.
    pub fn new(_limits: KernelLimits, _workers: usize) -> Self {
        Self(())
    }
}

/// The pool of pipes, which stays empty.
pub struct Pipes(());

impl Pipes {
    /// Begins it.
    pub fn new(_budget: Budget, _metrics: PipeMetrics) -> Arc<Self> {
        Arc::new(Self(()))
    }
}
