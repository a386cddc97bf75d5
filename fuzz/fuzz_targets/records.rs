//! Bytes of a queue: what the checksum lets pass is decoded without a panic, and packed within its limit as JSON.
#![no_main]

use agent_lite::record::Record;
use agent_lite::record::Table;
use agent_lite::record::frame_at;
use agent_lite::transport::Agent;
use agent_lite::transport::Batch;
use agent_lite::transport::Form;
use agent_lite::transport::Limit;
use agent_lite::transport::Packer;
use libfuzzer_sys::fuzz_target;

const RAW: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((table, payload)) = bytes.split_first() else { return };
    let _ = (frame_at(payload), Record::decode(payload).map(|record| record.values().count()));
    let table = match table % 6 {
        0 => Table::Syslog,
        1 => Table::Perf,
        2 => Table::Heartbeat,
        3 => Table::Event,
        4 => Table::W3cIisLog,
        _ => "App_CL".parse().expect("a table"),
    };
    // The checksum is made right, or nothing would ever come so far.
    let mut frames = (payload.len() as u32).to_le_bytes().to_vec();
    frames.extend(crc32fast::hash(payload).to_le_bytes());
    frames.extend(payload);
    let agent = Agent {
        computer: "edge7".to_owned(),
        agent_id: Default::default(),
        version: "1",
        host_ip: "10.0.0.5".to_owned(),
        machine_uuid: String::new(),
    };
    let batch = Batch { table: &table, number: 7, first: 0, frames: &frames };
    let limit = Limit { records: 10, raw: RAW };
    let parcel = Packer::new().pack(&Form::DataCollector, &agent, &batch, &limit);
    assert!(parcel.records == 1 && parcel.sent + parcel.damaged == 1, "{parcel:?}");
    assert!(parcel.body.len() <= RAW);
    if parcel.sent == 1 {
        let rows: serde_json::Value = serde_json::from_slice(&parcel.body).expect("JSON");
        assert_eq!(rows.as_array().map(Vec::len), Some(1));
    }
    for form in [Form::LogsIngestion, Form::LogAnalyticsAgent { workspace: "w".to_owned() }] {
        let parcel = Packer::new().pack(&form, &agent, &batch, &limit);
        assert!(parcel.records == 1 && parcel.sent + parcel.damaged == 1 && parcel.raw <= RAW, "{parcel:?}");
    }
});
