//! A new pair, from the system's randomness.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rsa::rand_core::CryptoRng;
use rsa::rand_core::Error;
use rsa::rand_core::RngCore;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::record::Timestamp;
use crate::transport::certificate::CertificateError;
use crate::transport::certificate::create;
use crate::upload::identity::Pair;

/// Makes a key and its certificate on a thread of its own: the search for the primes takes a core for a while.
pub(in crate::upload) async fn make_pair(workspace: &str, agent: Uuid) -> Result<Pair, CertificateError> {
    let (workspace, now) = (workspace.to_owned(), timestamp(SystemTime::now()));
    let made = spawn_blocking(move || create(&workspace, agent, now, &mut SystemRandomness)).await;
    let made = made.unwrap_or(Err(CertificateError::Key))?;
    Ok(Pair { certificate: made.certificate, key: made.key })
}

/// Returns a time in a record's form.
pub(in crate::upload) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

struct SystemRandomness;

impl RngCore for SystemRandomness {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A panic of the thread it runs on is an error of [`make_pair`].
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has randomness");
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for SystemRandomness {}
