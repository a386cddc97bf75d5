//! The names in a client certificate, in the forms that a role's `certificates` list uses.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::TbsCertificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::Decode;
use x509_cert::der::Encode;
use x509_cert::der::Tag;
use x509_cert::der::Tagged;
use x509_cert::der::asn1::Any;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc3280;
use x509_cert::der::oid::db::rfc4519;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::name::Name;

use crate::stream::Stream;

/// The names in a verified client certificate.
///
/// `CN=site-7` is the common name, where the subject has exactly one, with or without further names.
/// `CN=site-7,O=Example` is the whole subject as RFC 4514 writes it: the last part first, `,` and `+`
/// in values escaped, so a common name cannot pass for a whole subject. `DNS:site-7.example` (in lower
/// case) and `URI:spiffe://example/site-7` are alternative names.
///
/// A value that is empty, not UTF-8 or has control characters in it gives no name, also not as part of
/// the whole subject; a certificate that is not strict DER gives none at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The names, without duplicates.
    pub names: Vec<String>,
}

/// Returns the names in a client's certificate, as a role's `certificates` spells them; none without TLS
/// or without a certificate.
pub fn certificate_names(stream: &Stream) -> Vec<String> {
    let Stream::Tls(stream) = stream else { return Vec::new() };
    let tokio_rustls::TlsStream::Server(stream) = &**stream else { return Vec::new() };
    client_certificate(stream).map(|certificate| certificate.names).unwrap_or_default()
}

/// Returns the names of the certificate that the client proved to hold; `None` if it showed none.
pub fn client_certificate(stream: &TlsStream<TcpStream>) -> Option<ClientCertificate> {
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates()?.first()?;
    Some(ClientCertificate { names: names(leaf) })
}

fn names(certificate: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let certificate = certificate.tbs_certificate();
    let subject = certificate.subject();
    let mut names: Vec<String> = whole(subject).into_iter().chain(common_name(subject)).collect();
    names.extend(alternative_names(certificate));
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the whole subject. The parts stand in it in reverse; those of one level too, as OpenSSL
/// writes them.
fn whole(subject: &Name) -> Option<String> {
    let parts = subject.iter_rdn().map(|part| {
        let mut attributes = part.iter().map(written).collect::<Option<Vec<_>>>()?;
        attributes.reverse();
        Some(attributes.join("+"))
    });
    let mut parts = parts.collect::<Option<Vec<_>>>()?;
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

fn common_name(subject: &Name) -> Option<String> {
    let mut common = subject.iter().filter(|attribute| attribute.oid == rfc4519::COMMON_NAME);
    match (common.next(), common.next()) {
        (Some(only), None) => written(only),
        _ => None,
    }
}

/// The keys of RFC 4514 section 3, and two that CAs often use, as OpenSSL writes them.
const KEYS: [(ObjectIdentifier, &str); 11] = [
    (rfc4519::COMMON_NAME, "CN"),
    (rfc4519::LOCALITY_NAME, "L"),
    (rfc4519::ST, "ST"),
    (rfc4519::ORGANIZATION_NAME, "O"),
    (rfc4519::ORGANIZATIONAL_UNIT_NAME, "OU"),
    (rfc4519::COUNTRY_NAME, "C"),
    (rfc4519::STREET, "STREET"),
    (rfc4519::DOMAIN_COMPONENT, "DC"),
    (rfc4519::UID, "UID"),
    (rfc4519::SERIAL_NUMBER, "serialNumber"),
    (rfc3280::EMAIL_ADDRESS, "emailAddress"),
];

/// Returns one part of a subject as RFC 4514 section 2 writes it.
fn written(attribute: &AttributeTypeAndValue) -> Option<String> {
    let text = plain(&attribute.value)?;
    match KEYS.iter().find(|(oid, _)| *oid == attribute.oid) {
        Some((_, key)) => Some(format!("{key}={}", escaped(text))),
        None => {
            let value = attribute.value.to_der().ok()?;
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{}=#{hex}", attribute.oid))
        }
    }
}

/// Returns a value if it is text that can stand in a configuration file and in a record.
fn plain(value: &Any) -> Option<&str> {
    // Teletex, BMP and universal strings are other encodings; nobody issues them any more.
    if !matches!(value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String) {
        return None;
    }
    let text = std::str::from_utf8(value.value()).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::new();
    for (at, character) in text.chars().enumerate() {
        let special = match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

const DNS_NAME: u32 = 2;
const URI: u32 = 6;

fn alternative_names(certificate: &TbsCertificate) -> Vec<String> {
    let extensions = certificate.extensions().into_iter().flatten();
    let mut found = extensions.filter(|extension| extension.extn_id == SubjectAltName::OID);
    let (Some(only), None) = (found.next(), found.next()) else { return Vec::new() };
    // Not as the library's `SubjectAltName`: there one bad value hides the good ones.
    let Ok(values) = Vec::<Any>::from_der(only.extn_value.as_bytes()) else { return Vec::new() };
    values.iter().filter_map(alternative_name).collect()
}

fn alternative_name(value: &Any) -> Option<String> {
    let Tag::ContextSpecific { constructed: false, number } = value.tag() else { return None };
    let text = std::str::from_utf8(value.value()).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    match number.value() {
        DNS_NAME => Some(format!("DNS:{}", text.to_ascii_lowercase())),
        URI => Some(format!("URI:{text}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
