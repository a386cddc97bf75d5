//! A proxy value is a URL or an error, and neither ever shows the password.
#![no_main]

use common::proxy_url::ProxyUrl;
use libfuzzer_sys::fuzz_target;

const PASSWORD: &str = "Zq9x7";

fuzz_target!(|text: &str| {
    let text = format!("http://user:{PASSWORD}@{text}");
    match text.parse::<ProxyUrl>() {
        Ok(url) => assert!(!format!("{url} {url:?}").contains(PASSWORD)),
        Err(error) => assert!(!format!("{error} {error:?}").contains(PASSWORD)),
    }
});
