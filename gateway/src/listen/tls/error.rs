//! Why a listener's TLS identity cannot be used, and what to change.

use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem;
use tokio_rustls::rustls::server::VerifierBuilderError;
use x509_cert::der;

/// Why a listener's TLS identity cannot be used. Names the file and what to change.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{}: cannot be read: {error}; it must be a PEM file with {wanted}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
        /// What it must hold.
        wanted: &'static str,
    },
    /// A file that is too large to be what it should.
    #[error("{}: is larger than {} MiB; it must be a PEM file with {wanted}", file.display(), limit / 1024 / 1024)]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Most bytes that are read.
        limit: u64,
        /// What it must hold.
        wanted: &'static str,
    },
    /// A file that is not whole PEM.
    #[error("{}: {}; it must be a PEM file with {wanted}", file.display(), broken(error))]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
        /// What it must hold.
        wanted: &'static str,
    },
    /// A PEM file without what it is for.
    #[error("{}: there is no {what} in it; it must be a PEM file with {wanted}", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What it must hold.
        wanted: &'static str,
    },
    /// A key that only a passphrase opens.
    #[error(
        "{}: the key is encrypted, and there is nobody to ask for its passphrase; write it without one, \
         as `openssl pkey -in KEY -out NEW` does, readable by the gateway only",
        file.display()
    )]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// A key of a kind that is not spoken.
    #[error("{}: {error}; the key must be RSA of at least 2048 bits, ECDSA P-256 or P-384, or Ed25519", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
    /// A certificate that is not one.
    #[error("{}: {error}; the first certificate must be the gateway's own, X.509 version 3", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
    /// A certificate and a key that do not fit.
    #[error(
        "{}: the key in {} is not this certificate's; the first certificate and the key must belong together",
        certificate.display(), key.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate that cannot vouch for clients.
    #[error("{}: {error}; it must hold the certificates of the clients' CAs", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
    /// A certificate that is no CA's, and would become one if it were trusted here.
    #[error(
        "{}: certificate {position} ({subject}) is not a CA's (basicConstraints CA:TRUE is missing); take it out, \
         and put the certificate of the CA that issued it there",
        file.display()
    )]
    NotAuthority {
        /// The file.
        file: PathBuf,
        /// Which certificate of the file, counted from 1.
        position: usize,
        /// Whose certificate it is.
        subject: String,
    },
    /// A revocation list that cannot be understood.
    #[error("{}: {error}; it must hold complete revocation lists (no delta lists) of the clients' CAs", file.display())]
    RevocationList {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: der::Error,
    },
    /// Certificates and revocation lists that the verifier does not take.
    #[error(
        "{}: {error}; `client_ca` must hold the clients' CAs, and `client_crl` complete revocation lists of them",
        file.display()
    )]
    Clients {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        error: VerifierBuilderError,
    },
    /// Client certificates are to be verified, and no CA is named.
    #[error("client certificates cannot be verified without a CA; name its file in `client_ca`")]
    NoAuthority,
    /// The crypto provider does not speak TLS 1.2 and 1.3.
    #[error("the crypto provider does not speak TLS 1.2 and 1.3: {0}")]
    Provider(rustls::Error),
}

/// The library shows the bytes of a line as numbers; a line of a key file is not shown at all.
fn broken(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is cut off within a section".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "the first line of a section is cut off".to_owned(),
        error => error.to_string(),
    }
}
