//! The files of an identity: read, digested, and taken apart.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use blake2::Blake2s256;
use blake2::digest::FixedOutput;
use blake2::digest::Update;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::CertificateRevocationListDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::time::Time;

use super::Deadline;
use super::Expiring;
use super::TlsError;
use super::crl;
use crate::config::ClientCertificatePolicy;
use crate::config::Tls;

/// Most bytes of a certificate or key file.
const LARGEST: u64 = 1024 * 1024;
/// Most bytes of a revocation list file: some 400 000 revocations.
const LARGEST_CRL: u64 = 32 * 1024 * 1024;

/// Tells whether any file changed.
pub(super) type Digest = [u8; 32];

/// What the files hold.
pub(super) struct Files {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) clients: Option<Clients>,
    pub(super) deadlines: Vec<Deadline>,
}

/// What client certificates are verified with.
pub(super) struct Clients {
    pub(super) ca: PathBuf,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) revoked: Option<Revoked>,
}

/// The revocation lists: at least one, the newest first.
pub(super) struct Revoked {
    pub(super) file: PathBuf,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
}

/// A file and what was read of it.
struct Text<'a> {
    file: &'a Path,
    bytes: Vec<u8>,
}

/// Reads all files. The digest covers what was read, and which could not be.
pub(super) fn read(settings: &Tls) -> (Digest, Result<Files, TlsError>) {
    let mut digest = Blake2s256::default();
    let mut text = |file, limit, wanted| {
        let read = read_file(file, limit, wanted);
        match &read {
            Ok(bytes) => {
                digest.update(&bytes.len().to_be_bytes());
                digest.update(bytes);
            }
            Err(error) => {
                digest.update(&u64::MAX.to_be_bytes());
                digest.update(error.to_string().as_bytes());
            }
        }
        read.map(|bytes| Text { file, bytes })
    };
    let certificate = text(&settings.certificate, LARGEST, CHAIN);
    let key = text(&settings.key, LARGEST, KEY);
    let verified = settings.client_certificate != ClientCertificatePolicy::None;
    let client_ca = settings.client_ca.as_deref().filter(|_| verified);
    let ca = client_ca.map(|file| text(file, LARGEST, AUTHORITIES));
    let client_crl = settings.client_crl.as_deref().filter(|_| verified);
    let crl = client_crl.map(|file| text(file, LARGEST_CRL, LISTS));
    let files = || {
        let mut deadlines = Vec::new();
        let certificates = certificates(&certificate?, &mut deadlines)?;
        let key = private_key(&key?)?;
        let clients = match ca.transpose()? {
            Some(ca) => Some(clients(&ca, crl.transpose()?.as_ref(), &mut deadlines)?),
            None if verified => return Err(TlsError::NoAuthority),
            None => None,
        };
        Ok(Files { certificates, key, clients, deadlines })
    };
    let files = files();
    (digest.finalize_fixed().into(), files)
}

const CHAIN: &str = "the certificate chain, the gateway's own first";
const KEY: &str = "an unencrypted private key";
const AUTHORITIES: &str = "the certificates of the clients' CAs";
const LISTS: &str = "the revocation lists of the clients' CAs";

fn read_file(file: &Path, limit: u64, wanted: &'static str) -> Result<Vec<u8>, TlsError> {
    let fail = |error| TlsError::Unreadable { file: file.to_owned(), error, wanted };
    let mut text = Vec::new();
    File::open(file).map_err(fail)?.take(limit + 1).read_to_end(&mut text).map_err(fail)?;
    match text.len() as u64 > limit {
        true => Err(TlsError::TooLarge { file: file.to_owned(), limit, wanted }),
        false => Ok(text),
    }
}

/// Returns all sections of one kind, at least one: an empty list would switch a check off.
fn all<T: PemObject>(text: &Text<'_>, what: &'static str, wanted: &'static str) -> Result<Vec<T>, TlsError> {
    let sections = T::pem_slice_iter(&text.bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem { file: text.file.to_owned(), error, wanted })?;
    match sections.is_empty() {
        true => Err(TlsError::Empty { file: text.file.to_owned(), what, wanted }),
        false => Ok(sections),
    }
}

fn certificates(
    text: &Text<'_>,
    deadlines: &mut Vec<Deadline>,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = all::<CertificateDer<'static>>(text, "certificate", CHAIN)?;
    // One that this parser does not take is rustls' to judge.
    if let Some(Ok(own)) = certificates.first().map(|own| Certificate::from_der(own)) {
        deadlines.push(deadline(text, Expiring::Certificate, own.tbs_certificate().validity().not_after));
    }
    Ok(certificates)
}

fn private_key(text: &Text<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = || text.file.to_owned();
    let marks: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    if marks.iter().any(|mark| text.bytes.windows(mark.len()).any(|window| window == *mark)) {
        return Err(TlsError::EncryptedKey { file: file() });
    }
    PrivateKeyDer::from_pem_slice(&text.bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::Empty { file: file(), what: "private key", wanted: KEY },
        error => TlsError::Pem { file: file(), error, wanted: KEY },
    })
}

fn clients(
    ca: &Text<'_>,
    crl: Option<&Text<'_>>,
    deadlines: &mut Vec<Deadline>,
) -> Result<Clients, TlsError> {
    Ok(Clients {
        ca: ca.file.to_owned(),
        authorities: authorities(ca, deadlines)?,
        revoked: crl.map(|crl| revoked(crl, deadlines)).transpose()?,
    })
}

/// Refuses certificates that are no CA's: webpki would trust whatever stands here, also a client's own,
/// to issue certificates.
fn authorities(
    text: &Text<'_>,
    deadlines: &mut Vec<Deadline>,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let authorities = all::<CertificateDer<'static>>(text, "certificate", AUTHORITIES)?;
    for (at, authority) in authorities.iter().enumerate() {
        let refuse =
            |subject| TlsError::NotAuthority { file: text.file.to_owned(), position: at + 1, subject };
        let authority = Certificate::from_der(authority).map_err(|error| refuse(error.to_string()))?;
        let authority = authority.tbs_certificate();
        let constraints = authority.get_extension::<BasicConstraints>().ok().flatten();
        if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
            return Err(refuse(authority.subject().to_string()));
        }
        deadlines.push(deadline(text, Expiring::Authority, authority.validity().not_after));
    }
    Ok(authorities)
}

fn revoked(text: &Text<'_>, deadlines: &mut Vec<Deadline>) -> Result<Revoked, TlsError> {
    let lists = all::<CertificateRevocationListDer<'static>>(text, "revocation list", LISTS)?;
    let mut dated = Vec::new();
    for list in lists {
        let dates = crl::dates(&list)
            .map_err(|error| TlsError::RevocationList { file: text.file.to_owned(), error })?;
        deadlines.push(deadline(text, Expiring::RevocationList, dates.next_update));
        dated.push((dates.this_update.to_unix_duration(), list));
    }
    // The verifier believes the first list of an issuer that it finds.
    dated.sort_by_key(|(this_update, _)| std::cmp::Reverse(*this_update));
    let lists = dated.into_iter().map(|(_, list)| list).collect();
    Ok(Revoked { file: text.file.to_owned(), lists })
}

fn deadline(text: &Text<'_>, what: Expiring, at: Time) -> Deadline {
    Deadline { file: text.file.to_owned(), what, at: UNIX_EPOCH + at.to_unix_duration() }
}
