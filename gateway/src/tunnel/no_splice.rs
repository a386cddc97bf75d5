//! On Windows a tunnel between plain sockets is copied as one with TLS is.

use std::sync::Arc;
use std::task::Context;

use tokio::net::TcpStream;

use super::carry::Turn;
use super::copy;
use super::pipes::Pipes;
use crate::observe::access::Traffic;

/// Both directions of a tunnel between plain sockets.
pub(super) struct Both(copy::Both);

impl Both {
    pub(super) fn new(_pipes: &Arc<Pipes>, upload_cap: Option<u64>) -> Self {
        Self(copy::Both::new(upload_cap))
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut TcpStream,
        origin: &mut TcpStream,
        traffic: &mut Traffic,
    ) -> Turn {
        self.0.poll(cx, client, origin, traffic)
    }
}
