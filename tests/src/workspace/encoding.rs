//! Base64, hashes, compression, queries and dates, as the services read them.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::GzDecoder;
use flate2::read::ZlibDecoder;
use percent_encoding::percent_decode_str;
use ring::digest;
use ring::hmac;

/// Most bytes that a body may inflate to.
const LARGEST_INFLATED: u64 = 256 * 1024 * 1024;

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn from_base64_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

pub(super) fn signature(key: &[u8], text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    base64(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// Returns the bytes of a body as they were before `Content-Encoding`.
pub(super) fn inflate(encoding: Option<&str>, body: &[u8]) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    let read = match encoding {
        None => return Ok(body.to_vec()),
        Some("deflate") => ZlibDecoder::new(body).take(LARGEST_INFLATED).read_to_end(&mut inflated),
        Some("gzip") => GzDecoder::new(body).take(LARGEST_INFLATED).read_to_end(&mut inflated),
        Some(other) => return Err(format!("nobody knows the encoding {other}")),
    };
    read.map(|_| inflated).map_err(|error| format!("the body does not inflate: {error}"))
}

/// Returns the value of a parameter of a query or form, decoded.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(found, _)| *found == name)?;
    percent_decode_str(value).decode_utf8().ok().map(String::from)
}

/// The same for a form, where `+` is a space.
pub(super) fn form_field(form: &str, name: &str) -> Option<String> {
    parameter(&form.replace('+', "%20"), name)
}
