//! Bodies of answers that come compressed although nobody asked for it: caches and inspecting proxies do that.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use flate2::read::ZlibDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Returns a body as it was before `Content-Encoding`, at most `largest` bytes of it: as far as it can be
/// read, and as it came if the coding is unknown (RFC 9110, section 8.4.1).
pub(super) fn decoded(headers: &HeaderMap, body: Bytes, largest: usize) -> Bytes {
    let coding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let coding = coding.trim();
    if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
        return bounded(GzDecoder::new(&*body), largest);
    }
    match coding.eq_ignore_ascii_case("deflate") {
        true => bounded(ZlibDecoder::new(&*body), largest),
        false => body,
    }
}

fn bounded(decoder: impl Read, largest: usize) -> Bytes {
    let mut plain = Vec::new();
    // What a broken stream gave before it broke is all there is: whoever reads it judges.
    let _ = decoder.take(largest as u64).read_to_end(&mut plain);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::LARGEST_ANSWER;
    use flate2::Compression;
    use flate2::read::GzEncoder;
    use flate2::read::ZlibEncoder;
    use http::HeaderValue;

    fn all(mut encoder: impl Read) -> Bytes {
        let mut bytes = Vec::new();
        encoder.read_to_end(&mut bytes).unwrap();
        bytes.into()
    }

    fn plain(coding: &'static str, body: Bytes) -> Bytes {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        decoded(&headers, body, LARGEST_ANSWER)
    }

    #[test]
    fn a_compressed_body_is_read_as_it_was_and_never_beyond_the_largest_answer() {
        let text = b"{\"access_token\":\"x\"}";
        let gzip = all(GzEncoder::new(&text[..], Compression::fast()));
        let deflate = all(ZlibEncoder::new(&text[..], Compression::fast()));
        for (coding, body) in [("gzip", &gzip), ("X-Gzip", &gzip), (" deflate ", &deflate)] {
            assert_eq!(&plain(coding, body.clone())[..], text, "{coding}");
        }
        assert_eq!(plain("br", gzip.clone()), gzip, "an unknown coding is left as it is");
        assert_eq!(decoded(&HeaderMap::new(), gzip.clone(), LARGEST_ANSWER), gzip);
        assert_eq!(plain("gzip", Bytes::from_static(b"no gzip")), Bytes::new());
        let bomb =
            all(GzEncoder::new(std::io::repeat(0).take(100 * LARGEST_ANSWER as u64), Compression::best()));
        assert_eq!(plain("gzip", bomb).len(), LARGEST_ANSWER);
    }
}
