//! `arc`: the Azure Connected Machine agent, which gives a machine outside Azure its identity and its
//! extensions.

use common::cloud::Cloud;

use crate::policy::bundles::Bundle;
use crate::policy::bundles::BundleHost;

const WINDOWS_PACKAGE: &str = "the Windows package of the agent; only while installing and updating; wide: \
    every download of Microsoft";
const LINUX_PACKAGE: &str = "the Linux packages of the agent; only while installing and updating";
const TOKEN: &str = "Microsoft Entra tokens";
const REGIONAL_TOKEN: &str = "Microsoft Entra tokens, one host per region: the agent's usual way";
const ACCESS: &str = "Microsoft Entra's access checks for signing in to the machine";
const MANAGEMENT: &str = "Azure Resource Manager; only while the machine is connected or disconnected; \
    wide: the management of every subscription";
const IDENTITY: &str = "hybrid identity and metadata: `gbl` and one host per region";
const EXTENSIONS: &str = "extension management and machine configuration: `agentserviceapi` and `REGION-gas`";
const NOTIFICATIONS: &str = "notification service that tells the machine of new work";
const RELAY: &str = "notifications and remote sessions over a relay; very wide: any namespace of any \
    organization. To narrow, ask guestnotificationservice's `/urls/allowlist` for the region's names \
    (`azgn...`) and write those and the rest of this list in `hosts` in place of the bundle";
const BLOB: &str = "downloads of extension packages; very wide: any storage account, also one outside your \
    organization, so narrow it with `storage_accounts`";
const OLDER_BLOB: &str = "downloads of extension packages; left out of Microsoft's list by September 2026 \
    but used by earlier agents; very wide: any storage account, so narrow it with `storage_accounts`";

const PAGE: &str = "Microsoft: Connected Machine agent network requirements";
const OLDER_PAGE: &str = "Microsoft: Connected Machine agent network requirements (September 2025)";

// Left out, for the role's `hosts` where a site uses them: Windows Admin Center, SQL Server, license checks
// and Extended Security Updates, telemetry of agents before 1.24, and the Arc gateway
// (`*.gw.arc.azure.com`), which would carry other destinations past this list. US Government has no
// notification or relay hosts: Microsoft's page lists none for machines there.
pub(super) const BUNDLE: Bundle = Bundle {
    name: "arc",
    version: "2026-11-22",
    purpose: "the Azure Connected Machine agent (Arc-enabled servers): installation, identity, extensions, \
        notifications",
    hosts: &[
        BundleHost::new(Cloud::Public, "download.microsoft.com", WINDOWS_PACKAGE, PAGE),
        BundleHost::new(Cloud::Public, "packages.microsoft.com", LINUX_PACKAGE, PAGE),
        BundleHost::new(Cloud::Public, "login.microsoftonline.com", TOKEN, PAGE),
        BundleHost::new(Cloud::Public, "*.login.microsoft.com", REGIONAL_TOKEN, PAGE),
        BundleHost::new(Cloud::Public, "pas.windows.net", ACCESS, PAGE),
        BundleHost::new(Cloud::Public, "management.azure.com", MANAGEMENT, PAGE),
        BundleHost::new(Cloud::Public, "*.his.arc.azure.com", IDENTITY, PAGE),
        BundleHost::new(Cloud::Public, "*.guestconfiguration.azure.com", EXTENSIONS, PAGE),
        BundleHost::new(Cloud::Public, "guestnotificationservice.azure.com", NOTIFICATIONS, PAGE),
        BundleHost::new(Cloud::Public, "*.guestnotificationservice.azure.com", NOTIFICATIONS, PAGE),
        BundleHost::new(Cloud::Public, "*.servicebus.windows.net", RELAY, PAGE),
        BundleHost::new(Cloud::Public, "{account}.blob.core.windows.net", OLDER_BLOB, OLDER_PAGE),
        BundleHost::new(Cloud::UsGovernment, "download.microsoft.com", WINDOWS_PACKAGE, PAGE),
        BundleHost::new(Cloud::UsGovernment, "packages.microsoft.com", LINUX_PACKAGE, PAGE),
        BundleHost::new(Cloud::UsGovernment, "login.microsoftonline.us", TOKEN, PAGE),
        BundleHost::new(Cloud::UsGovernment, "pasff.usgovcloudapi.net", ACCESS, PAGE),
        BundleHost::new(Cloud::UsGovernment, "management.usgovcloudapi.net", MANAGEMENT, PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.his.arc.azure.us", IDENTITY, PAGE),
        BundleHost::new(Cloud::UsGovernment, "*.guestconfiguration.azure.us", EXTENSIONS, PAGE),
        BundleHost::new(Cloud::UsGovernment, "{account}.blob.core.usgovcloudapi.net", BLOB, PAGE),
        BundleHost::new(Cloud::China, "download.microsoft.com", WINDOWS_PACKAGE, PAGE),
        BundleHost::new(Cloud::China, "packages.microsoft.com", LINUX_PACKAGE, PAGE),
        BundleHost::new(Cloud::China, "login.chinacloudapi.cn", TOKEN, PAGE),
        BundleHost::new(Cloud::China, "login.partner.chinacloudapi.cn", TOKEN, PAGE),
        BundleHost::new(Cloud::China, "pas.chinacloudapi.cn", ACCESS, PAGE),
        BundleHost::new(Cloud::China, "management.chinacloudapi.cn", MANAGEMENT, PAGE),
        BundleHost::new(Cloud::China, "*.his.arc.azure.cn", IDENTITY, PAGE),
        BundleHost::new(Cloud::China, "*.guestconfiguration.azure.cn", EXTENSIONS, PAGE),
        BundleHost::new(Cloud::China, "guestnotificationservice.azure.cn", NOTIFICATIONS, PAGE),
        BundleHost::new(Cloud::China, "*.guestnotificationservice.azure.cn", NOTIFICATIONS, PAGE),
        BundleHost::new(Cloud::China, "*.servicebus.chinacloudapi.cn", RELAY, PAGE),
        BundleHost::new(Cloud::China, "{account}.blob.core.chinacloudapi.cn", BLOB, PAGE),
    ],
};
