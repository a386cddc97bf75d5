use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::secret::Secret;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use ring::signature::RsaKeyPair;
use uuid::Uuid;

use crate::record::Timestamp;

/// How long an assertion is good: 10 min.
const LIFETIME: i64 = 600;
/// Largest PEM file that is read.
const LARGEST_PEM: usize = 256 * 1024;

/// The certificate and key of an application, ready to sign.
pub struct CertificateCredential {
    key: RsaKeyPair,
    /// SHA-1 and SHA-256 of the certificate.
    thumbprints: (String, String),
}

/// A certificate or key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is no certificate.
    #[error("the file of the certificate holds no `BEGIN CERTIFICATE` in PEM")]
    Certificate,
    /// There is no key of a kind that can be used.
    #[error(
        "the file of the key holds no RSA key in PEM that is not encrypted (PKCS#8 or PKCS#1, 2048 to 4096 bits)"
    )]
    Key,
    /// The library does not sign.
    #[error("the key does not sign")]
    Signature,
}

impl std::fmt::Debug for CertificateCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[certificate credential]")
    }
}

impl CertificateCredential {
    /// Reads a certificate, the first of its file, and its key.
    pub fn parse(certificate: &str, key: &Secret) -> Result<Self, CredentialError> {
        let certificate = pem(certificate, "CERTIFICATE").ok_or(CredentialError::Certificate)?;
        let key = match (pem(key.expose(), "PRIVATE KEY"), pem(key.expose(), "RSA PRIVATE KEY")) {
            (Some(pkcs8), _) => RsaKeyPair::from_pkcs8(&pkcs8),
            (None, Some(pkcs1)) => RsaKeyPair::from_der(&pkcs1),
            (None, None) => return Err(CredentialError::Key),
        };
        let hash = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, &certificate));
        Ok(Self {
            key: key.map_err(|_| CredentialError::Key)?,
            thumbprints: (hash(&digest::SHA1_FOR_LEGACY_USE_ONLY), hash(&digest::SHA256)),
        })
    }

    /// Returns a signed JWT by which a client proves itself to a token service (RFC 7523, section 2.2).
    pub(super) fn assertion(
        &self,
        audience: &str,
        client: &str,
        now: Timestamp,
        id: Uuid,
    ) -> Result<String, CredentialError> {
        let (sha1, sha256) = &self.thumbprints;
        let seconds = now.0.div_euclid(1_000_000);
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "x5t": sha1, "x5t#S256": sha256});
        let claims = serde_json::json!({
            "aud": audience, "iss": client, "sub": client, "jti": id.hyphenated().to_string(),
            "iat": seconds, "nbf": seconds, "exp": seconds.saturating_add(LIFETIME),
        });
        let [header, claims] = [header, claims].map(|json| URL_SAFE_NO_PAD.encode(json.to_string()));
        let message = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| CredentialError::Signature)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Returns the bytes of the first block with a label.
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    if text.len() > LARGEST_PEM {
        return None;
    }
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inside, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let mut bytes = inside.as_bytes().to_vec();
    bytes.retain(|byte| !byte.is_ascii_whitespace());
    STANDARD.decode(bytes).ok()
}
