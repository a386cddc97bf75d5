//! What the service answers leads to hosts of the workspace's own cloud only.
#![no_main]

use agent_lite::parse::fingerprint::Seal;
use agent_lite::transport::RuleBlobAddress;
use agent_lite::transport::WorkspaceEndpoints;
use agent_lite::transport::log_analytics_agent::BlobPlace;
use agent_lite::transport::log_analytics_agent::RenewalEndpoint;
use agent_lite::transport::log_analytics_agent::TopologyReply;
use agent_lite::transport::logs_ingestion::TokenReply;
use agent_lite::transport::reason;
use common::cloud::Cloud;
use common::secret::Secret;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let workspace = WorkspaceEndpoints::new("1234a123-aa1a-123a-aaa1-a1a345aa6789", "opinsights.azure.com")
        .expect("right");
    if let Ok(TopologyReply { renewal: Some(renewal), .. }) = TopologyReply::parse(bytes, &workspace) {
        assert!(renewal.host().name().as_str().ends_with(".opinsights.azure.com"));
        let _ = renewal.path();
    }
    if let Ok(place) = BlobPlace::parse(bytes, &workspace) {
        assert!(place.host().name().as_str().ends_with(".blob.core.windows.net"));
        assert_eq!(place.host().port(), 443);
    }
    let _ = (TokenReply::parse(bytes), reason(bytes));
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(renewal) = RenewalEndpoint::parse(text, &workspace) {
        assert!(renewal.host().name().as_str().ends_with(".opinsights.azure.com"));
        let _ = renewal.path();
    }
    if let Ok(address) = RuleBlobAddress::parse(&Secret::new(text.to_owned()), Cloud::Public) {
        assert!(address.host().name().as_str().ends_with(".core.windows.net"));
        assert!(!address.shown().contains("sig="));
        let _ = address.request(None, 1024, Default::default());
    }
    if let Ok(seal) = Seal::parse(text) {
        let _ = seal.judge(&Default::default());
    }
});
