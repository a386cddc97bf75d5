//! A relay's answer either begins a tunnel, and then what follows its head is given back, or it is an
//! error within its bounds.
#![no_main]

use common::connect::connect;
use common::host_port::HostPort;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let target: HostPort = "a.example:443".parse().expect("a target");
    let mut stream = tokio::io::join(bytes, tokio::io::sink());
    if let Ok(early) = runtime.block_on(connect(&mut stream, &target, None, None)) {
        let (rest, _) = stream.into_inner();
        assert!(bytes.ends_with(rest));
        let before = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
        assert!(before.ends_with(&early));
        // httparse lets empty lines stand before the status line.
        assert!(before.trim_ascii_start().starts_with(b"HTTP/1."));
    }
});
