//! Five hundred small agents in one thread: each numbers its records, and sends each until it is acknowledged.
//!
//! As the agent does: one request after the other in one tunnel, a deadline for the answer, and after a failure
//! the same record again in a new tunnel. Real agents would be 500 processes, more than a small machine carries;
//! some of them run beside these.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use end_to_end::patience::patiently;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::stage::Internet;
use end_to_end::network::Network;
use end_to_end::network::enter;

/// The time from an answer to the next record.
const PACE: Duration = Duration::from_millis(1500);
/// How long one record's way there and back may take.
const DEADLINE: Duration = Duration::from_secs(8);
/// How long after a failure.
const AGAIN: Duration = Duration::from_millis(500);

/// A crowd at work.
pub(crate) struct Senders {
    acknowledged: Arc<Vec<AtomicU64>>,
    failures: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What all of them share.
struct Way {
    proxy: &'static str,
    host: String,
    path: String,
    token: String,
    tls: TlsConnector,
}

impl Senders {
    /// Starts so many at a host.
    pub(crate) fn start(
        network: &Network,
        host: &str,
        proxy: &'static str,
        internet: &Internet,
        count: usize,
    ) -> Self {
        let workspace = internet.workspace();
        let way = Arc::new(Way {
            proxy,
            host: workspace.endpoint.clone(),
            path: format!(
                "/dataCollectionRules/{}/streams/Custom-App_CL?api-version=2023-01-01",
                workspace.rule
            ),
            token: internet.azure.token(workspace),
            tls: internet.pki.client_config().into(),
        });
        let acknowledged: Arc<Vec<AtomicU64>> = Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
        let (failures, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (place, acks) = (network.place(host), Arc::clone(&acknowledged));
        let (fails, stops) = (Arc::clone(&failures), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            enter(&place);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let mut tasks = tokio::task::JoinSet::new();
                for number in 0..count {
                    let (way, acks) = (Arc::clone(&way), Arc::clone(&acks));
                    tasks.spawn(send(way, number, acks, Arc::clone(&fails), Arc::clone(&stops)));
                }
                while tasks.join_next().await.is_some() {}
            });
        });
        Self { acknowledged, failures, stop, thread }
    }

    /// Returns how many records of each were acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|count| count.load(Ordering::Acquire)).collect()
    }

    /// Waits until each has had so many more acknowledged.
    pub(crate) async fn go_on(&self, more: u64, when: &str) {
        let wanted: Vec<u64> = self.acknowledged().iter().map(|count| count + more).collect();
        let behind = || self.acknowledged().iter().zip(&wanted).filter(|(has, wants)| has < wants).count();
        let all = async {
            while behind() > 0 {
                sleep(Duration::from_millis(50)).await;
            }
        };
        patiently(when, all).await;
    }

    /// Returns how often a record had to be sent again.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Lets each finish its record; returns how many of each were acknowledged.
    pub(crate) async fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Release);
        let thread = tokio::task::spawn_blocking(move || self.thread.join());
        patiently("every sender ends", thread).await.expect("a thread").expect("no panic among the senders");
        self.acknowledged.iter().map(|count| count.load(Ordering::Acquire)).collect()
    }
}

async fn send(
    way: Arc<Way>,
    number: usize,
    acknowledged: Arc<Vec<AtomicU64>>,
    failures: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    // They do not all begin at once.
    sleep(PACE * number as u32 / acknowledged.len() as u32).await;
    let mut tunnel = None;
    while !stop.load(Ordering::Acquire) {
        let record = acknowledged[number].load(Ordering::Relaxed);
        match timeout(DEADLINE, way.deliver(&mut tunnel, number, record)).await {
            Ok(Ok(())) => {
                acknowledged[number].store(record + 1, Ordering::Release);
                sleep(PACE).await;
            }
            _ => {
                tunnel = None;
                failures.fetch_add(1, Ordering::Relaxed);
                sleep(AGAIN).await;
            }
        }
    }
}

impl Way {
    async fn deliver(
        &self,
        tunnel: &mut Option<TlsStream<TcpStream>>,
        number: usize,
        record: u64,
    ) -> io::Result<()> {
        if tunnel.is_none() {
            *tunnel = Some(self.open().await?);
        }
        let stream = tunnel.as_mut().expect("just opened");
        let body = format!(
            "[{{\"TimeGenerated\":\"{}\",\"RawData\":\"s{number}-seq={record:08} \"}}]",
            jiff::Timestamp::now()
        );
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.path,
            self.host,
            self.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        expect_status(stream, "204").await
    }

    async fn open(&self) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        let host = &self.host;
        stream
            .write_all(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes())
            .await?;
        expect_status(&mut stream, "200").await?;
        let name = ServerName::try_from(host.clone()).expect("a name");
        self.tls.connect(name, stream).await
    }
}

/// Reads the head of an answer without a body, and no byte more.
async fn expect_status(stream: &mut (impl AsyncRead + Unpin), status: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        if head.len() > 4096 {
            return Err(io::Error::other("an answer without an end"));
        }
    }
    match String::from_utf8_lossy(&head).split(' ').nth(1) == Some(status) {
        true => Ok(()),
        false => Err(io::Error::other("another status")),
    }
}
