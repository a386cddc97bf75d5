//! Against made-up tables, and against the real ones of the machine that runs the tests.

mod made_up;
mod real;

use std::time::Duration;

use super::sampler::Roots;
use super::sampler::Sampler;
use crate::config::settings::CounterSettings;
use crate::config::settings::PerformanceSettings;
use crate::parse::proc::catalogue::Object;
use crate::record::Column;
use crate::record::FRAME_HEAD;
use crate::record::Frames;
use crate::record::Record;
use crate::record::Value;
use crate::record::frame_at;

/// One record: object, instance, counter, value.
type Row = (String, String, String, f64);

fn every_counter(object: Object, seconds: u64) -> CounterSettings {
    CounterSettings {
        object: object.name().to_owned(),
        counters: vec!["*".to_owned()],
        instances: vec!["*".to_owned()],
        every: Duration::from_secs(seconds),
    }
}

fn sampler(objects: &[Object], roots: Roots) -> Sampler {
    let counters = objects.iter().map(|object| every_counter(*object, 10)).collect();
    Sampler::new(&PerformanceSettings { counters }, roots, "A System 1".to_owned())
}

fn rows(frames: &Frames) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut rest = frames.bytes();
    while !rest.is_empty() {
        let frame = frame_at(rest).unwrap();
        assert!(frame.length > FRAME_HEAD);
        let record = Record::decode(frame.payload).unwrap();
        let text = |column| record.text(column).unwrap().to_owned();
        let value = record.values().find_map(|(column, value)| match value {
            Value::Real(value) if column == Column::CounterValue => Some(value),
            _ => None,
        });
        let (object, instance) = (text(Column::ObjectName), text(Column::InstanceName));
        rows.push((object, instance, text(Column::CounterName), value.unwrap()));
        rest = &rest[frame.length..];
    }
    rows
}

fn value(rows: &[Row], instance: &str, counter: &str) -> Option<f64> {
    rows.iter().find(|row| row.1 == instance && row.2 == counter).map(|row| row.3)
}
