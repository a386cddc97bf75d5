//! What `la-gateway` and `agent-lite` must do alike.
//!
//! A thing is admitted here only when both programs need it, it decides nothing, and it owns no
//! configuration: names of hosts and clouds, secrets that cannot be printed, manual pages. Event ids,
//! configuration and metrics are two operator contracts and stay with their programs.

pub mod cloud;
pub mod connect;
pub mod document;
pub mod host_port;
pub mod manual;
pub mod proxy_url;
pub mod roots;
pub mod secret;
