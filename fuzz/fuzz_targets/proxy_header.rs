//! A PROXY header is read within its bounds, and nothing behind it is touched.
#![no_main]

use la_gateway::listen::proxy_header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut rest = bytes;
    let found = runtime.block_on(proxy_header::read(&mut rest));
    let taken = bytes.len() - rest.len();
    assert!(taken <= 16 + proxy_header::LONGEST_V2);
    if found.is_ok() {
        let mut again = bytes.get(..taken).unwrap_or_default();
        assert_eq!(runtime.block_on(proxy_header::read(&mut again)), found);
        assert!(again.is_empty());
    }
});
