//! The dates of a revocation list (RFC 5280 section 5.1). The rest of it is rustls' to read.

use x509_cert::der;
use x509_cert::der::Decode;
use x509_cert::der::Reader;
use x509_cert::der::SliceReader;
use x509_cert::der::Tag;
use x509_cert::der::asn1::AnyRef;
use x509_cert::time::Time;

/// When a revocation list was made, and when the next one must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) this_update: Time,
    pub(super) next_update: Time,
}

pub(super) fn dates(list: &[u8]) -> der::Result<Dates> {
    let list = sequence(AnyRef::from_der(list)?)?;
    let to_be_signed = sequence(AnyRef::decode(&mut SliceReader::new(list)?)?)?;
    let mut fields = SliceReader::new(to_be_signed)?;
    let _version = Option::<u8>::decode(&mut fields)?;
    let _algorithm: AnyRef<'_> = fields.decode()?;
    let _issuer: AnyRef<'_> = fields.decode()?;
    Ok(Dates { this_update: fields.decode()?, next_update: fields.decode()? })
}

fn sequence(value: AnyRef<'_>) -> der::Result<&[u8]> {
    der::Tagged::tag(&value).assert_eq(Tag::Sequence)?;
    Ok(value.value())
}
