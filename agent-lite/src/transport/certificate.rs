//! The agent's own certificate, which the legacy service knows it by (oms-protocol, section 1.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::secret::Secret;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use ring::signature::RsaKeyPair;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs8::LineEnding;
use rsa::rand_core::CryptoRngCore;
use uuid::Uuid;

use super::times::utc_time;
use crate::record::Timestamp;

/// Bits of the key.
const KEY_BITS: usize = 2048;
/// How long the certificate is valid: 365 days.
const VALIDITY: i64 = 365 * 86_400 * 1_000_000;

/// A key and its certificate.
#[derive(Debug)]
pub struct KeyAndCertificate {
    /// The certificate, in PEM.
    pub certificate: String,
    /// The key, in PEM (PKCS#1).
    pub key: Secret,
}

/// There is no key or certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The library makes no key.
    #[error("no RSA key could be made")]
    Key,
    /// The library does not sign.
    #[error("the certificate could not be signed")]
    Signature,
}

/// Makes a new key and its self-signed certificate. This takes a core for a second or so.
pub fn create(
    workspace: &str,
    agent: Uuid,
    now: Timestamp,
    random: &mut impl CryptoRngCore,
) -> Result<KeyAndCertificate, CertificateError> {
    let key = RsaPrivateKey::new(random, KEY_BITS).map_err(|_| CertificateError::Key)?;
    let serial = 1 + (random.next_u32() % 65_534) as u16;
    let public = key.to_public_key().to_pkcs1_der().map_err(|_| CertificateError::Key)?;
    let private = key.to_pkcs1_der().map_err(|_| CertificateError::Key)?;
    let contents = contents(workspace, agent, serial, now, public.as_bytes());
    let signature = signature(private.as_bytes(), &contents)?;
    let certificate = der(0x30, &[&contents, &sha256_rsa(), &bits(&signature)]);
    let pem = key.to_pkcs1_pem(LineEnding::LF).map_err(|_| CertificateError::Key)?;
    Ok(KeyAndCertificate { certificate: pem_of(&certificate), key: Secret::new(pem.to_string()) })
}

/// Signs by PKCS #1 version 1.5, which uses none of the randomness that is asked for.
fn signature(key: &[u8], message: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let key = RsaKeyPair::from_der(key).map_err(|_| CertificateError::Signature)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| CertificateError::Signature)?;
    Ok(signature)
}

/// Writes the TBSCertificate (RFC 5280, section 4.1).
fn contents(workspace: &str, agent: Uuid, serial: u16, now: Timestamp, public: &[u8]) -> Vec<u8> {
    let name = name(workspace, agent);
    let [begin, end] =
        [now, Timestamp(now.0.saturating_add(VALIDITY))].map(|time| der(0x17, &[utc_time(time).as_bytes()]));
    let algorithm = der(0x30, &[&der(0x06, &[RSA_ENCRYPTION]), &der(0x05, &[])]);
    let parts: [&[u8]; 8] = [
        &der(0xa0, &[&der(0x02, &[&[2]])]),
        &der(0x02, &[&unsigned(serial)]),
        &sha256_rsa(),
        &name,
        &der(0x30, &[&begin, &end]),
        &name,
        &der(0x30, &[&algorithm, &bits(public)]),
        &der(0xa3, &[&extensions(public)]),
    ];
    der(0x30, &parts)
}

/// Object identifiers, as they are encoded.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 0x04, 0x0b];
const SUBJECT_KEY: &[u8] = &[0x55, 0x1d, 0x0e];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];

/// Two common names, in this order: whose workspace, and which agent.
fn name(workspace: &str, agent: Uuid) -> Vec<u8> {
    let agent = agent.hyphenated().to_string();
    let parts = [
        (COMMON_NAME, workspace),
        (COMMON_NAME, agent.as_str()),
        (ORGANIZATIONAL_UNIT, "Linux Monitoring Agent"),
        (ORGANIZATION, "Microsoft"),
    ]
    .map(|(kind, text)| {
        let pair = der(0x30, &[&der(0x06, &[kind]), &der(0x0c, &[text.as_bytes()])]);
        der(0x31, &[&pair])
    });
    der(0x30, &parts.each_ref().map(Vec::as_slice))
}

fn extensions(public: &[u8]) -> Vec<u8> {
    let identifier = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, public);
    let extension = |kind: &[u8], value: Vec<u8>| der(0x30, &[&der(0x06, &[kind]), &der(0x04, &[&value])]);
    let parts: [&[u8]; 3] = [
        &extension(SUBJECT_KEY, der(0x04, &[identifier.as_ref()])),
        &extension(AUTHORITY_KEY, der(0x30, &[&der(0x80, &[identifier.as_ref()])])),
        &extension(BASIC_CONSTRAINTS, der(0x30, &[&der(0x01, &[&[0xff]])])),
    ];
    der(0x30, &parts)
}

fn sha256_rsa() -> Vec<u8> {
    der(0x30, &[&der(0x06, &[SHA256_WITH_RSA]), &der(0x05, &[])])
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    der(0x03, &[&[0], bytes])
}

/// Returns the shortest form of a positive integer (X.690, section 8.3).
fn unsigned(value: u16) -> Vec<u8> {
    let [high, low] = value.to_be_bytes();
    let mut bytes = vec![0, high, low];
    while let [0, next, ..] = bytes.as_slice() {
        if *next >= 0x80 {
            break;
        }
        bytes.remove(0);
    }
    bytes
}

/// Writes one element: tag, length, contents (X.690, section 8.1).
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend_from_slice(&[0x81, length as u8]),
        _ => out.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn pem_of(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, character) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
pub(super) mod tests;
