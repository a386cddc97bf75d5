//! A target that parses is shown in its normal form, and that form parses to the same target.
#![no_main]

use common::host_port::HostPort;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(target) = text.parse::<HostPort>() {
        let shown = target.to_string();
        assert_eq!(shown, text.to_ascii_lowercase());
        assert_eq!(shown.parse::<HostPort>().as_ref(), Ok(&target));
        assert!(shown.is_ascii() && !shown.contains(['%', '@', '/', '\\', '[', ' ']));
    }
});
