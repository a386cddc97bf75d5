//! `logs-ingestion`: clients of the Logs Ingestion API, with the host that gives them their token.

use common::cloud::Cloud;

use crate::policy::bundles::Bundle;
use crate::policy::bundles::BundleHost;

const ENDPOINT: &str = "a data collection endpoint, `NAME-SUFFIX.REGION-N`; wide: any endpoint of any \
    organization, so name yours in `hosts` in place of this bundle where that matters";
const DIRECT: &str = "the endpoint inside a data collection rule of kind Direct, `RULE-SUFFIX-REGION`; as \
    wide as a data collection endpoint";
const SHARED: &str = "a further name of the ingestion service";
const TOKEN: &str = "Microsoft Entra tokens, without which no upload is accepted";
const OLD_TOKEN: &str = "Microsoft Entra tokens: the older name, still the default of the client libraries";

const ADDRESS_PAGE: &str = "Microsoft: Azure Monitor endpoint access and firewall configuration";
const AGENT_PAGE: &str = "Microsoft: Azure Monitor Agent network configuration";
const ENTRA_PAGE: &str = "Microsoft: national clouds, Entra authentication endpoints";
const RELEASE_NOTES: &str = "Cribl: release notes on the ingestion URL format";
const GUIDE: &str = "observed: a published Sentinel deployment guide for Azure Government";
const IDENTITY_SOURCE: &str = "Microsoft: azure-identity, AzureAuthorityHosts";

// China has no line for rules of kind Direct: that form is not documented there, and none was observed.
pub(super) const BUNDLE: Bundle = Bundle {
    name: "logs-ingestion",
    version: "2026-11-22",
    purpose: "clients of the Logs Ingestion API: data collection endpoints and rules, and the token host",
    hosts: &[
        BundleHost::new(Cloud::Public, "*.*.ingest.monitor.azure.com", ENDPOINT, AGENT_PAGE),
        BundleHost::new(Cloud::Public, "*.logs.z1.ingest.monitor.azure.com", DIRECT, RELEASE_NOTES),
        BundleHost::new(Cloud::Public, "prod.la.ingest.monitor.core.windows.net", SHARED, ADDRESS_PAGE),
        BundleHost::new(Cloud::Public, "*.prod.la.ingest.monitor.core.windows.net", SHARED, ADDRESS_PAGE),
        BundleHost::new(Cloud::Public, "prod.la.ingestion.msftcloudes.com", SHARED, ADDRESS_PAGE),
        BundleHost::new(Cloud::Public, "*.prod.la.ingestion.msftcloudes.com", SHARED, ADDRESS_PAGE),
        BundleHost::new(Cloud::Public, "login.microsoftonline.com", TOKEN, ENTRA_PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.*.ingest.monitor.azure.us", ENDPOINT, AGENT_PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.logs.z1.ingest.monitor.azure.us", DIRECT, GUIDE),
        BundleHost::new(Cloud::UsGovernment, "login.microsoftonline.us", TOKEN, ENTRA_PAGE),
        BundleHost::new(Cloud::China, "*.*.ingest.monitor.azure.cn", ENDPOINT, AGENT_PAGE),
        BundleHost::new(Cloud::China, "login.partner.microsoftonline.cn", TOKEN, ENTRA_PAGE),
        BundleHost::new(Cloud::China, "login.chinacloudapi.cn", OLD_TOKEN, IDENTITY_SOURCE),
    ],
};
