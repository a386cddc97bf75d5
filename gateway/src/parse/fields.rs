//! The fields of a hello's body: numbers, vectors and extensions (RFC 8446 sections 3.4 and 4.2).
//!
//! ```text
//! vector8    = length(1) content        vector16  = length(2) content
//! extensions = vector16 of extension    extension = type(2) vector16
//! ```

use crate::parse::HelloError;

const PAST_THE_END: HelloError = HelloError::Malformed("a field reaches beyond its end");

/// The fields that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Begins to read `bytes`, which must hold nothing but fields.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Says whether every field was read.
    pub(super) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses bytes after the last field.
    pub(super) fn finish(self) -> Result<(), HelloError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(HelloError::Malformed("bytes after the last field")),
        }
    }

    /// Reads a number of one byte.
    pub(super) fn number8(&mut self) -> Result<u8, HelloError> {
        let (&number, rest) = self.rest.split_first().ok_or(PAST_THE_END)?;
        self.rest = rest;
        Ok(number)
    }

    /// Reads a number of two bytes.
    pub(super) fn number16(&mut self) -> Result<u16, HelloError> {
        let (&number, rest) = self.rest.split_first_chunk().ok_or(PAST_THE_END)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(number))
    }

    /// Reads `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], HelloError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(PAST_THE_END)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a vector with a length of one byte.
    pub(super) fn vector8(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.number8()?;
        self.bytes(usize::from(length))
    }

    /// Reads a vector with a length of two bytes.
    pub(super) fn vector16(&mut self) -> Result<&'a [u8], HelloError> {
        let length = self.number16()?;
        self.bytes(usize::from(length))
    }

    /// Reads the extensions up to the end, and returns the content of those that are `wanted`.
    ///
    /// Hellos older than TLS 1.3 may end without extensions.
    pub(super) fn extensions<const N: usize>(
        mut self,
        wanted: [u16; N],
    ) -> Result<[Option<&'a [u8]>; N], HelloError> {
        let mut found = [None; N];
        if self.is_empty() {
            return Ok(found);
        }
        let mut extensions = Fields::new(self.vector16()?);
        self.finish()?;
        let mut seen = Seen::new();
        while !extensions.is_empty() {
            let kind = extensions.number16()?;
            let content = extensions.vector16()?;
            if seen.before(kind) {
                return Err(HelloError::Malformed("an extension stands twice"));
            }
            for (slot, _) in found.iter_mut().zip(wanted).filter(|(_, wanted)| *wanted == kind) {
                *slot = Some(content);
            }
        }
        Ok(found)
    }
}

/// Most extension types that are compared one by one: more than usual hellos have.
const FEW: usize = 24;

/// The extension types so far. Few are compared one by one; beyond that there is one bit for each type, so that
/// thousands of extensions cost no more than their bytes.
struct Seen {
    few: [u16; FEW],
    number: usize,
    many: Option<Box<[u64; 1024]>>,
}

impl Seen {
    fn new() -> Self {
        Self { few: [0; FEW], number: 0, many: None }
    }

    fn before(&mut self, kind: u16) -> bool {
        if let Some(many) = &mut self.many {
            return mark(many, kind);
        }
        let few = self.few;
        let few = few.get(..self.number).unwrap_or_default();
        if few.contains(&kind) {
            return true;
        }
        match self.few.get_mut(self.number) {
            Some(free) => {
                *free = kind;
                self.number += 1;
                false
            }
            None => {
                let mut many = Box::new([0; 1024]);
                for kind in few {
                    mark(&mut many, *kind);
                }
                mark(self.many.insert(many), kind)
            }
        }
    }
}

/// Marks a type, and says whether it was marked before.
fn mark(many: &mut [u64; 1024], kind: u16) -> bool {
    let mask = 1 << (kind % 64);
    match many.get_mut(usize::from(kind / 64)) {
        Some(word) => {
            let before = *word & mask != 0;
            *word |= mask;
            before
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::forge;

    #[test]
    fn wanted_extensions_are_found_among_others_in_any_order() {
        let name = forge::extension(0, b"name");
        let versions = forge::extension(43, b"");
        let other = forge::extension(0xfe0d, b"encrypted");
        let block = forge::vector16(&[name.clone(), other.clone(), versions.clone()].concat());
        assert_eq!(extensions(&block), Ok([Some(&b""[..]), Some(&b"name"[..])]));
        let block = forge::vector16(&[versions, other, name].concat());
        assert_eq!(extensions(&block), Ok([Some(&b""[..]), Some(&b"name"[..])]));
    }

    #[test]
    fn extensions_may_be_absent_or_none() {
        assert_eq!(extensions(b""), Ok([None, None]));
        assert_eq!(extensions(b"\x00\x00"), Ok([None, None]));
    }

    #[test]
    fn every_length_must_match() {
        let good = forge::vector16(&[forge::extension(0, b"name"), forge::extension(1, b"x")].concat());
        assert!(extensions(&good).is_ok());
        for end in 1..good.len() {
            assert_eq!(extensions(&good[..end]), Err(PAST_THE_END), "cut at {end}");
        }
        let longer = [&good[..], b"\x00"].concat();
        assert_eq!(extensions(&longer), Err(HelloError::Malformed("bytes after the last field")));
        for stray in 1..4 {
            let inside = forge::vector16(&[&forge::extension(0, b"name")[..], &vec![0; stray]].concat());
            assert_eq!(extensions(&inside), Err(PAST_THE_END), "{stray} stray bytes");
        }
    }

    #[test]
    fn every_extension_type_may_stand_once_but_not_twice() {
        let twice = Err(HelloError::Malformed("an extension stands twice"));
        for kind in [0, 1, 43, 63, 64, 0x0a0a, 0xffff] {
            let one = forge::extension(kind, b"");
            let between = forge::extension(kind ^ 64, b"x");
            assert!(extensions(&forge::vector16(&[&one[..], &between].concat())).is_ok(), "{kind}");
            let block = forge::vector16(&[&one[..], &between, &one].concat());
            assert_eq!(extensions(&block), twice, "{kind}");
            for others in [FEW - 1, FEW, FEW + 1, 3 * FEW] {
                let others: Vec<u8> =
                    (0x1000..).take(others).flat_map(|kind| forge::extension(kind, b"")).collect();
                let unlike = forge::vector16(&[&one[..], &others].concat());
                assert!(extensions(&unlike).is_ok(), "{kind}");
                let block = forge::vector16(&[&one[..], &others, &one].concat());
                assert_eq!(extensions(&block), twice, "{kind}");
            }
        }
        let many: Vec<u8> = (0..16_000).flat_map(|kind| forge::extension(kind, b"")).collect();
        assert!(extensions(&forge::vector16(&many)).is_ok());
    }

    fn extensions(bytes: &[u8]) -> Result<[Option<&[u8]>; 2], HelloError> {
        Fields::new(bytes).extensions([43, 0])
    }
}
