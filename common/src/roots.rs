//! The authorities that vouch for the other side of TLS: those of a PEM file, or else those of the system.

use std::path::Path;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem;
use rustls::pki_types::pem::PemObject;

/// Why there are no usable authorities.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file that cannot be read or is no PEM.
    #[error("{}: {error}; it must be a PEM file with certificates of authorities", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// A file without a certificate.
    #[error("{}: there is no certificate in it; it must be a PEM file with certificates of authorities", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A certificate that no authority can have.
    #[error("{}: {error}; take out the certificate that is not an authority's", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
    /// No authorities in the usual places of the system.
    #[error(
        "the system has no certificates of authorities; install its package ca-certificates, or name a PEM file"
    )]
    NoSystemRoots,
}

/// Reads the authorities of a PEM file, or else those of the system.
pub fn load(file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    match file {
        Some(file) => of_file(file),
        None => of_system(),
    }
}

fn of_file(file: &Path) -> Result<RootCertStore, RootsError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| RootsError::File { file: file.to_owned(), error })?;
    if certificates.is_empty() {
        return Err(RootsError::Empty { file: file.to_owned() });
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| RootsError::Unusable { file: file.to_owned(), error })?;
    }
    Ok(roots)
}

/// Old systems carry authorities that rustls cannot read: those are left out.
fn of_system() -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match added {
        0 => Err(RootsError::NoSystemRoots),
        _ => Ok(roots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_that_cannot_be_used_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let nothing = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let files = [
            folder.path().join("missing.pem"),
            write("empty.pem", "text\n"),
            write("unusable.pem", nothing),
            write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"),
        ];
        for file in files {
            let error = load(Some(&file)).expect_err("refused").to_string();
            assert!(error.starts_with(&file.display().to_string()), "{error}");
        }
    }
}
