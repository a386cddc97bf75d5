//! A request head as hyper hands it over: whatever it lets pass is judged without a panic, and a CONNECT
//! that is accepted names its target once, in the bytes that were sent.
#![no_main]

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::Request;
use hyper::Response;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use la_gateway::parse::request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let sent = bytes.to_ascii_lowercase();
    let service = service_fn(|request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        if let Ok(connect) = request::read(&head) {
            let target = connect.target.to_string();
            assert!(sent.windows(target.len()).any(|part| part == target.as_bytes()), "{target} was never sent");
        }
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let stream = tokio::io::join(bytes, tokio::io::sink());
    let connection = http1::Builder::new()
        .half_close(true)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // Errors are what most inputs are.
    let _ = runtime.block_on(connection);
});
