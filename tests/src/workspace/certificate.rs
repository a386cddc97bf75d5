//! Certificates as the services read them.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHA256_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// What the services read in a certificate.
pub(super) struct Read {
    common_names: Vec<String>,
    organizations: Vec<String>,
    units: Vec<String>,
    self_issued: bool,
    rsa: bool,
    from: SystemTime,
    until: SystemTime,
    /// The public key: for RSA the `RSAPublicKey` in DER.
    pub(super) public_key: Vec<u8>,
}

impl Read {
    pub(super) fn der(der: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::from_der(der).map_err(|error| format!("no certificate: {error}"))?;
        let body = certificate.tbs_certificate();
        let mut read = Self {
            common_names: Vec::new(),
            organizations: Vec::new(),
            units: Vec::new(),
            self_issued: body.subject() == body.issuer(),
            rsa: body.subject_public_key_info().algorithm.oid == RSA
                && certificate.signature_algorithm().oid == SHA256_RSA,
            from: UNIX_EPOCH + body.validity().not_before.to_unix_duration(),
            until: UNIX_EPOCH + body.validity().not_after.to_unix_duration(),
            public_key: body.subject_public_key_info().subject_public_key.raw_bytes().to_vec(),
        };
        for attribute in body.subject().iter() {
            let text = String::from_utf8_lossy(attribute.value.value()).into_owned();
            match attribute.oid {
                COMMON_NAME => read.common_names.push(text),
                ORGANIZATION => read.organizations.push(text),
                UNIT => read.units.push(text),
                _ => {}
            }
        }
        Ok(read)
    }

    /// Returns whether it is valid at this time.
    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        (self.from..=self.until).contains(&now)
    }

    /// Returns the agent's GUID if this is an agent's certificate for the workspace, or what is wrong.
    pub(super) fn agent(&self, workspace: &str) -> Result<String, String> {
        let [of, guid] = self.common_names.as_slice() else {
            return Err(format!("the certificate has {} common names, not two", self.common_names.len()));
        };
        if of != workspace {
            return Err(format!("the certificate's first common name is {of}"));
        }
        let grouped: Vec<usize> = guid.split('-').map(str::len).collect();
        if grouped != [8, 4, 4, 4, 12] || !guid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
            return Err(format!("the certificate's second common name is no GUID: {guid}"));
        }
        if self.units != ["Linux Monitoring Agent"] || self.organizations != ["Microsoft"] {
            return Err(format!("the certificate is for {:?} of {:?}", self.units, self.organizations));
        }
        match self.self_issued {
            true => Ok(guid.clone()),
            false => Err("the certificate's issuer is not its subject".to_owned()),
        }
    }

    /// Returns what the real agent's certificate has differently.
    pub(super) fn unlike_the_real(&self) -> Vec<String> {
        let mut unlike = Vec::new();
        if !self.rsa || self.public_key.len() < 256 {
            unlike.push("the certificate is not of RSA 2048 with SHA-256".to_owned());
        }
        let days = self.until.duration_since(self.from).unwrap_or_default().as_secs() / 86_400;
        if days > 366 {
            unlike.push(format!("the certificate is valid for {days} days"));
        }
        unlike
    }
}

/// Returns the SHA-1 and SHA-256 thumbprints that a token request may name.
pub(super) fn thumbprints(der: &[u8]) -> [Vec<u8>; 2] {
    let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    [sha1.as_ref().to_vec(), super::encoding::sha256(der)]
}
