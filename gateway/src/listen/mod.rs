//! Listening sockets, and what a client connection is: plain TCP or TLS over it.

pub mod descriptors;
pub mod head;
pub mod inherited;
pub mod proxy_header;
pub mod socket;
pub mod tls;
