use crate::parse::proc::catalogue::Selection;
use crate::parse::proc::reading::Reading;
use crate::record::Column;
use crate::record::Frames;
use crate::record::Timestamp;

/// Most instances of one object at one sampling.
pub(super) const MOST_INSTANCES: usize = 1024;

/// The records of one set at one sampling.
pub(super) struct Rows<'a> {
    frames: &'a mut Frames,
    time: Timestamp,
    selection: &'a Selection,
    instances: usize,
    lost: u64,
}

impl<'a> Rows<'a> {
    /// Begins without rows.
    pub(super) fn new(frames: &'a mut Frames, time: Timestamp, selection: &'a Selection) -> Self {
        Self { frames, time, selection, instances: 0, lost: 0 }
    }

    /// Returns what is wanted.
    pub(super) fn selection(&self) -> &Selection {
        self.selection
    }

    /// Adds a record for each value of an instance, if they are wanted.
    pub(super) fn add(&mut self, instance: &str, readings: &[Reading]) {
        if !self.selection.has_instance(instance) {
            return;
        }
        self.instances += 1;
        let object = self.selection.object();
        for (at, (reading, name)) in readings.iter().zip(object.counters()).enumerate() {
            if !self.selection.has_counter(at) {
                continue;
            }
            match reading {
                Reading::Value(value) if self.instances <= MOST_INSTANCES => self
                    .frames
                    .begin(self.time)
                    .text(Column::ObjectName, object.name())
                    .text(Column::InstanceName, instance)
                    .text(Column::CounterName, name)
                    .real(Column::CounterValue, *value)
                    .finish(),
                Reading::Value(_) | Reading::Lost => self.lost += 1,
                Reading::Absent => {}
            }
        }
    }

    /// Counts values that are missing for another reason.
    pub(super) fn lose(&mut self, count: usize) {
        self.lost += count as u64;
    }

    /// Ends and returns how many values were lost.
    pub(super) fn end(self) -> u64 {
        self.lost
    }
}
