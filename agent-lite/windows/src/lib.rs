//! What agent-lite asks of Windows by its C interfaces, as safe functions. Empty on every other system.

#![cfg(windows)]
