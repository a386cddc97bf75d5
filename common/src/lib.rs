//! What `la-gateway` and `agent-lite` must do alike.
//!
//! A thing is admitted here only when both programs need it, it decides nothing, and it owns no
//! configuration: names of hosts and clouds, secrets that cannot be printed, manual pages, log
//! files that do not fill the disk. Event ids,
//! configuration and metrics are two operator contracts and stay with their programs.

pub mod cloud;
pub mod connect;
pub mod document;
pub mod host_port;
pub mod manual;
pub mod proxy_url;
pub mod rolling_file;
pub mod roots;
pub mod secret;
